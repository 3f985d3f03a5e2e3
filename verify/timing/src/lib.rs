//! Whether time tells two things apart that nobody may tell apart.
//!
//! 1. What is compared is a list of [`Class`]es; each is held against one of them.
//! 2. [`Race::round`] says in which order the classes of one round are tried: all of them, each
//!    time in another order, so that whatever disturbs the machine disturbs all alike.
//! 3. [`Race::verdicts`] compares in pairs within a round: the median of the differences with its
//!    95 % confidence interval, the sign test, and Wilcoxon's signed-rank test. A test on means
//!    does not see what these see.
//! 4. [`Race::end`] prints the table and says what it proves.
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
