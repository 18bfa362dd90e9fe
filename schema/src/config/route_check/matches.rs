//! `matches`: conditions compiled, and values refused that no normalised request could ever equal, because a
//! condition that never holds is a mistake in the file.

use crate::config::route_file::{HeaderFile, HeaderKind, MatchFile, PathFile, PathKind};
use crate::config::tree::Trail;
use crate::config::yaml::Document;
use crate::config::{HeaderMatch, HeaderTest, Match, PathMatch, Pattern};

pub(super) fn of_route(
    document: &mut Document<'_>,
    trail: &Trail,
    file: Option<Vec<MatchFile>>,
) -> Vec<Match> {
    let entries = file.unwrap_or_default();
    entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| of_entry(document, &trail.index(index), entry))
        .collect()
}

fn of_entry(document: &mut Document<'_>, trail: &Trail, entry: MatchFile) -> Match {
    if entry.paths.is_none() && entry.methods.is_none() && entry.headers.is_none() {
        document.value(
            trail,
            "an empty entry would allow every request; give it paths, methods or headers, or remove matches",
        );
    }
    Match {
        paths: list(document, &trail.key("paths"), entry.paths, path),
        methods: list(document, &trail.key("methods"), entry.methods, method),
        headers: list(document, &trail.key("headers"), entry.headers, header),
    }
}

/// Converts a list; an empty one is a mistake, since it reads as "nothing" and would mean "everything".
fn list<F, T>(
    document: &mut Document<'_>,
    trail: &Trail,
    file: Option<Vec<F>>,
    convert: fn(&mut Document<'_>, &Trail, F) -> Option<T>,
) -> Vec<T> {
    let Some(items) = file else { return Vec::new() };
    if items.is_empty() {
        document.value(trail, "an empty list restricts nothing; fill it, or remove the key");
    }
    items
        .into_iter()
        .enumerate()
        .filter_map(|(index, item)| convert(document, &trail.index(index), item))
        .collect()
}

fn path(document: &mut Document<'_>, trail: &Trail, file: PathFile) -> Option<PathMatch> {
    let trail = trail.key("value");
    if matches!(file.kind, PathKind::Regex) {
        return pattern(document, &trail, &file.value).map(PathMatch::Regex);
    }
    if let Some(fault) = path_fault(&file.value) {
        document.value(&trail, format!("no request can have this path: {fault}"));
        return None;
    }
    Some(match file.kind {
        PathKind::Exact => PathMatch::Exact(file.value),
        PathKind::Prefix | PathKind::Regex => PathMatch::Prefix(file.value),
    })
}

/// Why no normalised path could equal `value` or begin with it.
pub(super) fn path_fault(value: &str) -> Option<&'static str> {
    if !value.starts_with('/') {
        return Some("it has to begin with '/'");
    }
    if value.contains(['?', '#']) {
        return Some("query and fragment are not part of the path");
    }
    if value.contains(['\\', ';']) {
        return Some("'\\' and ';' are ambiguous and never matched");
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("write spaces and characters outside ASCII percent-encoded");
    }
    if value.contains("//") || value.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Some("paths are compared without empty and dot segments");
    }
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('%') {
        let Some(byte) = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
            return Some("'%' has to be followed by two hexadecimal digits");
        };
        if after.get(..2).is_some_and(|hex| hex.bytes().any(|byte| byte.is_ascii_lowercase())) {
            return Some("write percent-encoded bytes in upper case, such as %2B");
        }
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            return Some("letters, digits and -._~ are compared decoded");
        }
        if matches!(byte, b'/' | b'\\' | 0..=0x1f | 0x7f) {
            return Some("encoded slashes and control characters are never matched");
        }
        rest = after;
    }
    None
}

fn method(document: &mut Document<'_>, trail: &Trail, method: String) -> Option<String> {
    let method = method.to_ascii_uppercase();
    if !is_token(&method) {
        document.value(trail, "expected a method such as GET or POST");
        return None;
    }
    if method == "CONNECT" {
        document.value(trail, "CONNECT opens a tunnel; it is never a request inside one");
        return None;
    }
    Some(method)
}

fn header(document: &mut Document<'_>, trail: &Trail, file: HeaderFile) -> Option<HeaderMatch> {
    if !is_token(&file.name) {
        document.value(&trail.key("name"), format!("{:?} is not the name of a header", file.name));
        return None;
    }
    let trail = trail.key("value");
    let test = match file.kind {
        HeaderKind::Regex => HeaderTest::Regex(pattern(document, &trail, &file.value)?),
        HeaderKind::Exact => HeaderTest::Exact(file.value),
    };
    Some(HeaderMatch { name: file.name.to_ascii_lowercase(), test })
}

fn pattern(document: &mut Document<'_>, trail: &Trail, source: &str) -> Option<Pattern> {
    match Pattern::new(source) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let text = error.to_string();
            // The last line of the compiler's drawing says what is wrong; the place is shown here anyway.
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            document.value(trail, format!("not a regular expression: {reason}"));
            None
        }
    }
}

/// Whether a text is a token as methods and header names are.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
