//! Access tokens.

use rekey_vault::Sealer;

use crate::{App, Error, access::Caller, clock::Clock, store::Store};

/// Signs and verifies access tokens.
pub struct Tokens {}

impl Tokens {
    /// Reads the signing keys, and makes the first.
    pub async fn load(_store: &Store, _sealer: &Sealer, _clock: &Clock) -> Result<Self, Error> {
        Ok(Self {})
    }
}

impl App {
    /// Whose token this is.
    pub async fn caller(&self, _token: &str) -> Result<Caller, Error> {
        Err(Error::Unauthenticated("JWT validation failed".into()))
    }
}
