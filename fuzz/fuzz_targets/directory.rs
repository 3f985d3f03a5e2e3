//! Anything an LDAP server may answer: an outcome or a fault, soon.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rekey_fuzz::server;

fuzz_target!(|bytes: &[u8]| server::ldap(bytes));
