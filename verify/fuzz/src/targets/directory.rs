//! Arbitrary answers of an LDAP server: the connector must return an outcome or a fault, soon.

use crate::server;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    server::ldap(bytes);
}
