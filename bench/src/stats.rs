//! Percentiles of a round, and medians of rounds.

use serde::Serialize;

/// What one figure came to over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The middle round.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The most.
    pub(crate) max: f64,
}

impl Spread {
    /// Of all rounds; nothing of none.
    pub(crate) fn of(rounds: &[f64]) -> Option<Self> {
        let sorted = sorted(rounds);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { median: rank(&sorted, 0.5)?, min, max })
    }
}

/// The 50th and the 99th percentile, by nearest rank.
pub(crate) fn p50_p99(values: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(values);
    Some((rank(&sorted, 0.5)?, rank(&sorted, 0.99)?))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn rank(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil().max(1.0);
    sorted.get(rank as usize - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(p50_p99(&values), Some((50.0, 99.0)));
        assert_eq!(p50_p99(&[7.0]), Some((7.0, 7.0)));
        assert_eq!(p50_p99(&[]), None);
    }

    #[test]
    fn a_spread_is_the_middle_and_both_ends() {
        let spread = Spread::of(&[5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!(spread, Spread { median: 3.0, min: 1.0, max: 5.0 });
        assert_eq!(Spread::of(&[]), None);
    }
}
