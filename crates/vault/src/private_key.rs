//! The private half of a key pair, which only rekey holds.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use zeroize::Zeroizing;

use crate::depad::{self, Substitute};
use crate::{Candidate, Error, Padding, public_key, rsa, sha256};

/// The private half of an RSA key pair, and the one padding it decrypts.
///
/// It may be shared between threads; callers need no lock to decrypt. Wiped on drop.
pub struct PrivateKey {
    padding: Padding,
    key: rsa::Key,
    modulus: Vec<u8>,
    /// SHA-256 of the private exponent. Synthetic messages are derived from it.
    substitute_secret: Zeroizing<[u8; 32]>,
}

impl PrivateKey {
    /// Generates a key pair of 2048 bits with the public exponent 65537. Takes 50 to 150 ms.
    ///
    /// # Errors
    ///
    /// [`Error::Rsa`] if the library cannot generate one.
    pub fn generate(padding: Padding) -> Result<Self, Error> {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(|_| Error::Rsa)?;
        let pkcs8: Pkcs8V1Der<'_> = key.as_der().map_err(|_| Error::Rsa)?;
        Self::from_pkcs8(padding, pkcs8.as_ref())
    }

    /// Reads an unencrypted PKCS#8 `PrivateKeyInfo` in DER (RFC 5208).
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if it is not a consistent RSA key of 2048 to 4096 bits.
    pub fn from_pkcs8(padding: Padding, der: &[u8]) -> Result<Self, Error> {
        let key = rsa::Key::from_pkcs8(der)?;
        Ok(Self {
            padding,
            modulus: key.modulus()?.to_vec(),
            substitute_secret: Zeroizing::new(sha256(&key.private_exponent()?)),
            key,
        })
    }

    /// The private key in PKCS#8, ready to be sealed. Wiped on drop.
    ///
    /// # Errors
    ///
    /// [`Error::Rsa`] if the library cannot encode it.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.key.to_pkcs8()
    }

    /// The public half as a DER `SubjectPublicKeyInfo`, which clients receive in base64 as
    /// `publicKey`.
    ///
    /// # Errors
    ///
    /// [`Error::Rsa`] if the library cannot encode it.
    pub fn public_spki(&self) -> Result<Vec<u8>, Error> {
        self.key.to_spki().map(|der| der.to_vec())
    }

    /// The padding that this key decrypts.
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Decrypts. The result is a candidate whatever the padding, and the same one on every call: if
    /// the padding is wrong, it is a synthetic one (draft-irtf-cfrg-rsa-guidance, section 7.2).
    /// Neither the result nor the time it takes shows which.
    ///
    /// # Errors
    ///
    /// They depend on public facts only: the faults of [`crate::PublicKey::check`], and
    /// [`Error::Rsa`] if the library is out of memory or the machine has miscalculated.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Result<Candidate, Error> {
        let block = self.open(ciphertext)?;
        Ok(self.depad(ciphertext, block))
    }

    /// The RSA operation with the private key; returns the padded message.
    pub(crate) fn open(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        public_key::check(&self.modulus, ciphertext)?;
        self.key.decrypt_raw(ciphertext)
    }

    /// Makes a candidate of a block, whatever its padding.
    pub(crate) fn depad(&self, ciphertext: &[u8], block: Zeroizing<Vec<u8>>) -> Candidate {
        let substitute = Substitute::new(&self.substitute_secret, ciphertext);
        match self.padding {
            Padding::OaepSha256 => depad::oaep(block, &substitute),
            Padding::Pkcs1v15 => depad::pkcs1v15(block, &substitute),
        }
    }
}

