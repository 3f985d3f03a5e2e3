//! Sealing at rest: a secret in the store can be neither read nor altered nor moved to another row.
//!
//! A sealed value is, in bytes:
//!
//! | 1 | 32 | 12 | as the clear text | 16 |
//! |---|---|---|---|---|
//! | version, 1 | salt | nonce | ciphertext | tag |
//!
//! The cipher is AES-256-GCM with a separate key for each value: HKDF-SHA256 (RFC 5869) of the key
//! encryption key with the salt. Salt and nonce are random and new for each value, so each key is
//! used with one nonce, and the limit for random nonces under one key (2^32 values, NIST SP
//! 800-38D, section 8.3) is out of reach. The associated data are the version byte, then tenant,
//! purpose and row, each preceded by its length in four bytes, so that different contexts have
//! different associated data.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use crate::{Error, Kek, random};

const VERSION: u8 = 1;
/// There is one tenant so far. Its name prevents values from being moved to another tenant later.
const TENANT: &str = "default";
const INFO: &[u8] = b"rekey seal";
/// The salt for derived keys: it is constant, because a random one would have to be stored.
const DERIVED: &[u8] = b"rekey derived key";
const SALT: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;

/// Seals values for the store and opens them. Cloning it is cheap.
#[derive(Clone)]
pub struct Sealer(Arc<Kek>);

/// The purpose of a sealed value. A value sealed for one purpose does not open for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A secret among a source's connector attributes.
    ConnectorAttribute,
    /// The value that shows whether a key encryption key belongs to the store.
    MasterKeyCheck,
    /// A client's ciphertext on its way to a source.
    PasswordChange,
    /// A key that signs tokens.
    SigningKey,
    /// The private key of a source's key pair.
    SourceKey,
    /// The key with which opaque tokens are hashed.
    TokenPepper,
}

impl Sealer {
    /// Creates a sealer with the key encryption key `kek`.
    pub fn new(kek: Kek) -> Self {
        Self(Arc::new(kek))
    }

    /// Seals `clear` for `purpose` in the row `row`; it opens for no other purpose or row. The
    /// result is 61 bytes longer than `clear`, and differs on every call.
    ///
    /// # Errors
    ///
    /// [`Error::Random`] if there are no random bytes, [`Error::Seal`] if AWS-LC fails.
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

    /// Opens a value that [`Sealer::seal`] sealed for the same purpose and row. The clear text is
    /// wiped on drop.
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

    /// Derives a key of 32 bytes from the key encryption key and `label`; it is the same on every
    /// node. It serves for values that an attacker with the store alone must not be able to
    /// produce. Wiped on drop.
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

    /// Derives the key of the value that was sealed with `salt`.
    fn key(&self, salt: &[u8; SALT]) -> Option<LessSafeKey> {
        let extracted = Salt::new(HKDF_SHA256, salt).extract(self.0.bytes());
        let key = UnboundKey::from(extracted.expand(&[INFO], &AES_256_GCM).ok()?);
        Some(LessSafeKey::new(key))
    }
}

impl Purpose {
    /// A part of every sealed value's context: a change would make existing values unreadable.
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
