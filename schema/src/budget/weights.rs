//! How a budget counts the kinds of tokens. Weights are kept in thousandths so that charging is integer arithmetic,
//! the same on every machine; the result is rounded up, so that weighing never makes tokens vanish.

use crate::Usage;
use serde::{Deserialize, Deserializer, Serialize};

/// The factor by which each kind of token counts against a budget. The ledger keeps raw numbers whatever these are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Tokens read from the provider's cache.
    #[serde(deserialize_with = "thousandths")]
    #[cfg_attr(feature = "config", schemars(with = "f64"))]
    pub cache_read: u64,
    /// Tokens written to the provider's cache.
    #[serde(deserialize_with = "thousandths")]
    #[cfg_attr(feature = "config", schemars(with = "f64"))]
    pub cache_write: u64,
    /// Everything that is neither cache nor output.
    #[serde(deserialize_with = "thousandths")]
    #[cfg_attr(feature = "config", schemars(with = "f64"))]
    pub input: u64,
    /// Generated tokens.
    #[serde(deserialize_with = "thousandths")]
    #[cfg_attr(feature = "config", schemars(with = "f64"))]
    pub output: u64,
}

/// One, in the unit of [`Weights`].
const ONE: u64 = 1000;

impl Default for Weights {
    fn default() -> Self {
        Self { cache_read: ONE, cache_write: ONE, input: ONE, output: ONE }
    }
}

impl Weights {
    /// What `usage` costs a budget (DESIGN section 5): every token once, then each kind's weight on top.
    pub fn charged(&self, usage: &Usage) -> u64 {
        let rest = usage
            .total
            .saturating_sub(usage.cache_read)
            .saturating_sub(usage.cache_write)
            .saturating_sub(usage.output);
        // A provider may state a total below its parts; the parts are then what was processed.
        let parts = [
            (usage.cache_read, self.cache_read),
            (usage.cache_write, self.cache_write),
            (usage.output, self.output),
            (rest, self.input),
        ];
        let thousandths: u128 =
            parts.iter().map(|(tokens, weight)| u128::from(*tokens) * u128::from(*weight)).sum();
        u64::try_from(thousandths.div_ceil(u128::from(ONE))).unwrap_or(u64::MAX).min(i64::MAX as u64)
    }

    /// What a hold of `tokens` reserves: what kind they will be is not known yet, so the largest weight counts.
    pub fn held(&self, tokens: u64) -> u64 {
        let thousandths = u128::from(tokens) * u128::from(self.largest());
        u64::try_from(thousandths.div_ceil(u128::from(ONE))).unwrap_or(u64::MAX).min(i64::MAX as u64)
    }

    /// How many tokens fit under `room`, by the largest weight: the inverse of [`Weights::held`], rounded down.
    pub fn fitting(&self, room: u64) -> u64 {
        match self.largest() {
            0 => u64::MAX,
            largest => {
                u64::try_from(u128::from(room) * u128::from(ONE) / u128::from(largest)).unwrap_or(u64::MAX)
            }
        }
    }

    fn largest(&self) -> u64 {
        self.cache_read.max(self.cache_write).max(self.input).max(self.output)
    }
}

/// Reads a weight such as `1`, `0.1` or `1.25` into thousandths.
fn thousandths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let weight = f64::deserialize(deserializer)?;
    match (0.0..=1000.0).contains(&weight) {
        true => Ok((weight * ONE as f64).round() as u64),
        false => Err(serde::de::Error::custom(format_args!("weight {weight} is not between 0 and 1000"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_a_token_is_a_token() {
        let usage = Usage { input: 3, output: 7, cache_read: 9709, total: 9719, ..Usage::default() };
        assert_eq!(Weights::default().charged(&usage), 9719);
    }

    #[test]
    fn cache_inside_input_is_not_charged_twice() {
        let usage = Usage { input: 100, output: 10, cache_read: 80, total: 110, ..Usage::default() };
        let weights = Weights { cache_read: 100, output: 4000, ..Weights::default() };
        assert_eq!(weights.charged(&usage), 20 + 8 + 40);
    }

    #[test]
    fn a_hold_counts_by_the_largest_weight_and_fitting_inverts_it() {
        let weights = Weights { output: 2500, ..Weights::default() };
        assert_eq!(weights.held(101), 253);
        for room in [0, 1, 250, 253, 1_000_003] {
            assert!(weights.held(weights.fitting(room)) <= room);
        }
    }
}
