//! Classes that are measured in rounds, and the evaluation of their times.

use crate::statistics::{friedman, holm, median_interval, real, sign, two_sided, wilcoxon};

/// The significance level, after correction for the number of tests.
const CHANCE: f64 = 0.001;
/// The default bound in nanoseconds within which a difference is harmless, however significant it
/// is: an attacker on the same machine needs dozens of nanoseconds, one on a network far more.
const HARMLESS: i64 = 50;

/// A class whose time is compared.
pub struct Class {
    /// The name of the class.
    pub name: String,
    /// The index of the class that it is compared with; its own index if it is a reference.
    pub against: usize,
    /// The required result of the comparison.
    pub expected: Expected,
}

/// The required result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The classes must be indistinguishable.
    Alike,
    /// The control is slower: unless that is detected, the measurement can detect nothing.
    Slower,
}

/// The measured times.
pub struct Race {
    classes: Vec<Class>,
    /// One value for each class, in nanoseconds.
    rounds: Vec<Vec<u64>>,
    /// The bound within which a difference is harmless, in nanoseconds.
    harmless: i64,
}

/// The evaluation of one class.
pub struct Verdict<'a> {
    class: &'a Class,
    /// The lower bound, the median and the upper bound of the paired differences (95 % interval),
    /// in nanoseconds.
    interval: (i64, i64, i64),
    /// The results of the sign test and of Wilcoxon's test, in standard deviations.
    z: (f64, f64),
    /// The smaller p-value of the two tests, with Holm's correction.
    chance: f64,
    /// The bound within which a difference is harmless, in nanoseconds.
    harmless: i64,
}

/// The result of a race.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Only the control was detected.
    Alike,
    /// The race proves nothing: the control was not detected, or an interval is wider than the
    /// bound.
    Blind,
    /// Time distinguishes at least one class.
    Told,
}

impl End {
    /// The worse of two results.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Told, _) | (_, Self::Told) => Self::Told,
            (Self::Blind, _) | (_, Self::Blind) => Self::Blind,
            (Self::Alike, Self::Alike) => Self::Alike,
        }
    }

    /// The exit code of a command with this result.
    pub fn code(&self) -> u8 {
        match self {
            Self::Alike => 0,
            Self::Told => 1,
            Self::Blind => 2,
        }
    }

    /// The result in words.
    pub fn sentence(&self) -> &'static str {
        match self {
            Self::Alike => "alike: time tells nothing but the control",
            Self::Told => "told: time tells a class from its reference",
            Self::Blind => {
                "blind: the control was not seen or an interval is too wide; take more samples or a quieter machine"
            }
        }
    }
}

impl Race {
    /// A race without measurements.
    pub fn new(classes: Vec<Class>) -> Self {
        Self { classes, rounds: Vec::new(), harmless: HARMLESS }
    }

    /// Replaces the bound of 50 ns within which a difference is harmless, however significant it
    /// is.
    #[must_use]
    pub fn harmless_within(self, harmless: i64) -> Self {
        Self { harmless, ..self }
    }

    /// The classes.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// A permutation of the class indices, determined by `random`.
    pub fn order(&self, random: &[u8]) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.classes.len()).collect();
        for (last, byte) in (1..order.len()).rev().zip(random) {
            order.swap(last, usize::from(*byte) % (last + 1));
        }
        order
    }

    /// Stores the times of one round, in nanoseconds, one for each class.
    pub fn round(&mut self, times: Vec<u64>) {
        self.rounds.push(times);
    }

    /// The evaluation of each class that is compared with another one.
    pub fn verdicts(&self) -> Vec<Verdict<'_>> {
        let compared: Vec<_> = self
            .classes
            .iter()
            .enumerate()
            .filter(|(place, class)| class.against != *place)
            .collect();
        let mut verdicts: Vec<_> =
            compared.iter().map(|(place, class)| self.verdict(*place, class)).collect();
        // Two tests for each class are corrected together.
        let chances: Vec<_> = verdicts
            .iter()
            .flat_map(|verdict| [two_sided(verdict.z.0), two_sided(verdict.z.1)])
            .collect();
        for (verdict, chances) in verdicts.iter_mut().zip(holm(&chances).chunks(2)) {
            verdict.chance = chances.iter().copied().fold(1.0, f64::min);
        }
        verdicts
    }

    fn verdict<'a>(&self, place: usize, class: &'a Class) -> Verdict<'a> {
        let time = |round: &[u64], place: usize| {
            round.get(place).and_then(|time| i64::try_from(*time).ok()).unwrap_or(0)
        };
        let differences: Vec<_> = self
            .rounds
            .iter()
            .map(|round| time(round, place) - time(round, class.against))
            .collect();
        Verdict {
            class,
            interval: median_interval(&differences),
            z: (sign(&differences), wilcoxon(&differences)),
            chance: 1.0,
            harmless: self.harmless,
        }
    }

    /// The p-value of Friedman's test over the classes that must be alike and are compared with the
    /// class at `against`.
    pub fn together(&self, against: usize) -> f64 {
        let alike = |class: &Class| class.against == against && class.expected == Expected::Alike;
        let places: Vec<_> =
            (0..).zip(&self.classes).filter(|(_, class)| alike(class)).map(|(at, _)| at).collect();
        let of = |round: &Vec<u64>| {
            places.iter().filter_map(|at: &usize| round.get(*at)).copied().collect()
        };
        friedman(&self.rounds.iter().map(of).collect::<Vec<_>>())
    }

    /// Prints the table and returns the result: [`End::Told`] if time distinguishes a class,
    /// otherwise [`End::Alike`] if the control was detected and every interval lies within `bound`
    /// nanoseconds of 0, otherwise [`End::Blind`].
    pub fn end(&self, bound: i64) -> End {
        say(&format!(
            "{:<44} {:>9} {:>19} {:>7} {:>7} {:>9}",
            "class", "median ns", "95 % within", "sign z", "rank z", "chance"
        ));
        let verdicts = self.verdicts();
        for verdict in &verdicts {
            verdict.print(bound);
        }
        let mut together: Vec<_> = verdicts.iter().map(|verdict| verdict.class.against).collect();
        together.sort_unstable();
        together.dedup();
        let chances: Vec<_> = together.iter().map(|against| self.together(*against)).collect();
        for (against, chance) in together.iter().zip(&chances) {
            let name = self.classes.get(*against).map_or("", |class| class.name.as_str());
            say(&format!("all like {name:?} together (Friedman): chance {chance:.4}"));
        }
        let told = verdicts.iter().any(Verdict::is_told);
        let together = chances.iter().any(|chance| *chance < CHANCE / real(chances.len()))
            && verdicts.iter().any(|verdict| !verdict.is_good(self.harmless));
        if told || together {
            End::Told
        } else if verdicts.iter().all(|verdict| verdict.is_good(bound)) {
            End::Alike
        } else {
            End::Blind
        }
    }
}

