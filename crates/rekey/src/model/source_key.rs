//! The key pairs that clients encrypt passwords with.

use rekey_vault::Padding;

use super::{
    column::{from_row, text_value},
    id::{KeyId, SourceId},
    time::Micros,
};

/// A key pair as the store has it.
#[derive(Clone)]
pub struct SourceKey {
    /// Its public name.
    pub id: KeyId,
    /// The only source whose passwords it may carry.
    pub source_id: SourceId,
    /// How clients must pad: it follows the key, never trial and error.
    pub padding: KeyPadding,
    /// The public half: DER `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
    /// The private half, sealed PKCS#8.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created: Micros,
    /// Until when it still decrypts, once it was rotated.
    pub accept_until: Option<Micros>,
}

from_row!(SourceKey { id, source_id, padding, spki, sealed, created, accept_until });

impl SourceKey {
    /// [`SourceKey::accept_until`] of a key that was revoked at once.
    pub const REVOKED: Micros = Micros(0);

    /// Whether it was taken out of use at once, without a grace: its source is reached in another
    /// way now, and what was encrypted for it must not be sent there.
    pub fn is_revoked(&self) -> bool {
        self.accept_until == Some(Self::REVOKED)
    }
}

/// [`Padding`] as a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPadding(pub Padding);

impl KeyPadding {
    /// Its text.
    pub fn as_str(self) -> &'static str {
        self.0.as_str()
    }
    fn parse(text: &str) -> Option<Self> {
        Padding::parse(text).map(Self)
    }
}

text_value!(KeyPadding);
