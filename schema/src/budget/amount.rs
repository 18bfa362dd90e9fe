//! Token amounts as people write them: `200000`, `200_000`, `200k`, `1.5M`.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;

/// A number of tokens, written as an integer or with `k`, `M` or `G` (powers of a thousand).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "config", schemars(with = "AmountSchema"))]
#[serde(transparent)]
pub struct Amount(pub u64);

/// What an editor accepts for an [`Amount`].
#[cfg(feature = "config")]
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum AmountSchema {
    Tokens(u64),
    Text(#[schemars(regex(pattern = r"^[0-9][0-9_]*(\.[0-9]+)?[kKmMgG]?$"))] String),
}

/// A text that is no amount of tokens.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not an amount of tokens; expected a whole number such as 200000, 200k or 1.5M")]
pub struct InvalidAmount(String);

impl FromStr for Amount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        parse(text).map(Self).ok_or_else(|| InvalidAmount(text.to_owned()))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AmountVisitor;

        impl Visitor<'_> for AmountVisitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount of tokens such as 200000, 200k or 1.5M")
            }

            fn visit_u64<E: Error>(self, tokens: u64) -> Result<Amount, E> {
                Ok(Amount(tokens))
            }

            fn visit_i64<E: Error>(self, tokens: i64) -> Result<Amount, E> {
                u64::try_from(tokens).map(Amount).map_err(|_| {
                    E::custom(format_args!("{tokens} is negative; a budget is a number of tokens"))
                })
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(AmountVisitor)
    }
}

/// Exact for every amount that is a whole number of tokens; `None` for anything else, overflow included.
fn parse(text: &str) -> Option<u64> {
    let (digits, zeros) = match text.as_bytes().last()? {
        b'k' | b'K' => (text.get(..text.len() - 1)?, 3),
        b'm' | b'M' => (text.get(..text.len() - 1)?, 6),
        b'g' | b'G' => (text.get(..text.len() - 1)?, 9),
        _ => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.replace('_', "");
    let fraction = fraction.trim_end_matches('0');
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(&whole) || !plain(fraction) || fraction.len() > zeros {
        return None;
    }
    if digits.ends_with('.') || digits.starts_with('_') {
        return None;
    }
    format!("{whole}{fraction}{}", "0".repeat(zeros - fraction.len())).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        for (text, tokens) in [
            ("0", 0),
            ("200000", 200_000),
            ("200_000", 200_000),
            ("200k", 200_000),
            ("1.5M", 1_500_000),
            ("2G", 2_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Amount(tokens)), "{text}");
        }
        for text in
            ["", "k", "-1", "1.5", "1.2345k", "1,000", "ten", "1 k", ".5k", "1.", "99999999999999999999"]
        {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
    }
}
