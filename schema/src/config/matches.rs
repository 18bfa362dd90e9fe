//! Which requests of a host a route allows: entries OR-ed; inside one entry paths OR, methods OR, headers AND. An
//! empty list of a kind restricts nothing. Semantics are those of Gateway API's HTTPRoute, on the normalised path.

use super::Pattern;

/// One entry of `matches`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    /// Allowed paths; empty allows every path.
    pub paths: Vec<PathMatch>,
    /// Allowed methods, upper case; empty allows every method.
    pub methods: Vec<String>,
    /// Headers that must all be there.
    pub headers: Vec<HeaderMatch>,
}

/// A condition on the normalised path.
#[derive(Clone, Debug, PartialEq)]
pub enum PathMatch {
    /// The very path.
    Exact(String),
    /// Whole leading segments: `/v1` allows `/v1` and `/v1/x`, never `/v1beta`; `/v1/` allows only what is below it.
    Prefix(String),
    /// A regular expression that matches the whole path.
    Regex(Pattern),
}

/// A condition on one header.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderMatch {
    /// The header's name, lower case.
    pub name: String,
    /// The condition on its value.
    pub test: HeaderTest,
}

/// A condition on a header's value.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderTest {
    /// The very value.
    Exact(String),
    /// A regular expression that matches the whole value.
    Regex(Pattern),
}

impl PathMatch {
    /// Whether a normalised path fulfils the condition.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(value) => path == value,
            Self::Prefix(value) if value.ends_with('/') => path.starts_with(value.as_str()),
            Self::Prefix(value) => match path.strip_prefix(value.as_str()) {
                Some(rest) => rest.is_empty() || rest.starts_with('/'),
                None => false,
            },
            Self::Regex(pattern) => pattern.matches(path),
        }
    }
}

impl HeaderTest {
    /// Whether a header's value fulfils the condition.
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exact(expected) => value == expected,
            Self::Regex(pattern) => pattern.matches(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_segment() {
        let allows = |value: &str, path: &str| PathMatch::Prefix(value.to_owned()).matches(path);
        assert!(allows("/", "/anything"));
        assert!(allows("/v1", "/v1") && allows("/v1", "/v1/") && allows("/v1", "/v1/messages"));
        assert!(!allows("/v1", "/v1beta") && !allows("/v1", "/v"));
        assert!(allows("/v1/", "/v1/messages") && !allows("/v1/", "/v1"));
    }

    #[test]
    fn a_regex_matches_the_whole_text() {
        let pattern = PathMatch::Regex(Pattern::new("/a|/b").unwrap());
        assert!(pattern.matches("/a") && pattern.matches("/b"));
        assert!(!pattern.matches("/a/x") && !pattern.matches("/x/b") && !pattern.matches("/a\n"));
    }
}
