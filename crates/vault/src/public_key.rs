//! The public half of a key pair, which clients hold.

use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey, PublicEncryptingKey,
};

use crate::{CiphertextFault, Error, Padding, rsa};

/// The public half of an RSA key pair. It contains nothing secret.
pub struct PublicKey {
    modulus: Vec<u8>,
    spki: Vec<u8>,
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` in DER (RFC 5280, section 4.1.2.7).
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if it is not an RSA key of 2048 to 4096 bits.
    pub fn from_spki(der: &[u8]) -> Result<Self, Error> {
        Ok(Self { modulus: rsa::Key::from_spki(der)?.modulus()?.to_vec(), spki: der.to_vec() })
    }

    /// Checks whether `ciphertext` can be a ciphertext of this key: as long as the modulus and, as
    /// a number, greater than 1 and less than the modulus minus 1. Every caller may receive the
    /// result, since it does not depend on a private key.
    ///
    /// # Errors
    ///
    /// The first of these conditions that does not hold.
    pub fn check(&self, ciphertext: &[u8]) -> Result<(), CiphertextFault> {
        check(&self.modulus, ciphertext)
    }

    /// Encrypts `clear`; for rekey's own clients, the demonstration and tests.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] above [`Padding::max_clear`] bytes.
    pub fn encrypt(&self, padding: Padding, clear: &[u8]) -> Result<Vec<u8>, Error> {
        let limit = padding.max_clear(self.modulus_len());
        if clear.len() > limit {
            return Err(Error::TooLong { limit, actual: clear.len() });
        }
        let key = PublicEncryptingKey::from_der(&self.spki).map_err(|_| Error::Key)?;
        let mut ciphertext = vec![0; self.modulus_len()];
        match padding {
            Padding::OaepSha256 => OaepPublicEncryptingKey::new(key).and_then(|key| {
                key.encrypt(&OAEP_SHA256_MGF1SHA256, clear, &mut ciphertext, None).map(drop)
            }),
            Padding::Pkcs1v15 => Pkcs1PublicEncryptingKey::new(key)
                .and_then(|key| key.encrypt(clear, &mut ciphertext).map(drop)),
        }
        .map_err(|_| Error::Rsa)?;
        Ok(ciphertext)
    }

    /// The length of the modulus, and so of every ciphertext, in bytes.
    pub fn modulus_len(&self) -> usize {
        self.modulus.len()
    }
}

/// [`PublicKey::check`] for a bare modulus.
pub(crate) fn check(modulus: &[u8], ciphertext: &[u8]) -> Result<(), CiphertextFault> {
    if ciphertext.len() != modulus.len() {
        return Err(CiphertextFault::WrongLength {
            expected: modulus.len(),
            actual: ciphertext.len(),
        });
    }
    // The modulus is odd, so the modulus minus 1 differs from it in the last bit only; and 0 and 1
    // are the numbers whose bits before the last are all zero.
    let above_last_bit = |number: &[u8]| -> Vec<u8> {
        let mut bytes = number.to_vec();
        if let Some(last) = bytes.last_mut() {
            *last &= 0xfe;
        }
        bytes
    };
    let number = above_last_bit(ciphertext);
    if number.iter().all(|byte| *byte == 0) || number >= above_last_bit(modulus) {
        return Err(CiphertextFault::OutOfRange);
    }
    Ok(())
}
