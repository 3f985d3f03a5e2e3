//! Sealing at rest: what the store holds of secrets can be neither read, altered nor moved.
//!
//! A sealed value is, in bytes:
//!
//! | 1 | 32 | 12 | as the clear text | 16 |
//! |---|---|---|---|---|
//! | version, 1 | salt | nonce | ciphertext | tag |
//!
//! AES-256-GCM with a key of its own for each value: HKDF-SHA256 (RFC 5869) of the key encryption
//! key with the salt. Salt and nonce are fresh and random each time, so a key meets one nonce, and
//! the limit of random nonces under one key (2^32 values, NIST SP 800-38D, section 8.3) is out of
//! reach. The associated data are the version byte, then tenant, purpose and row, each after its
//! length as four bytes, so no two contexts have the same.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use crate::{Error, Kek, random};

const VERSION: u8 = 1;
/// There is one tenant so far. The word keeps values from moving to another later.
const TENANT: &str = "default";
const INFO: &[u8] = b"rekey seal";
/// What derived keys are extracted with, instead of a salt that would have to be kept.
const DERIVED: &[u8] = b"rekey derived key";
const SALT: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;

/// Seals values for the store and opens them. Cloning is cheap.
#[derive(Clone)]
pub struct Sealer(Arc<Kek>);

/// What a sealed value is for. One sealed for one purpose does not open for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A secret among a source's connector attributes.
    ConnectorAttribute,
    /// What tells whether a key encryption key is the store's.
    MasterKeyCheck,
    /// A client's ciphertext on its way to a source.
    PasswordChange,
    /// A key that signs tokens.
    SigningKey,
    /// The private key of a source's key pair.
    SourceKey,
    /// What opaque tokens are hashed with.
    TokenPepper,
}

impl Sealer {
    /// A sealer under `kek`.
    pub fn new(kek: Kek) -> Self {
        Self(Arc::new(kek))
    }

