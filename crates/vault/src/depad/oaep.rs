//! OAEP with SHA-256: `00`, masked seed, masked (hash of the label, zeros, `01`, message).

use aws_lc_rs::digest;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::{Substitute, choose, len};
use crate::{Candidate, sha256};

/// The length of a SHA-256 digest, and so of the seed, in bytes.
const HASH: usize = 32;

/// Removes OAEP padding (RFC 8017, section 7.1.2), with the same implicit rejection as for PKCS#1
/// v1.5, so that this result cannot be observed either (Manger's attack).
pub(crate) fn oaep(mut block: Zeroizing<Vec<u8>>, substitute: &Substitute) -> Candidate {
    let size = len(&block);
    let mut genuine = Choice::from(1);
    if let Some((first, rest)) = block.split_first_mut() {
        genuine &= first.ct_eq(&0);
        if let Some((seed, data)) = rest.split_at_mut_checked(HASH) {
            unmask(seed, data);
            unmask(data, seed);
        }
    }
    let label = sha256(b"");
    #[cfg(rekey_leaky)]
    if !bool::from(genuine) || !block.get(1 + HASH..).is_some_and(|data| data.starts_with(&label)) {
        return super::give_up(block);
    }
    let mut found = Choice::from(0);
    let mut separator = 0_u32;
    for (index, byte) in (0_u32..).zip(block.iter()).skip(1 + HASH) {
        if let Some(expected) = usize::try_from(index).ok().and_then(|i| label.get(i - 1 - HASH)) {
            genuine &= byte.ct_eq(expected);
        } else {
            let one = byte.ct_eq(&1);
            separator.conditional_assign(&index, one & !found);
            found |= one;
            // Only zeros may precede the separator.
            genuine &= found | byte.ct_eq(&0);
        }
    }
    genuine &= found;
    let length = size.wrapping_sub(1).wrapping_sub(separator);
    choose(block, length, genuine, size.saturating_sub(66), substitute)
}

/// `target ^= MGF1(seed)` (RFC 8017, appendix B.2.1).
fn unmask(target: &mut [u8], seed: &[u8]) {
    for (counter, chunk) in (0_u32..).zip(target.chunks_mut(HASH)) {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(seed);
        context.update(&counter.to_be_bytes());
        for (byte, mask) in chunk.iter_mut().zip(context.finish().as_ref()) {
            *byte ^= mask;
        }
    }
}
