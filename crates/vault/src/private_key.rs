//! The half of a key pair that only rekey holds.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use zeroize::Zeroizing;

use crate::depad::{self, Substitute};
use crate::{Candidate, Error, Padding, public_key, rsa, sha256};

/// The private half of an RSA key pair, and the one padding it decrypts.
///
/// May be shared between threads; decrypting needs no lock. Wiped on drop.
pub struct PrivateKey {
    padding: Padding,
    key: rsa::Key,
    modulus: Vec<u8>,
    /// SHA-256 of the private exponent: what synthetic messages are derived from.
    substitute_secret: Zeroizing<[u8; 32]>,
}

impl PrivateKey {
    /// A new key pair of 2048 bits with the public exponent 65537. Takes 50 to 150 ms.
    ///
    /// # Errors
    ///
    /// [`Error::Rsa`] if the library cannot make one.
    pub fn generate(padding: Padding) -> Result<Self, Error> {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(|_| Error::Rsa)?;
        let pkcs8: Pkcs8V1Der<'_> = key.as_der().map_err(|_| Error::Rsa)?;
        Self::from_pkcs8(padding, pkcs8.as_ref())
    }

    /// Reads a DER PKCS#8 `PrivateKeyInfo` (RFC 5208), not encrypted.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if it is anything but a consistent RSA key of 2048 to 4096 bits.
    pub fn from_pkcs8(padding: Padding, der: &[u8]) -> Result<Self, Error> {
        let key = rsa::Key::from_pkcs8(der)?;
        Ok(Self {
            padding,
            modulus: key.modulus()?.to_vec(),
            substitute_secret: Zeroizing::new(sha256(&key.private_exponent()?)),
            key,
        })
    }

    /// The private key in PKCS#8, to be sealed. Wiped on drop.
    ///
    /// # Errors
    ///
    /// [`Error::Rsa`] if the library cannot write it.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.key.to_pkcs8()
    }

    /// The public half as a DER `SubjectPublicKeyInfo`: what clients get, in base64, as
    /// `publicKey`.
    ///
    /// # Errors
    ///
    /// [`Error::Rsa`] if the library cannot write it.
    pub fn public_spki(&self) -> Result<Vec<u8>, Error> {
        self.key.to_spki().map(|der| der.to_vec())
    }

    /// The padding this key decrypts.
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Decrypts. Whatever the padding, the answer is a candidate, the same one each time: if the
    /// padding is wrong, a synthetic one (draft-irtf-cfrg-rsa-guidance, section 7.2). That it is
    /// shows neither in the answer nor in the time it takes.
    ///
    /// # Errors
    ///
    /// Public facts only: what [`crate::PublicKey::check`] says, and [`Error::Rsa`] if the library
    /// is out of memory or the machine has miscalculated.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Result<Candidate, Error> {
        public_key::check(&self.modulus, ciphertext)?;
        let block = self.key.decrypt_raw(ciphertext)?;
        let substitute = Substitute::new(&self.substitute_secret, ciphertext);
        Ok(match self.padding {
            Padding::OaepSha256 => depad::oaep(block, &substitute),
            Padding::Pkcs1v15 => depad::pkcs1v15(block, &substitute),
        })
    }
}
