//! Small values that several files share: periods of time (`300s`, `15m`) and rates (`10/hour`).

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A period of time as people write it: `300s`, `15m`, `1h`, `250ms`, or whole seconds.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Period(pub Duration);

impl Period {
    /// The longest period: a file that asks for more is mistaken.
    const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

    /// A period of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a period of time; expected a number and a unit such as 300s, 15m, 1h or 7d"
            )
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" | "" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            "d" => 24 * 60 * 60 * 1000,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let period = Duration::from_millis(number.checked_mul(milliseconds).ok_or_else(wrong)?);
        match period {
            Duration::ZERO => Err(format!("{text:?} is no time at all; expected more than 0")),
            _ if period > Self::LONGEST => Err(format!("{text:?} is longer than a year")),
            _ => Ok(Self(period)),
        }
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PeriodVisitor;

        impl Visitor<'_> for PeriodVisitor {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a period of time such as 300s, 15m or 1h")
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Period, E> {
                seconds.to_string().parse().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Period, E> {
                seconds.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(PeriodVisitor)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A period of time such as 300s, 15m or 1h; a plain number is seconds",
            "anyOf": [
                {"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)?$"},
                {"type": "integer", "minimum": 1},
            ],
        })
    }
}

/// So many times in a period: `10/hour`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    /// How often.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a rate; expected N/minute, N/hour or N/day such as 10/hour");
        let (count, per) = text.split_once('/').ok_or_else(wrong)?;
        let per = match per {
            "second" => 1,
            "minute" => 60,
            "hour" => 60 * 60,
            "day" => 24 * 60 * 60,
            _ => return Err(wrong()),
        };
        match count.parse() {
            Ok(count) if count > 0 && text.starts_with(|first: char| first.is_ascii_digit()) => {
                Ok(Self { count, per: Duration::from_secs(per) })
            }
            _ => Err(wrong()),
        }
    }
}

impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for RateLimit {
    fn schema_name() -> Cow<'static, str> {
        "RateLimit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A rate such as 10/hour",
            "type": "string",
            "pattern": "^[0-9]+/(second|minute|hour|day)$",
        })
    }
}

/// The words of an error whose place in the file is not shown, because a secret may stand there.
pub(super) const NOT_THE_SECRET: &str = "never the secret itself";

/// The name of an environment variable.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct EnvName(pub String);

impl<'de> Deserialize<'de> for EnvName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let start = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        match start && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            true => Ok(Self(name)),
            // The text is not repeated: a secret pasted here by mistake must not reach a log.
            false => Err(D::Error::custom(format_args!(
                "not the name of an environment variable; expected letters, digits and '_' such as EGRESS_TOKEN_0, \
                 {NOT_THE_SECRET}"
            ))),
        }
    }
}

impl JsonSchema for EnvName {
    fn schema_name() -> Cow<'static, str> {
        "EnvName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The name of an environment variable, never the secret itself",
            "type": "string",
            "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("300s", 300_000),
            ("15m", 900_000),
            ("1h", 3_600_000),
            ("250ms", 250),
            ("30", 30_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(text.parse(), Ok(Period(Duration::from_millis(milliseconds))), "{text}");
        }
        for text in [
            "",
            "s",
            "0s",
            "-1s",
            "1.5h",
            "10 s",
            "1y",
            "99999999999999999999s",
            "18446744073709551615d",
            "400d",
            "é",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates_read_as_people_write_them() {
        assert_eq!("10/hour".parse(), Ok(RateLimit { count: 10, per: Duration::from_secs(3600) }));
        for text in ["", "10", "/hour", "0/hour", "-1/hour", "+1/hour", "10/fortnight", "10/hour/day"] {
            assert!(text.parse::<RateLimit>().is_err(), "{text}");
        }
    }
}
