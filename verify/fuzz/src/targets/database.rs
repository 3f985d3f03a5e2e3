//! Anything a PostgreSQL server may answer: an outcome or a fault, soon.

use crate::server;

/// Tries it.
pub fn run(bytes: &[u8]) {
    server::postgresql(bytes);
}
