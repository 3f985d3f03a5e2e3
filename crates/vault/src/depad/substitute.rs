//! The synthetic message that replaces a message whose padding was wrong.

use aws_lc_rs::hmac;
use subtle::{ConditionallySelectable, ConstantTimeGreater};
use zeroize::Zeroizing;

/// Derives the synthetic message of one ciphertext, which is secret but always the same
/// (draft-irtf-cfrg-rsa-guidance-10, sections 7.1 and 7.2).
pub(crate) struct Substitute {
    key: hmac::Key,
}

/// The number of bytes of candidate lengths that the draft derives: 128 candidates of two bytes
/// each. Each fits with a probability above 1/2, so none fits with one below 2^-128.
const LENGTHS: usize = 256;

impl Substitute {
    /// `secret` is SHA-256 of the private exponent, encoded at the modulus' length, or any other
    /// secret that stays with the key.
    pub(crate) fn new(secret: &[u8; 32], ciphertext: &[u8]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let key = hmac::sign(&secret, ciphertext);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()) }
    }

    /// Returns `size` bytes, as many as the modulus has, and the length of the message at their
    /// end. The length is the last derived one that is at most `limit`.
    pub(super) fn message(&self, size: usize, limit: u32) -> (Zeroizing<Vec<u8>>, u32) {
        let lengths = self.derive(b"length", LENGTHS);
        let mask = limit
            .checked_next_power_of_two()
            .map_or(u32::MAX, |power| if power == limit { 2 * power - 1 } else { power - 1 });
        let mut length = 0;
        for pair in lengths.chunks_exact(2) {
            let candidate = pair.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte)) & mask;
            length.conditional_assign(&candidate, !candidate.ct_gt(&limit));
        }
        (self.derive(b"message", size), length)
    }

    /// The IRPRF of the draft: HMAC-SHA256 over counter, label and the output's length in bits.
    fn derive(&self, label: &[u8], size: usize) -> Zeroizing<Vec<u8>> {
        let bits = u16::try_from(size * 8).unwrap_or(u16::MAX).to_be_bytes();
        let mut out = Zeroizing::new(vec![0; size]);
        for (counter, chunk) in (0_u16..).zip(out.chunks_mut(32)) {
            let mut context = hmac::Context::with_key(&self.key);
            context.update(&counter.to_be_bytes());
            context.update(label);
            context.update(&bits);
            for (to, from) in chunk.iter_mut().zip(context.sign().as_ref()) {
                *to = *from;
            }
        }
        out
    }
}