#[cfg(rekey_proof)]
impl PrivateKey {
    pub(crate) fn synthetic(&self, ciphertext: &[u8]) -> Vec<u8> {
        let substitute = Substitute::new(&self.substitute_secret, ciphertext);
        depad::synthetic(self.modulus.len(), self.padding, &substitute)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::{fs, io::Write as _};

    use base64::prelude::{BASE64_STANDARD, Engine as _};

    use super::*;
    use crate::{CiphertextFault, PublicKey};

    #[test]
    fn what_openssl_encrypts_comes_back_byte_for_byte() {
        const OAEP: &[&str] =
            &["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"];
        for (padding, options, longest) in
            [(Padding::OaepSha256, OAEP, 190), (Padding::Pkcs1v15, &[], 245)]
        {
            let key = PrivateKey::generate(padding).unwrap();
            let spki = key.public_spki().unwrap();
            for clear in [b"myPassword".to_vec(), Vec::new(), vec![b'\n'; longest]] {
                let candidate = key.decrypt(&openssl(&spki, options, &clear)).unwrap();
                assert_eq!(candidate.message(), clear);
                assert!(candidate.is_genuine());
            }
        }
    }

    #[test]
    fn a_ciphertext_for_the_other_padding_is_synthetic() {
        let key = PrivateKey::generate(Padding::OaepSha256).unwrap();
        let public = PublicKey::from_spki(&key.public_spki().unwrap()).unwrap();
        let ciphertext = public.encrypt(Padding::Pkcs1v15, b"correct horse").unwrap();
        assert!(!key.decrypt(&ciphertext).unwrap().is_genuine());
        // Negative control: the same key with the other padding decrypts it.
        let pkcs8 = key.to_pkcs8().unwrap();
        let other = PrivateKey::from_pkcs8(Padding::Pkcs1v15, &pkcs8).unwrap();
        assert_eq!(other.decrypt(&ciphertext).unwrap().message(), b"correct horse");
    }

    #[test]
    fn a_key_survives_pkcs8() {
        let key = PrivateKey::generate(Padding::Pkcs1v15).unwrap();
        let pkcs8 = key.to_pkcs8().unwrap();
        let again = PrivateKey::from_pkcs8(Padding::Pkcs1v15, &pkcs8).unwrap();
        assert_eq!(again.public_spki().unwrap(), key.public_spki().unwrap());
        assert_eq!(again.modulus.len(), 256);
        let garbage = [9; 256];
        let (one, two) = (key.decrypt(&garbage), again.decrypt(&garbage));
        match (one, two) {
            (Ok(one), Ok(two)) => assert_eq!(one.message(), two.message()),
            (one, two) => assert!(one.is_err() && two.is_err()),
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = PrivateKey::generate(Padding::Pkcs1v15).unwrap();
        let mut pkcs8 = key.to_pkcs8().unwrap().to_vec();
        let spki = key.public_spki().unwrap();
        for der in [&[], b"no key".as_slice(), &spki] {
            let refused = PrivateKey::from_pkcs8(Padding::Pkcs1v15, der);
            assert!(matches!(refused, Err(Error::Key)));
        }
        assert!(matches!(PublicKey::from_spki(&pkcs8), Err(Error::Key)));
        pkcs8.push(0);
        let refused = PrivateKey::from_pkcs8(Padding::Pkcs1v15, &pkcs8);
        assert!(matches!(refused, Err(Error::Key)), "a byte after the key");
    }

    #[test]
    fn keys_of_other_kinds_and_sizes_are_refused() {
        let refused = |arguments: &[&str]| {
            let made = Command::new("openssl")
                .arg("genpkey")
                .args(arguments)
                .output()
                .expect("openssl runs");
            assert!(made.status.success());
            let pem = String::from_utf8(made.stdout).unwrap();
            let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            let der = BASE64_STANDARD.decode(base64).unwrap();
            matches!(PrivateKey::from_pkcs8(Padding::Pkcs1v15, &der), Err(Error::Key))
        };
        assert!(refused(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]));
        assert!(refused(&["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"]));
        assert!(refused(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]));
        assert!(!refused(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]));
    }

    #[test]
    fn public_faults_are_told_and_none_other() {
        let key = PrivateKey::generate(Padding::Pkcs1v15).unwrap();
        let public = PublicKey::from_spki(&key.public_spki().unwrap()).unwrap();
        let number = |last| {
            let mut number = vec![0; 256];
            number[255] = last;
            number
        };
        for out_of_range in
            [number(0), number(1), less(&key.modulus, 1), less(&key.modulus, 0), vec![255; 256]]
        {
            let fault = CiphertextFault::OutOfRange;
            assert_eq!(public.check(&out_of_range), Err(fault));
            let refused = key.decrypt(&out_of_range);
            assert!(matches!(refused, Err(Error::Ciphertext(found)) if found == fault));
        }
        // The bounds are those of AWS-LC, which decrypts the numbers just inside them.
        for in_range in [number(2), less(&key.modulus, 2)] {
            assert_eq!(public.check(&in_range), Ok(()));
            assert!(key.decrypt(&in_range).is_ok());
        }
        for length in [0, 255, 257] {
            let fault = CiphertextFault::WrongLength { expected: 256, actual: length };
            assert_eq!(public.check(&vec![7; length]), Err(fault));
        }
    }

    #[test]
    fn a_clear_text_that_does_not_fit_is_refused() {
        let key = PrivateKey::generate(Padding::Pkcs1v15).unwrap();
        let public = PublicKey::from_spki(&key.public_spki().unwrap()).unwrap();
        for (padding, limit) in [(Padding::OaepSha256, 190), (Padding::Pkcs1v15, 245)] {
            assert!(public.encrypt(padding, &vec![b'x'; limit]).is_ok());
            let refused = public.encrypt(padding, &vec![b'x'; limit + 1]);
            assert!(matches!(refused, Err(Error::TooLong { limit: told, .. }) if told == limit));
        }
    }

    fn less(number: &[u8], by: u8) -> Vec<u8> {
        let (mut number, mut by) = (number.to_vec(), by);
        for byte in number.iter_mut().rev() {
            let (rest, borrow) = byte.overflowing_sub(by);
            (*byte, by) = (rest, u8::from(borrow));
        }
        number
    }

    fn openssl(spki: &[u8], options: &[&str], clear: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("public.der");
        fs::write(&path, spki).unwrap();
        let mut command = Command::new("openssl");
        command.args(["pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey"]).arg(&path);
        for option in options {
            command.args(["-pkeyopt", option]);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("openssl runs");
        child.stdin.take().unwrap().write_all(clear).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    }
}
