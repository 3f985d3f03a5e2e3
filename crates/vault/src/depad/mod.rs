//! Taking the padding off in constant time, with implicit rejection.
//!
//! Every function here takes a decrypted block and gives a [`Candidate`](crate::Candidate); none
//! can fail. Which bytes are read, written and compared depends on the length of the block only.
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

/// The candidate: the last `length` bytes of `block` if `genuine`, else the synthetic message of
/// at most `limit` bytes. Both are made in full before one is chosen.
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

/// The length of a block. Blocks have at most 512 bytes.
fn len(block: &[u8]) -> u32 {
    u32::try_from(block.len()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod timing;
