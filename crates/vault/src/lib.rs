//! Everything that touches a private key or a clear-text password before it goes to a connector.

mod password;

pub use self::password::Password;