    /// Seals `clear` for `purpose` in the row `row`; it opens nowhere else. The result is 61 bytes
    /// longer than `clear`, and never the same twice.
    ///
    /// # Errors
    ///
    /// [`Error::Random`], [`Error::Seal`] if AWS-LC fails.
    pub fn seal(&self, purpose: Purpose, row: &str, clear: &[u8]) -> Result<Vec<u8>, Error> {
        let salt: [u8; SALT] = random()?;
        let nonce: [u8; NONCE] = random()?;
        let mut sealed = Vec::with_capacity(1 + SALT + NONCE + clear.len() + TAG);
        sealed.push(VERSION);
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(&nonce);
        let mut body = Zeroizing::new(clear.to_vec());
        let tag = self
            .key(&salt)
            .and_then(|key| {
                let nonce = Nonce::assume_unique_for_key(nonce);
                key.seal_in_place_separate_tag(nonce, context(VERSION, purpose, row), &mut body)
                    .ok()
            })
            .ok_or(Error::Seal)?;
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`Sealer::seal`] sealed for the same purpose and row. Wiped on drop.
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`], whatever the reason.
    pub fn open(
        &self,
        purpose: Purpose,
        row: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.opened(purpose, row, sealed).ok_or(Error::Sealed)
    }

    fn opened(&self, purpose: Purpose, row: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (&version, rest) = sealed.split_first()?;
        if version != VERSION {
            return None;
        }
        let (salt, rest) = rest.split_first_chunk::<SALT>()?;
        let (nonce, body) = rest.split_first_chunk::<NONCE>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut clear = Zeroizing::new(body.to_vec());
        let length = self
            .key(salt)?
            .open_in_place(nonce, context(version, purpose, row), &mut clear)
            .ok()?
            .len();
        clear.truncate(length);
        Some(clear)
    }

    /// A key of 32 bytes that follows from the key encryption key and `label`, on every node the
    /// same: for what nobody who has the store alone may be able to make. Wiped on drop.
    ///
    /// # Errors
    ///
    /// [`Error::Seal`] if AWS-LC fails.
    pub fn derived(&self, label: &str) -> Result<Zeroizing<[u8; 32]>, Error> {
        let extracted = Salt::new(HKDF_SHA256, DERIVED).extract(self.0.bytes());
        let mut key = Zeroizing::new([0; 32]);
        extracted
            .expand(&[label.as_bytes()], HKDF_SHA256)
            .and_then(|expanded| expanded.fill(key.as_mut()))
            .map_err(|_| Error::Seal)?;
        Ok(key)
    }

    /// The key of the value that was sealed with `salt`.
    fn key(&self, salt: &[u8; SALT]) -> Option<LessSafeKey> {
        let extracted = Salt::new(HKDF_SHA256, salt).extract(self.0.bytes());
        let key = UnboundKey::from(extracted.expand(&[INFO], &AES_256_GCM).ok()?);
        Some(LessSafeKey::new(key))
    }
}

impl Purpose {
    /// Part of every sealed value's context: never to be changed.
    fn as_str(self) -> &'static str {
        match self {
            Self::ConnectorAttribute => "connector attribute",
            Self::MasterKeyCheck => "master key check",
            Self::PasswordChange => "password change",
            Self::SigningKey => "signing key",
            Self::SourceKey => "source key",
            Self::TokenPepper => "token pepper",
        }
    }
}

fn context(version: u8, purpose: Purpose, row: &str) -> Aad<Vec<u8>> {
    let mut bytes = vec![version];
    for part in [TENANT, purpose.as_str(), row] {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Aad::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSES: [Purpose; 6] = [
        Purpose::ConnectorAttribute,
        Purpose::MasterKeyCheck,
        Purpose::PasswordChange,
        Purpose::SigningKey,
        Purpose::SourceKey,
        Purpose::TokenPepper,
    ];

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(Kek::of([byte; 32]))
    }

    #[test]
    fn a_sealed_value_opens_where_it_was_sealed() {
        let own = sealer(1);
        for clear in [b"".as_slice(), b"secret", &[7; 5_000]] {
            for purpose in PURPOSES {
                let sealed = own.seal(purpose, "row", clear).unwrap();
                assert_eq!(sealed.len(), clear.len() + 61);
                assert_eq!(*own.open(purpose, "row", &sealed).unwrap(), clear);
                assert_eq!(*own.clone().open(purpose, "row", &sealed).unwrap(), clear);
            }
        }
    }

    #[test]
    fn a_sealed_value_opens_nowhere_else() {
        let sealed = sealer(1).seal(Purpose::SourceKey, "row", b"secret").unwrap();
        for purpose in PURPOSES {
            for row in ["row", "row2", "ro", ""] {
                let opens = sealer(1).open(purpose, row, &sealed).is_ok();
                assert_eq!(opens, purpose == Purpose::SourceKey && row == "row");
            }
        }
        assert!(matches!(sealer(2).open(Purpose::SourceKey, "row", &sealed), Err(Error::Sealed)));
    }

    #[test]
    fn an_altered_or_shortened_value_does_not_open() {
        let sealed = sealer(1).seal(Purpose::SourceKey, "row", b"secret").unwrap();
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(sealer(1).open(Purpose::SourceKey, "row", &altered).is_err(), "byte {index}");
            let shortened = &sealed[..index];
            assert!(sealer(1).open(Purpose::SourceKey, "row", shortened).is_err());
        }
        assert!(sealer(1).open(Purpose::SourceKey, "row", &sealed).is_ok());
    }

    #[test]
    fn no_value_is_sealed_alike_twice() {
        let seal = || sealer(1).seal(Purpose::SourceKey, "row", b"secret").unwrap();
        let (one, two) = (seal(), seal());
        assert_ne!(one[1..33], two[1..33], "salt");
        assert_ne!(one[33..45], two[33..45], "nonce");
        assert_ne!(one[45..], two[45..], "ciphertext");
        assert!(!one.windows(6).any(|window| window == b"secret"));
    }
}
