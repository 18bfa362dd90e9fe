//! Strict YAML: one document, no duplicate keys, only `true` and `false` are booleans, no merge keys, bounded depth,
//! size and aliases. Any bytes end in a value or in a located error, never in a panic.

use super::error::{ConfigError, Problem, nearest};
use super::tree::{Place, Trail, Tree};
use serde::de::DeserializeOwned;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Budget, Error, Options};
use std::path::Path;

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;

/// Reads a file's text into `T`. `path` is only named in errors.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    read(path, text)
}

/// A file's text with the places of its values, so that checks can point at what they are about.
pub(super) struct Document<'a> {
    pub(super) path: &'a Path,
    text: &'a str,
    tree: Tree,
    problems: Vec<Problem>,
}

impl<'a> Document<'a> {
    /// Reads a text twice: into `T` and into the places of its values.
    pub(super) fn parse<T: DeserializeOwned>(
        path: &'a Path,
        text: &'a str,
    ) -> Result<(T, Self), ConfigError> {
        let value = read(path, text)?;
        let tree = read(path, text)?;
        Ok((value, Self { path, text, tree, problems: Vec::new() }))
    }

    /// The 1-based line of a value.
    pub(super) fn line(&self, trail: &Trail) -> usize {
        self.tree.value(trail).line
    }

    /// Notes a problem with a value.
    pub(super) fn value(&mut self, trail: &Trail, message: impl Into<String>) {
        let place = self.tree.value(trail);
        self.problems.push(Problem::at(self.path, self.text, place, message));
    }

    /// Notes a problem with a key.
    pub(super) fn key(&mut self, trail: &Trail, message: impl Into<String>) {
        let problem = self.problem_at_key(trail, message);
        self.problems.push(problem);
    }

    /// A problem at a key that is not an error of the file.
    pub(super) fn problem_at_key(&self, trail: &Trail, message: impl Into<String>) -> Problem {
        Problem::at(self.path, self.text, self.tree.key(trail), message)
    }

    /// A problem at a value that is not yet an error of the file.
    pub(super) fn problem_at_value(&self, trail: &Trail, message: impl Into<String>) -> Problem {
        Problem::at(self.path, self.text, self.tree.value(trail), message)
    }

    /// `Ok` when no problem was noted, else all of them from top to bottom.
    pub(super) fn finish(mut self) -> Result<(), ConfigError> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        ConfigError::check(self.problems)
    }
}

fn read<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    if text.len() > MAX_BYTES {
        return Err(ConfigError::one(Problem::of_file(path, format!("is larger than {MAX_BYTES} bytes"))));
    }
    if let Some(place) = lone_return(text) {
        let message = "a carriage return without a line feed; expected lines that end in LF or CR LF";
        return Err(ConfigError::one(Problem::at(path, text, place, message)));
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| located(path, text, &error))
}

/// The first carriage return that ends no line. YAML begins a new line behind it, editors and people do not: what one of
/// them takes for a comment is a key to the other, and an error would show a line that it is not about.
fn lone_return(text: &str) -> Option<Place> {
    let mut lines = text.split('\n').peekable();
    let mut number = 0;
    while let Some(line) = lines.next() {
        number += 1;
        let line = match lines.peek() {
            Some(_) => line.strip_suffix('\r').unwrap_or(line),
            None => line,
        };
        if let Some((before, _)) = line.split_once('\r') {
            return Some(Place { line: number, column: before.chars().count() + 1 });
        }
    }
    None
}

fn options() -> Options {
    let mut options = Options::default();
    let mut budget = Budget::default();
    budget.max_depth = 32;
    budget.flow_nesting_limit = 32;
    budget.max_aliases = 256;
    budget.max_anchors = 256;
    budget.max_documents = 1;
    budget.max_nodes = 100_000;
    budget.max_events = 400_000;
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = 10_000;
    options.alias_limits.max_replay_stack_depth = 8;
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    options.merge_keys = MergeKeyPolicy::Error;
    options.strict_booleans = true;
    // A tag makes another key of the same word, which the search for duplicate keys does not see.
    options.reject_unsupported_tags = true;
    options.with_snippet = false;
    options
}

fn located(path: &Path, text: &str, error: &Error) -> ConfigError {
    let error = error.without_snippet();
    // What is said of a value as a whole has no place of its own.
    let place = error.location().map_or(Place { line: 1, column: 1 }, Place::from);
    let (message, help) = explained(error);
    let mut problem = Problem::at(path, text, place, message);
    if matches!(error, Error::SerdeUnknownField { .. }) {
        // What stands behind a key that nobody knows could be a secret that was meant for another place.
        problem.hide_rest();
    }
    ConfigError::one(match help {
        Some(help) => problem.with_help(help),
        None => problem,
    })
}

