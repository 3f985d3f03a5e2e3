//! Statistical tests that assume no particular distribution.

use std::f64::consts::SQRT_2;

/// The two-sided p-value of a normal deviate.
pub fn two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() / SQRT_2)
}

/// The sign test: the excess of positive differences over half, in standard deviations.
pub fn sign(differences: &[i64]) -> f64 {
    let count = |sign| real(differences.iter().filter(|one| one.signum() == sign).count());
    let (more, less) = (count(1), count(-1));
    if more + less == 0.0 { 0.0 } else { (more - less) / (more + less).sqrt() }
}

/// Wilcoxon's signed-rank test, in standard deviations. Zeros are left out, and ties share their
/// rank.
pub fn wilcoxon(differences: &[i64]) -> f64 {
    let mut sizes: Vec<_> = differences.iter().copied().filter(|one| *one != 0).collect();
    sizes.sort_unstable_by_key(|one| one.unsigned_abs());
    let (mut sum, mut ties, mut before) = (0.0, 0.0, 0.0);
    for tied in sizes.chunk_by(|a, b| a.unsigned_abs() == b.unsigned_abs()) {
        let many = real(tied.len());
        let rank = before + f64::midpoint(many, 1.0);
        sum += rank * real(tied.iter().filter(|one| **one > 0).count());
        ties += many * many * many - many;
        before += many;
    }
    let mean = before * (before + 1.0) / 4.0;
    let variance = before * (before + 1.0) * (2.0 * before + 1.0) / 24.0 - ties / 48.0;
    if variance > 0.0 { (sum - mean) / variance.sqrt() } else { 0.0 }
}

/// The lower bound, the median and the upper bound of its 95 % confidence interval, from order
/// statistics, for any distribution. All are 0 for an empty slice.
pub fn median_interval(differences: &[i64]) -> (i64, i64, i64) {
    let mut sorted = differences.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    let away = whole(0.98 * real(sorted.len()).sqrt()) + 1;
    let at = |place: usize| sorted.get(place).or(sorted.last()).copied().unwrap_or(0);
    (at(middle.saturating_sub(away)), at(middle), at(middle + away))
}

/// The p-value of Friedman's test over all classes. `rounds` holds one value for each class in each
/// round.
pub fn friedman(rounds: &[Vec<u64>]) -> f64 {
    let classes = rounds.first().map_or(0, Vec::len);
    if classes < 2 {
        return 1.0;
    }
    let mut sums = vec![0.0; classes];
    let mut ties = 0.0;
    for round in rounds {
        let mut order: Vec<_> = round.iter().enumerate().collect();
        order.sort_unstable_by_key(|(_, time)| **time);
        let mut before = 0.0;
        for tied in order.chunk_by(|a, b| a.1 == b.1) {
            let many = real(tied.len());
            for (class, _) in tied {
                if let Some(sum) = sums.get_mut(*class) {
                    *sum += before + f64::midpoint(many, 1.0);
                }
            }
            ties += many * many * many - many;
            before += many;
        }
    }
    let (k, n) = (real(classes), real(rounds.len()));
    let expected = n * (k + 1.0) / 2.0;
    let spread: f64 = sums.iter().map(|sum| (sum - expected) * (sum - expected)).sum();
    let scale = n * k * (k + 1.0) / 12.0 - ties / (12.0 * (k - 1.0));
    if scale > 0.0 { chi_square_above(spread / scale, k - 1.0) } else { 1.0 }
}

/// Holm's correction of p-values for multiple tests, in the same order.
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<_> = probabilities.iter().copied().enumerate().collect();
    order.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
    let mut corrected = vec![1.0; probabilities.len()];
    let mut least = 0.0_f64;
    for (place, (index, probability)) in order.iter().enumerate() {
        least = least.max(probability * real(order.len() - place)).min(1.0);
        if let Some(one) = corrected.get_mut(*index) {
            *one = least;
        }
    }
    corrected
}

/// The probability of a chi-square of at least `x` (cube-root approximation by Wilson and Hilferty,
/// accurate to a tenth of the probability).
fn chi_square_above(x: f64, degrees: f64) -> f64 {
    let part = 2.0 / (9.0 * degrees);
    let z = ((x / degrees).cbrt() - (1.0 - part)) / part.sqrt();
    libm::erfc(z / SQRT_2) / 2.0
}

/// Converts a count; counts above 2^32 - 1 saturate.
pub(crate) fn real(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "of a root of a count, which is neither large nor negative"
)]
fn whole(number: f64) -> usize {
    number as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(is: f64, should: f64) {
        assert!((is - should).abs() <= 0.02 * should.abs().max(0.001), "{is} is not {should}");
    }

    #[test]
    fn what_tables_say() {
        close(two_sided(1.959_964), 0.05);
        close(two_sided(-3.290_527), 0.001);
        close(chi_square_above(18.307, 10.0), 0.05);
        assert!((0.0009..0.0011).contains(&chi_square_above(29.588, 10.0)));
    }

    #[test]
    fn the_sign_test_counts_signs() {
        close(sign(&[5, 1, 9, -2, 0]), 1.0);
        close(sign(&[]), 0.0);
    }

    #[test]
    fn wilcoxon_weighs_by_rank() {
        // Ranks 1 to 6, of which 1 is negative: W+ = 20, mean 10.5, variance 22.75.
        close(wilcoxon(&[-1, 2, 3, 4, 5, 6]), 9.5 / 22.75_f64.sqrt());
        // Two differences share ranks 1 and 2: W+ = 1.5, mean 1.5.
        close(wilcoxon(&[-1, 1]), 0.0);
    }

    #[test]
    fn a_median_stands_between_its_bounds() {
        let numbers: Vec<i64> = (0..=10_000).collect();
        assert_eq!(median_interval(&numbers), (4_901, 5_000, 5_099));
        assert_eq!(median_interval(&[]), (0, 0, 0));
        assert_eq!(median_interval(&[7]), (7, 7, 7));
    }

    #[test]
    fn friedman_sees_one_that_is_always_last_and_nothing_in_turns() {
        let last: Vec<_> = (0..100).map(|n| vec![n % 3, (n + 1) % 3, (n + 2) % 3, 9]).collect();
        assert!(friedman(&last) < 1e-9);
        let turns: Vec<_> = (0..99).map(|n| vec![n % 3, (n + 1) % 3, (n + 2) % 3]).collect();
        assert!(friedman(&turns) > 0.9);
        assert!(friedman(&[vec![3, 3], vec![3, 3]]) > 0.9);
    }

    #[test]
    fn holm_multiplies_the_least_most_and_never_turns_the_order() {
        let corrected = holm(&[0.04, 0.01, 0.03]);
        close(corrected[0], 0.06);
        close(corrected[1], 0.03);
        close(corrected[2], 0.06);
        assert!(holm(&[0.9, 0.8]).iter().all(|one| *one <= 1.0));
    }
}
