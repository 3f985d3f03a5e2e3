//! Statistics that decide whether time distinguishes classes that must be indistinguishable.
//!
//! 1. The compared cases are a list of [`Class`]es; each is compared with one of them.
//! 2. [`Race::order`] returns the order of all classes in one round, random each time, so that
//!    disturbances of the machine affect all classes alike; [`Race::round`] stores the round's
//!    times.
//! 3. [`Race::verdicts`] compares in pairs within a round: the median of the differences with its
//!    95 % confidence interval, the sign test, and Wilcoxon's signed-rank test. A test of means
//!    would miss what these detect.
//! 4. [`Race::end`] prints the table and returns what it proves.
//!
//! The method is that of the Marvin toolkit (tomato42/marvin-toolkit).

#[cfg(rekey_proof)]
pub mod blocks;
mod machine;
mod race;
mod statistics;

pub use self::machine::{Machine, pin};
pub use self::race::{Class, End, Expected, Race, Verdict};
pub use self::statistics::{friedman, holm, median_interval, sign, two_sided, wilcoxon};
