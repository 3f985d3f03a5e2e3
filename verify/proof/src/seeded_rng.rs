//! A deterministic random number generator: the same seed gives the same numbers.

use std::time::{Duration, SystemTime};

/// `SplitMix64` (Steele et al. 2014), not for secrets.
pub(crate) struct SeededRng(u64);

impl SeededRng {
    /// The generator of this seed.
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed from the clock.
    pub(crate) fn any_seed() -> u64 {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        now.as_secs() << 20 ^ u64::from(now.subsec_nanos())
    }

    /// A number from 0 up to but excluding `end`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % (end.max(1) as u64)).unwrap_or(0)
    }

    /// A duration between `least` and `most`, in steps of 1 ms.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = usize::try_from(most.saturating_sub(least).as_millis()).unwrap_or(0);
        least + Duration::from_millis(self.below(span + 1) as u64)
    }

    /// One of the values, or `None` if there are none.
    pub(crate) fn one_of<'a, T>(&mut self, several: &'a [T]) -> Option<&'a T> {
        several.get(self.below(several.len()))
    }
}
