//! What a condition looks at: a part of the request by its path, such as `body.amount` or `state.bottle.daily_spend`.

use super::counting::{CounterScope, CounterWindow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A part of a request.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub enum Subject {
    /// The method.
    Method,
    /// The host.
    Host,
    /// The path, normalised.
    Path,
    /// A parameter of the query.
    Query(String),
    /// A header, its name in lower case.
    Header(String),
    /// A member of the body, step by step; a number is a place in a list, `*` every one.
    Body(Vec<String>),
    /// A member of an MCP tool's arguments, likewise.
    Args(Vec<String>),
    /// A counter.
    State {
        /// Whose.
        scope: CounterScope,
        /// Its name.
        counter: String,
        /// How long it counts, as the rule says that counts; known once all rules of a file are.
        window: Option<CounterWindow>,
    },
    /// The bottle's name.
    BottleName,
    /// The agent's name.
    BottleAgent,
}

impl Subject {
    /// Whether the body has to be there for it.
    pub fn is_in_body(&self) -> bool {
        matches!(self, Self::Body(_))
    }

    /// Whether a number that is added to a counter can stand there.
    pub(super) fn can_be_added(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Header(_) | Self::Body(_) | Self::Args(_))
    }
}

impl TryFrom<String> for Subject {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not something of a request; expected method, host, path, query.NAME, header.NAME, \
                 body.NAME, args.NAME, state.SCOPE.COUNTER, bottle.name or bottle.agent"
            )
        };
        let (root, rest) = match text.split_once('.') {
            Some((root, rest)) if !rest.is_empty() => (root, Some(rest)),
            Some(_) => return Err(wrong()),
            None => (text, None),
        };
        Ok(match (root, rest) {
            ("method", None) => Self::Method,
            ("host", None) => Self::Host,
            ("path", None) => Self::Path,
            ("query", Some(name)) => Self::Query(name.to_owned()),
            ("header", Some(name)) if is_token(name) => Self::Header(name.to_ascii_lowercase()),
            ("header", Some(name)) => return Err(format!("{name:?} is not the name of a header")),
            ("body", Some(steps)) => Self::Body(self::steps(steps).ok_or_else(wrong)?),
            ("args", Some(steps)) => Self::Args(self::steps(steps).ok_or_else(wrong)?),
            ("bottle", Some("name")) => Self::BottleName,
            ("bottle", Some("agent")) => Self::BottleAgent,
            ("state", Some(rest)) => {
                let counter = rest.split_once('.').and_then(|(scope, counter)| {
                    Some((CounterScope::named(scope)?, counter)).filter(|_| is_counter(counter))
                });
                let Some((scope, counter)) = counter else {
                    return Err(format!(
                        "{text:?} is no counter; expected state.SCOPE.COUNTER with bottle, run, agent or global as \
                         SCOPE"
                    ));
                };
                Self::State { scope, counter: counter.to_owned(), window: None }
            }
            _ => return Err(wrong()),
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("method"),
            Self::Host => f.write_str("host"),
            Self::Path => f.write_str("path"),
            Self::Query(name) => write!(f, "query.{name}"),
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Body(steps) => write!(f, "body.{}", steps.join(".")),
            Self::Args(steps) => write!(f, "args.{}", steps.join(".")),
            Self::State { scope, counter, .. } => write!(f, "state.{}.{counter}", scope.name()),
            Self::BottleName => f.write_str("bottle.name"),
            Self::BottleAgent => f.write_str("bottle.agent"),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn steps(text: &str) -> Option<Vec<String>> {
    let steps: Vec<String> = text.split('.').map(str::to_owned).collect();
    (!steps.iter().any(String::is_empty)).then_some(steps)
}

/// Whether a text can name a counter.
pub(super) fn is_counter(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(fits)
}

fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_and_written_alike() {
        for text in [
            "method",
            "host",
            "path",
            "query.q",
            "query.filter.by",
            "header.x-api-key",
            "body.amount",
            "body.items.*.price",
            "args.a.0",
            "state.bottle.daily_spend",
            "state.global.calls",
            "bottle.name",
            "bottle.agent",
        ] {
            let subject: Subject = text.parse().unwrap();
            assert_eq!(subject.to_string(), text);
        }
        assert_eq!("header.X-Api-Key".parse(), Ok(Subject::Header("x-api-key".to_owned())));
        for no in [
            "",
            "body",
            "body.",
            "body..a",
            "body.a.",
            "method.x",
            "state",
            "state.x",
            "state.host.x",
            "state.parent.x",
            "state.bottle.",
            "state.bottle.a b",
            "bottle.password",
            "header.a b",
            "nope.a",
        ] {
            assert!(no.parse::<Subject>().is_err(), "{no}");
        }
    }
}