/// The message and the advice for an error of the YAML reader.
fn explained(error: &Error) -> (String, Option<String>) {
    let plain = |message: String| (message, None);
    match error {
        Error::Message { msg, .. } => plain(msg.clone()),
        Error::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
        Error::SerdeMissingField { field, .. } => plain(format!("the key {field:?} is missing here")),
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            plain(format!("found {unexpected}, expected {}", described(expected)))
        }
        Error::SerdeInvalidLength { len, expected, .. } => {
            plain(format!("found {len} elements, expected {expected}"))
        }
        Error::InvalidScalar { ty, .. } => plain(format!("expected {}", described(ty))),
        Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => explained_documents(),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => plain(
            "the file is nested too deeply, has too many aliases or is too large from here on".to_owned(),
        ),
        Error::Unexpected { expected, .. } => plain(format!("expected {}", described(expected))),
        Error::InvalidBooleanStrict { .. } => plain("expected true or false".to_owned()),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("the key {key:?} stands here twice"), Some("keep one of the two".to_owned()))
        }
        Error::DuplicateMappingKey { key: None, .. } => plain("a key stands here twice".to_owned()),
        Error::MultipleDocuments { .. } => explained_documents(),
        Error::MergeKeyNotAllowed { .. } => {
            plain("merge keys ('<<') are not allowed; write the keys out".to_owned())
        }
        Error::NullIntoString { .. } => plain("expected text, found nothing".to_owned()),
        Error::AliasError { error, .. } => explained(error),
        other => plain(rendered(other)),
    }
}

