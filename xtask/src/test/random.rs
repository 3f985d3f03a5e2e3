//! Secrets for one run. None is fixed, so that no test publishes a password that somebody uses.

use std::fs::File;
use std::io::Read;

use crate::shell::Result;

/// 128 random bits as 32 hexadecimal digits.
pub(crate) fn secret() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|e| format!("cannot read /dev/urandom: {e}"))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
