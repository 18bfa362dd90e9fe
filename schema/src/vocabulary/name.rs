//! Names that come from files, arguments and URLs. A value of these types is short, plain ASCII and safe to stand
//! in a path, a log line, an SQL row and a URL without quoting.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes.
const MAX_LEN: usize = 64;

/// A text that cannot be a name, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{text:?} cannot be the {what}: expected 1 to 64 of a-z, A-Z, 0-9, '.', '_', '-', starting with a letter or digit"
)]
pub struct InvalidName {
    what: &'static str,
    text: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                match is_name(text) {
                    true => Ok(Self(text.to_owned())),
                    false => Err(InvalidName { what: $what, text: text.to_owned() }),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// A bottle's name; also the name of its folder under `bottles/`.
    BottleName,
    "name of a bottle"
);
name!(
    /// A named agent that runs in bottles, such as `claude-reviewer`.
    AgentName,
    "name of an agent"
);
name!(
    /// One launch of an agent in a bottle.
    RunId,
    "run id"
);
name!(
    /// The key that budgets use for a model provider, such as `claude` or `codex`.
    Provider,
    "name of a provider"
);

impl Provider {
    /// The name that counts every provider together.
    pub const ANY: &'static str = "any";

    /// Whether this is [`Provider::ANY`].
    pub fn is_any(&self) -> bool {
        self.0 == Self::ANY
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_LEN
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_in_a_path_and_a_url() {
        for good in ["ci", "claude-reviewer", "a.b_c-1", "0198"] {
            assert!(good.parse::<BottleName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-x", "a/b", "a b", "é", "a:b", &"x".repeat(65)] {
            assert!(bad.parse::<BottleName>().is_err(), "{bad}");
        }
    }
}
