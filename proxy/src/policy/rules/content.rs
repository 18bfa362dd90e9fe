//! A body, or a tool's arguments, as conditions look at it: JSON or a form, each member where it stands and each number
//! as it is written.
//!
//! Invariant: what two readers could read differently (a key twice, a form that is JSON to others, another character set) has
//! no content.

use crate::approval::{Items, Members, NotCanonical};
use http::{HeaderMap, HeaderValue, header};
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;

/// How deep members may go.
const DEPTH: usize = 64;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A text.
    Text(String),
    /// A text where nothing else can stand, so that it may mean a number: of a form, a query or a header.
    Untyped(String),
    /// A list.
    List(Vec<Content>),
    /// Members by name; in a form, several may have the same.
    Object(Vec<(String, Content)>),
}

impl Content {
    /// Reads JSON, of which there is one reading.
    pub fn of_json(text: &[u8]) -> Result<Self, NotCanonical> {
        let raw: &RawValue = serde_json::from_slice(text).map_err(|_| NotCanonical::NotJson)?;
        value(raw.get(), DEPTH)
    }

    /// Reads a body in clear by what its headers say it is; why it has no content.
    pub fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, &'static str> {
        let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
        let (kind, more) = (kinds.next(), kinds.next().is_some());
        if more {
            return Err("Content-Type is there more than once");
        }
        let kind = match kind.map(HeaderValue::to_str) {
            None => "",
            Some(Ok(kind)) => kind,
            Some(Err(_)) => return Err("Content-Type is not readable"),
        };
        let (essence, parameters) = kind.split_once(';').unwrap_or((kind, ""));
        if !is_utf8(parameters) {
            return Err("its character set is not UTF-8");
        }
        match essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            true => form(body),
            false => Self::of_json(body).map_err(|fault| match fault {
                NotCanonical::NotJson => "it is not JSON that is read in one way, nor a form",
                NotCanonical::DuplicateKey => "an object has the same key twice",
            }),
        }
    }
}

/// Reads a text that is JSON.
fn value(text: &str, depth: usize) -> Result<Content, NotCanonical> {
    let not_json = |_| NotCanonical::NotJson;
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let depth = depth.checked_sub(1).ok_or(NotCanonical::NotJson)?;
    Ok(match text.bytes().next() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).map_err(not_json)?;
            let mut names = HashSet::new();
            if !members.iter().all(|(name, _)| names.insert(name.as_str())) {
                return Err(NotCanonical::DuplicateKey);
            }
            drop(names);
            let member = |(name, raw): (String, &RawValue)| Ok((name, value(raw.get(), depth)?));
            Content::Object(members.into_iter().map(member).collect::<Result<_, NotCanonical>>()?)
        }
        Some(b'[') => {
            let Items(items) = serde_json::from_str(text).map_err(not_json)?;
            Content::List(items.into_iter().map(|raw| value(raw.get(), depth)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Content::Text(serde_json::from_str(text).map_err(not_json)?),
        Some(b't') => Content::Bool(true),
        Some(b'f') => Content::Bool(false),
        Some(b'n') => Content::Null,
        _ => Content::Number(text.to_owned()),
    })
}

/// Reads a form: `a[b]=c` is the member `b` of `a`, as the services read it that take forms.
fn form(body: &[u8]) -> Result<Content, &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| "the form is not UTF-8")?;
    if text.trim_start().starts_with(['{', '[', '"']) {
        return Err("it is called a form and looks like JSON");
    }
    if pairs(text).any(|(name, _)| name.matches('[').count() >= DEPTH) {
        return Err("its names go too deep");
    }
    let members = pairs(text).map(|(name, given)| {
        let (first, rest) = match name.split_once('[') {
            Some((first, rest)) => (first, Some(rest)),
            None => (name.as_ref(), None),
        };
        let steps: Vec<&str> = rest.map_or_else(Vec::new, |rest| rest.split('[').collect());
        let inner = steps.iter().rev().fold(Content::Untyped(given.into_owned()), |inner, step| {
            match step.strip_suffix(']').unwrap_or(step) {
                "" => Content::List(vec![inner]),
                step => Content::Object(vec![(step.to_owned(), inner)]),
            }
        });
        (first.to_owned(), inner)
    });
    Ok(Content::Object(members.collect()))
}