fn unknown(what: &str, word: &str, expected: &[&'static str]) -> (String, Option<String>) {
    let meant = nearest(word, expected.iter().copied()).map(|name| format!("did you mean {name:?}?"));
    (format!("unknown {what} {word:?}; expected {}", choice(expected)), meant)
}

fn explained_documents() -> (String, Option<String>) {
    ("a second document begins here; expected one document a file".to_owned(), None)
}

/// The reader's own words, without the place that stands in front already.
fn rendered(error: &Error) -> String {
    let mut render = serde_saphyr::RenderOptions::default();
    render.snippets = serde_saphyr::SnippetMode::Off;
    let text = error.render_with_options(render);
    let first = text.lines().next().unwrap_or_default();
    match first.rfind(" at line ") {
        Some(end) => first.get(..end).unwrap_or(first).to_owned(),
        None => first.to_owned(),
    }
}

fn choice(names: &[&str]) -> String {
    match names {
        [] => "no key at all".to_owned(),
        [one] => format!("{one:?}"),
        names => format!("one of {}", names.join(", ")),
    }
}

/// The reader's names of types in words.
fn described(name: &str) -> String {
    match name {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "a nonzero u32" | "a nonzero u64" => "a whole number above 0".to_owned(),
        "f32" | "f64" | "floating point" => "a number".to_owned(),
        "sequence start" => "a list".to_owned(),
        "mapping start" => "a mapping of keys to values".to_owned(),
        "string scalar" => "text".to_owned(),
        other => other.to_owned(),
    }
}

/// A file's bytes as text; a byte order mark at the front is not part of it.
pub(super) fn text(path: &Path, bytes: Vec<u8>) -> Result<String, ConfigError> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        }),
        Err(error) => {
            let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(ConfigError::one(Problem::of_file(
                path,
                format!("is not UTF-8: the first bad byte is in line {line}"),
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{parse_manifest, parse_routes, parse_settings};
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        parse_routes(Path::new("routes.yaml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_names_its_place_and_the_key_meant() {
        assert_eq!(
            error("routes:\n  - host: a.example.com\n    tokn_env: sk-secret\n"),
            "\
routes.yaml:3:5: unknown key \"tokn_env\"; expected one of host, scheme, port, auth_scheme, token_env, auth, credentials, \
matches, meter, unmetered, allowance, allow_addresses, dlp, outbound_on_match, git_fetch, git, rules, mcp, intercept, \
upstream, wildcard_credentials, role
   |
 3 |     tokn_env: …
   |     ^^^^^^^^
   = help: did you mean \"token_env\"?"
        );
    }

    #[test]
    fn a_line_that_only_yaml_sees_is_refused() {
        for (text, place) in [
            ("# nothing here\rroutes: []\n", "1:15"),
            ("routes:\n  - host: a.example.com # only\r  - host: b.example.com\n", "2:31"),
            ("routes: []\r", "1:11"),
            ("routes: []\r\r\n", "1:11"),
        ] {
            let error = error(text);
            assert!(error.starts_with(&format!("routes.yaml:{place}: a carriage return")), "{error}");
        }
        assert!(parse_routes(Path::new("routes.yaml"), "routes:\r\n  - host: a.example.com\r\n").is_ok());
    }

    #[test]
    fn a_tag_makes_no_second_key_of_a_word() {
        for text in [
            "!x routes: []\n",
            "routes: []\n!x routes: []\n",
            "routes: !x []\n",
            "routes: []\n!!str routes: []\n",
        ] {
            let error = error(text);
            assert!(error.starts_with("routes.yaml:1:") || error.starts_with("routes.yaml:2:"), "{error}");
        }
    }

    #[test]
    fn a_duplicate_key_is_shown_where_it_stands_again() {
        assert_eq!(
            error("routes:\n  - host: a.example.com\n    host: b.example.com\n"),
            "\
routes.yaml:3:5: the key \"host\" stands here twice
   |
 3 |     host: b.example.com
   |     ^^^^
   = help: keep one of the two"
        );
    }

    #[test]
    fn a_misspelt_value_names_the_value_meant() {
        assert_eq!(
            error("routes:\n  - host: a.example.com\n    scheme: htps\n"),
            "\
routes.yaml:3:13: unknown value \"htps\"; expected one of https, http
   |
 3 |     scheme: htps
   |             ^^^^
   = help: did you mean \"https\"?"
        );
    }

    #[test]
    fn every_error_has_its_place_and_what_was_expected() {
        for (text, expected) in [
            ("routes:\n  - host: a\n    git_fetch: yes\n", "3:16: expected true or false"),
            ("routes:\n  - host: a\n    port: 70000\n", "3:11: expected a whole number from 0 to 65535"),
            ("routes:\n  - host: [a]\n", "2:11: expected text"),
            ("routes:\n  - scheme: https\n", "2:5: the key \"host\" is missing here"),
            ("routes: x\n", "1:9: expected a list"),
            ("routes:\n\t- host: a\n", "2:2: tabs disallowed"),
            ("routes: [\n", "1:9: unclosed bracket '['"),
            ("routes: []\n---\nroutes: []\n", "2:1: a second document begins here"),
            ("routes: *nope\n", "1:9: alias references unknown anchor"),
            ("<<: {routes: []}\n", "1:1: merge keys ('<<') are not allowed"),
            ("log: 3\n", "1:6: \"3\" is no log level; expected 0 (off), 1 (blocks) or 2 (full)"),
            ("log: true\n", "1:6: \"true\" is no log level"),
            ("log: -1\n", "1:6: \"-1\" is no log level"),
            ("[]\n", "1:1: expected a mapping of keys to values"),
            ("5\n", "1:1: expected a mapping of keys to values"),
        ] {
            let error = error(text);
            assert!(error.starts_with(&format!("routes.yaml:{expected}")), "{text}\n{error}");
        }
    }

    #[test]
    fn nothing_is_an_empty_file() {
        for text in ["", "# only a comment\n", "null\n", "---\n", "routes:\n", "routes: []\n", "log: 0\n"] {
            assert_eq!(parse_routes(Path::new("routes.yaml"), text).unwrap().routes, [], "{text:?}");
        }
    }

    #[test]
    fn depth_aliases_and_size_are_bounded() {
        let deep = format!("routes: {}", "[".repeat(5000));
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, of) in ('b'..='z').zip('a'..) {
            bomb.push_str(&format!(
                "{name}: &{name} [*{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}]\n"
            ));
        }
        bomb.push_str("budget: *z\n");
        for text in [deep, bomb.clone(), " ".repeat(MAX_BYTES + 1)] {
            assert!(parse_routes(Path::new("routes.yaml"), &text).is_err());
            assert!(parse_settings(Path::new("settings.yml"), &text).is_err());
        }
        assert!(read::<Tree>(Path::new("x"), &bomb).is_err());
    }

    #[test]
    fn bytes_that_are_no_text_are_located() {
        let error = super::text(Path::new("r.yaml"), b"log: 1\n\xff".to_vec()).unwrap_err();
        assert_eq!(error.to_string(), "r.yaml: is not UTF-8: the first bad byte is in line 2");
        assert_eq!(super::text(Path::new("r.yaml"), b"\xef\xbb\xbflog: 1".to_vec()).as_deref(), Ok("log: 1"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}|([a-z]{1,4}|[:,&*!\\[\\]{}|>#'\"-]|\n| |\t|routes|host|matches|\u{0}|é){0,40}") {
            for result in [
                parse_routes(Path::new("r"), &text).map(drop),
                parse_settings(Path::new("s"), &text).map(drop),
                parse_manifest(Path::new("m"), &format!("---\n{text}\n---\n")).map(drop),
                parse::<super::super::BottleFile>(Path::new("b"), &text).map(drop),
            ] {
                if let Err(error) = result {
                    prop_assert!(!error.problems().is_empty() && !error.to_string().is_empty());
                }
            }
        }

        #[test]
        fn a_broken_file_is_read_or_refused(at in 0..600_usize, new: char) {
            let mut text: Vec<char> = include_str!("../../../routes.example.yaml").chars().collect();
            let at = at * 7 % text.len().max(1);
            text[at] = new;
            let text: String = text.into_iter().collect();
            if let Err(error) = parse_routes(Path::new("r"), &text) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
