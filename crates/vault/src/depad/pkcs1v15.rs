//! PKCS#1 v1.5: `00 02`, at least eight nonzero bytes, `00`, the message.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater};
use zeroize::Zeroizing;

use super::{Substitute, choose, len};
use crate::Candidate;

/// Removes PKCS#1 v1.5 padding (RFC 8017, section 7.2.2), with the implicit rejection of
/// draft-irtf-cfrg-rsa-guidance-10, section 7.2.
pub(crate) fn pkcs1v15(block: Zeroizing<Vec<u8>>, substitute: &Substitute) -> Candidate {
    let size = len(&block);
    #[cfg(rekey_leaky)]
    if !block.starts_with(&[0, 2]) {
        return super::give_up(block);
    }
    let mut genuine = Choice::from(1);
    let mut found = Choice::from(0);
    let mut separator = 0_u32;
    for (index, byte) in (0_u32..).zip(block.iter()) {
        match index {
            0 => genuine &= byte.ct_eq(&0),
            1 => genuine &= byte.ct_eq(&2),
            _ => {
                let zero = byte.ct_eq(&0);
                separator.conditional_assign(&index, zero & !found);
                found |= zero;
            }
        }
    }
    // At least eight padding bytes, at indexes 2 to 9, must come before the separator.
    genuine &= found & separator.ct_gt(&9);
    let length = size.wrapping_sub(1).wrapping_sub(separator);
    choose(block, length, genuine, size.saturating_sub(11), substitute)
}
