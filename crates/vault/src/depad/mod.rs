//! Removes the padding in constant time, with implicit rejection.
//!
//! Every function here takes a decrypted block and returns a [`Candidate`](crate::Candidate); none
//! can fail. The bytes that are read, written and compared depend only on the length of the block.
//! Hash states and digests on the stack are not wiped; blocks and messages are.

mod oaep;
mod pkcs1v15;
mod substitute;

pub(crate) use self::oaep::oaep;
pub(crate) use self::pkcs1v15::pkcs1v15;
pub(crate) use self::substitute::Substitute;

use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroizing;

use crate::Candidate;

/// Returns the candidate: the last `length` bytes of `block` if `genuine`, else the synthetic
/// message of at most `limit` bytes. Both are computed in full before one is selected.
fn choose(
    mut block: Zeroizing<Vec<u8>>,
    length: u32,
    genuine: Choice,
    limit: u32,
    substitute: &Substitute,
) -> Candidate {
    let (message, substitute_length) = substitute.message(block.len(), limit);
    for (byte, other) in block.iter_mut().zip(message.iter()) {
        byte.conditional_assign(other, !genuine);
    }
    let length = u32::conditional_select(&substitute_length, &length, genuine);
    Candidate::new(block, usize::try_from(length).unwrap_or(0), genuine)
}

/// The result of a leaky depadding, which stops as soon as it finds the padding wrong: no message,
/// and no time spent on a synthetic one. The timing proof must detect it.
#[cfg(rekey_leaky)]
fn give_up(block: Zeroizing<Vec<u8>>) -> Candidate {
    Candidate::new(block, 0, Choice::from(0))
}

/// The message that [`choose`] selects for a block of `size` bytes that is not genuine.
#[cfg(rekey_proof)]
pub(crate) fn synthetic(size: usize, padding: crate::Padding, substitute: &Substitute) -> Vec<u8> {
    let (message, length) =
        substitute.message(size, u32::try_from(padding.max_clear(size)).unwrap_or(0));
    let start = size.saturating_sub(usize::try_from(length).unwrap_or(0));
    message.get(start..).unwrap_or_default().to_vec()
}

/// The length of a block. Blocks have at most 512 bytes.
fn len(block: &[u8]) -> u32 {
    u32::try_from(block.len()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
