//! The only type that may hold a clear-text password.

use zeroize::Zeroizing;

/// A clear-text password. Wiped on drop; it cannot be printed, copied, compared or serialized.
///
/// Only this crate and the connectors may call [`Password::expose`]; a test of the service enforces
/// that.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes ownership of `clear`, whose buffer is wiped with the password.
    pub fn new(clear: String) -> Self {
        Self(Zeroizing::new(clear))
    }

    /// The clear text. Every call needs a review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