impl Verdict<'_> {
    fn differs(&self) -> bool {
        self.chance < CHANCE
    }

    fn is_within(&self, bound: i64) -> bool {
        let (from, _, to) = self.interval;
        from >= -bound && to <= bound
    }

    /// Whether time distinguishes a class that must be indistinguishable.
    fn is_told(&self) -> bool {
        self.class.expected == Expected::Alike && self.differs() && !self.is_within(self.harmless)
    }

    fn is_good(&self, bound: i64) -> bool {
        match self.class.expected {
            Expected::Alike => !self.is_told() && self.is_within(bound),
            Expected::Slower => self.differs() && self.interval.1 > 0,
        }
    }

    fn print(&self, bound: i64) {
        let (from, median, to) = self.interval;
        let word = match (self.class.expected, self.is_good(bound)) {
            (_, true) => "",
            (Expected::Alike, _) if self.is_told() => "  <- told",
            (Expected::Alike, _) => "  <- too wide",
            (Expected::Slower, _) => "  <- not seen",
        };
        say(&format!(
            "{:<44} {median:>+9} {:>19} {:>+7.2} {:>+7.2} {:>9.2e}{word}",
            self.class.name,
            format!("{from:+} to {to:+}"),
            self.z.0,
            self.z.1,
            self.chance,
        ));
    }
}

#[expect(clippy::print_stdout, reason = "the table of a command")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn race(slower: [u64; 3]) -> Race {
        race_with(1_000, slower)
    }

    fn race_with(most_noise: u64, slower: [u64; 3]) -> Race {
        let class = |name: &str, expected| Class { name: name.to_owned(), against: 0, expected };
        let mut race = Race::new(vec![
            class("reference", Expected::Alike),
            class("other", Expected::Alike),
            class("control", Expected::Slower),
        ]);
        // Knuth's linear congruential generator, so that the test is deterministic.
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % most_noise
        };
        for _ in 0..4_000 {
            race.round(slower.iter().map(|more| 600_000 + noise() + more).collect());
        }
        race
    }

    #[test]
    fn only_the_control_is_seen() {
        assert_eq!(race([0, 0, 100]).end(50), End::Alike);
    }

    #[test]
    fn a_slower_class_is_told() {
        assert_eq!(race([0, 100, 100]).end(50), End::Told);
        assert_eq!(race([100, 0, 200]).end(50), End::Told);
    }

    #[test]
    fn what_is_certain_but_harmless_is_not_told() {
        let race = race_with(100, [0, 20, 100]);
        assert!(race.verdicts().iter().all(Verdict::differs));
        assert_eq!(race.end(50), End::Alike);
        // Negative control: equally significant, but not harmless.
        assert_eq!(race_with(100, [0, 60, 100]).end(50), End::Told);
        assert_eq!(race_with(100, [0, 60, 100]).end(500), End::Told);
    }

    #[test]
    fn what_is_harmless_may_be_said() {
        let race = |slower| race_with(100, [0, slower, 1_000]).harmless_within(500);
        assert_eq!(race(60).end(500), End::Alike);
        assert_eq!(race(600).end(500), End::Told);
        // A harmless difference does not excuse an interval that exceeds the bound.
        assert_eq!(race(60).end(50), End::Blind);
    }

    #[test]
    fn without_the_control_or_with_a_narrow_bound_nothing_is_proven() {
        assert_eq!(race([0, 0, 0]).end(50), End::Blind);
        assert_eq!(race([0, 0, 100]).end(1), End::Blind);
    }

    #[test]
    fn every_order_holds_every_class() {
        let race = race([0, 0, 0]);
        for random in [[0, 0, 0], [255, 3, 9], [7, 8, 1]] {
            let mut order = race.order(&random);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2]);
        }
    }
}
