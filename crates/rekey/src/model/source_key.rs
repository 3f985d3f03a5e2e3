//! The key pairs that clients encrypt passwords with.

use rekey_vault::Padding;

use super::{
    column::{from_row, text_value},
    id::{KeyId, SourceId},
    time::Micros,
};

/// A key pair, as stored.
#[derive(Clone)]
pub struct SourceKey {
    /// The wire's `publicKeyId`.
    pub id: KeyId,
    /// The only source whose passwords it may encrypt.
    pub source_id: SourceId,
    /// The padding that clients must use. It is a property of the key: rekey never tries several.
    pub padding: KeyPadding,
    /// The public key: DER `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
    /// The private key: sealed PKCS#8.
    pub sealed: Vec<u8>,
    /// The time of creation.
    pub created: Micros,
    /// The end of its acceptance, once it was rotated.
    pub accept_until: Option<Micros>,
}

from_row!(SourceKey { id, source_id, padding, spki, sealed, created, accept_until });

impl SourceKey {
    /// The [`SourceKey::accept_until`] of a key that was revoked at once.
    pub const REVOKED: Micros = Micros(0);

    /// Whether the key was revoked at once, without a grace period: its source was pointed
    /// elsewhere, and passwords that were encrypted for it must not be sent there.
    pub fn is_revoked(&self) -> bool {
        self.accept_until == Some(Self::REVOKED)
    }
}

/// [`Padding`] as a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPadding(pub Padding);

impl KeyPadding {
    /// The padding's name.
    pub fn as_str(self) -> &'static str {
        self.0.as_str()
    }
    fn parse(text: &str) -> Option<Self> {
        Padding::parse(text).map(Self)
    }
}

text_value!(KeyPadding);
