//! Random bytes and digests, from AWS-LC.

use aws_lc_rs::{digest, rand};

use crate::Error;

/// Returns `N` bytes from the operating system's generator, through AWS-LC.
///
/// # Errors
///
/// [`Error::Random`] if the generator fails.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

/// Computes SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = digest::digest(&digest::SHA256, bytes);
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}
