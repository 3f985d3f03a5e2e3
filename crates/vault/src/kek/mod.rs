//! The key encryption key, and where it may come from: one file each.

mod file;

use zeroize::Zeroizing;

/// The key encryption key: 32 random bytes that every sealed value depends on. Who has it and the
/// store has everything; without it the store is worthless. Wiped on drop.
pub struct Kek(Zeroizing<[u8; 32]>);

impl Kek {
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
impl Kek {
    pub(crate) fn of(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}
