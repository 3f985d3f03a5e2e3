//! A seeded generator, `SplitMix64`: a seed gives the same numbers in each run.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The generator of one seed.
#[derive(Debug)]
pub(crate) struct SeededRng(AtomicU64);

impl SeededRng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed.wrapping_mul(GOLDEN)))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to but excluding `sides`, which must not be 0.
    pub(crate) fn below(&self, sides: usize) -> usize {
        usize::try_from(self.next() % sides as u64).unwrap_or_default()
    }

    /// Returns true with a probability of `of_a_thousand` / 1000.
    pub(crate) fn chance(&self, of_a_thousand: u64) -> bool {
        self.next() % 1000 < of_a_thousand
    }

    /// A duration from zero up to but excluding `most`, in whole milliseconds.
    pub(crate) fn up_to(&self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.next() % most)
    }

    /// One of the values, which must not be empty.
    pub(crate) fn one_of<T: Copy>(&self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len().max(1))).copied()
    }
}
