//! The key encryption key, and one module for each place in which it can be stored.

mod file;

use zeroize::Zeroizing;

/// The key encryption key: 32 random bytes on which every sealed value depends. An attacker with
/// this key and the store can read every secret; without the key the store cannot be decrypted.
/// Wiped on drop.
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
