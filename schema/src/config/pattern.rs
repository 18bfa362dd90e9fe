//! The two kinds of pattern in a routes file: a host, exact or with one leading wildcard label, and a regular
//! expression. Both are compiled when the file is read; a regular expression always matches the whole text.

use super::{Host, HostFault};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The hosts a route is for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum HostPattern {
    /// One host, a name or an address.
    Exact(Host),
    /// `*.example.com`: exactly one more label in front of this name.
    Wildcard(String),
}

impl HostPattern {
    /// Whether a host is one of these. A wildcard never matches an address, nor the name below it itself.
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(own), host) => own == host,
            (Self::Wildcard(_), Host::Ip(_)) => false,
            (Self::Wildcard(parent), Host::Name(name)) => {
                name.split_once('.').is_some_and(|(_, rest)| rest == parent)
            }
        }
    }

    /// Whether one leading label is open.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Wildcard(_))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostFault;

    fn from_str(text: &str) -> Result<Self, HostFault> {
        let Some(parent) = text.strip_prefix("*.") else {
            return match text.contains('*') {
                true => Err(HostFault::Wildcard),
                false => Host::parse(text).map(Self::Exact),
            };
        };
        match Host::parse(parent)? {
            Host::Name(name) if name.contains('.') => Ok(Self::Wildcard(name)),
            _ => Err(HostFault::Wildcard),
        }
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|fault| {
            serde::de::Error::custom(format_args!("{text:?} cannot be a route's host: {fault}"))
        })
    }
}

impl JsonSchema for HostPattern {
    fn schema_name() -> Cow<'static, str> {
        "HostPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A host name, an IP address, or one leading wildcard label such as *.example.com",
            "type": "string",
            "minLength": 1,
            "maxLength": 255,
            "examples": ["api.example.com", "*.example.com", "127.0.0.1"],
        })
    }
}

/// A regular expression that matches the whole text.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    regex: regex::Regex,
}

impl Pattern {
    /// The most memory a compiled expression may take, in bytes.
    const SIZE_LIMIT: usize = 1 << 20;

    /// Compiles an expression; the error says where it is wrong.
    pub fn new(source: &str) -> Result<Self, regex::Error> {
        let build = |text: &str| regex::RegexBuilder::new(text).size_limit(Self::SIZE_LIMIT).build();
        // Alone first: `a)(b` must not become valid inside the group. A comment of the `x` mode swallows the group's
        // end and cannot compile; there a line break ends the comment and means nothing else.
        build(source)?;
        let regex =
            build(&format!(r"\A(?:{source})\z")).or_else(|_| build(&format!("\\A(?:{source}\n)\\z")))?;
        Ok(Self { source: source.to_owned(), regex })
    }

    /// The expression as written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[test]
    fn a_wildcard_is_one_label() {
        let pattern: HostPattern = "*.Example.com".parse().unwrap();
        assert_eq!(pattern.to_string(), "*.example.com");
        assert!(pattern.matches(&host("api.example.com")));
        for other in
            ["example.com", "a.b.example.com", "apiexample.com", "api.example.com.evil.org", "1.2.3.4"]
        {
            assert!(!pattern.matches(&host(other)), "{other}");
        }
    }

    #[test]
    fn a_wildcard_stands_only_in_front_of_a_domain() {
        for bad in [
            "*",
            "*.",
            "*.com",
            "a*.example.com",
            "a.*.example.com",
            "*.*.example.com",
            "**.example.com",
            "*.127.0.0.1",
            "*example.com",
        ] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_expression_cannot_break_out_of_its_anchors() {
        for bad in ["(", "a)(b", "[", "*", "a{999999999}"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
        let commented = Pattern::new("(?x) /a # all of it").unwrap();
        assert!(commented.matches("/a") && !commented.matches("/ab"));
    }
}
