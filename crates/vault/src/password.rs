//! The one type that may hold a password in clear.

use zeroize::Zeroizing;

/// A password in clear: wiped on drop; it cannot be printed, copied, compared or serialized.
///
/// Only this crate and the connectors may call [`Password::expose`]; a test of the service
/// guards that.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes over `clear`, whose buffer is wiped with the password.
    pub fn new(clear: String) -> Self {
        Self(Zeroizing::new(clear))
    }

    /// The clear text. Every call is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