/// The names and values of a query or a form.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    split(text, '&')
}

/// The same, separated by another sign.
pub(super) fn split(text: &str, separator: char) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    text.split(separator).filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['+', '%']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

fn is_utf8(parameters: &str) -> bool {
    parameters.split(';').all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        !name.trim().eq_ignore_ascii_case("charset")
            || value.eq_ignore_ascii_case("utf-8")
            || value.eq_ignore_ascii_case("us-ascii")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::canonical;
    use proptest::prelude::*;

    fn body(kind: &str, text: &str) -> Result<Content, &'static str> {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        Content::of_body(&headers, text.as_bytes())
    }

    fn text(text: &str) -> Content {
        Content::Untyped(text.to_owned())
    }

    fn object(members: &[(&str, Content)]) -> Content {
        Content::Object(members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    #[test]
    fn numbers_stay_as_they_are_written() {
        let read = Content::of_json(br#"{"b":[9007199254740993,1.0,"1"],"a":null,"c":true}"#).unwrap();
        let list = Content::List(vec![
            Content::Number("9007199254740993".to_owned()),
            Content::Number("1.0".to_owned()),
            Content::Text("1".to_owned()),
        ]);
        assert_eq!(read, object(&[("b", list), ("a", Content::Null), ("c", Content::Bool(true))]));
    }

    proptest! {
        /// What is read is what has a canonical form, and nothing else is.
        #[test]
        fn json_is_read_where_it_has_one_form(text in r#"(\[|\]|\{|\}|"a":|"b":|"a"|,| |1|2.50|null|true){0,12}"#) {
            let form = canonical(text.as_bytes());
            prop_assert_eq!(Content::of_json(text.as_bytes()).err(), form.err());
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Content::of_json(deep(DEPTH - 1).as_bytes()).is_ok());
        for levels in [DEPTH, 100_000] {
            assert_eq!(Content::of_json(deep(levels).as_bytes()), Err(NotCanonical::NotJson));
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for (kind, text) in [
            ("application/json", r#"{"a":1,"a":2}"#),
            ("application/json", "a=1"),
            ("application/json; charset=utf-16", "{}"),
            ("application/x-www-form-urlencoded", r#"{"a":1}"#),
            ("application/x-www-form-urlencoded; charset=utf-7", "a=1"),
            ("multipart/form-data; boundary=x", "--x\r\n\r\n--x--\r\n"),
            ("application/x-www-form-urlencoded", &format!("a{}=1", "[b]".repeat(100_000))),
            ("", "{} {}"),
            ("", "\u{feff}{}"),
        ] {
            assert!(body(kind, text).is_err(), "{kind} {text}");
        }
        let mut twice = HeaderMap::new();
        for kind in ["application/json", "application/x-www-form-urlencoded"] {
            twice.append(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        assert!(Content::of_body(&twice, b"{}").is_err());
        assert!(body("text/plain", "{}").is_ok(), "whatever it is called, it is JSON");
        assert!(body("application/json; charset=\"UTF-8\"", "{}").is_ok());
    }

    #[test]
    fn a_form_has_members_of_members() {
        let read = body(
            "Application/X-WWW-Form-Urlencoded",
            "amount=500&metadata%5Border%5D=a+b&expand[]=x&amount=9&empty&items[0][price]=7",
        );
        let expected = object(&[
            ("amount", text("500")),
            ("metadata", object(&[("order", text("a b"))])),
            ("expand", Content::List(vec![text("x")])),
            ("amount", text("9")),
            ("empty", text("")),
            ("items", object(&[("0", object(&[("price", text("7"))]))])),
        ]);
        assert_eq!(read, Ok(expected));
    }
}
