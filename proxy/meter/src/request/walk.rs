//! A strict reader of one JSON text (RFC 8259) that reports every value with its path and its place in the bytes.
//!
//! Owns what makes a body unambiguous: the whole text is checked, two members of one object never have the same name
//! (compared after their escapes are undone), and nesting is bounded. Invariant: what it accepts, every conforming
//! parser reads the same way. It builds no tree, so memory is that of the keys of the open objects.

use super::RequestError;
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

/// Deepest nesting. Provider requests stay below 30; the reader recurses, so this also bounds its stack.
const MAX_DEPTH: usize = 128;
/// Up to this many members, names are compared one by one.
const FEW: usize = 16;

/// The name under which an array's element stands in a path.
pub(super) const ELEMENT: &str = "[]";

/// A scalar as it stands in the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// The digits.
    Number(&'a str),
    /// What stands between the quotes, escapes and all.
    Text(&'a str),
}

/// What takes the finds. Every path starts at the root.
pub(super) trait Visitor {
    /// The name under which a key counts; two keys with one canonical name are duplicates.
    fn canonical<'k>(&self, path: &[Cow<'_, str>], key: Cow<'k, str>) -> Cow<'k, str> {
        let _ = path;
        key
    }
    /// A scalar at `path`.
    fn scalar(
        &mut self,
        path: &[Cow<'_, str>],
        value: Scalar<'_>,
        span: Range<usize>,
    ) -> Result<(), RequestError>;
    /// An object or array begins.
    fn open(&mut self, path: &[Cow<'_, str>], array: bool) -> Result<(), RequestError>;
    /// It ended; `empty` when nothing is in it.
    fn close(&mut self, path: &[Cow<'_, str>], span: Range<usize>, empty: bool) -> Result<(), RequestError>;
}

/// Reads `body` from end to end.
pub(super) fn walk(body: &[u8], visitor: &mut impl Visitor) -> Result<(), RequestError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| RequestError::NotJson { at: error.valid_up_to(), what: "the text is not UTF-8" })?;
    let mut walker = Walker { text, at: 0, path: Vec::new(), visitor };
    walker.blank();
    walker.value(0)?;
    walker.blank();
    match walker.at == text.len() {
        true => Ok(()),
        false => walker.fail("expected nothing behind the value"),
    }
}

/// The text of a string with its escapes undone; a lone surrogate becomes U+FFFD.
pub(super) fn unescaped(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut units = Vec::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(next) = rest.next() {
        let mut pair = [0; 2];
        if next != '\\' {
            units.extend_from_slice(next.encode_utf16(&mut pair));
            continue;
        }
        units.push(match rest.next() {
            Some('b') => 8,
            Some('t') => 9,
            Some('n') => 10,
            Some('f') => 12,
            Some('r') => 13,
            Some('u') => {
                let digits = rest.by_ref().take(4).filter_map(|digit| digit.to_digit(16));
                digits.fold(0u16, |unit, digit| unit.wrapping_mul(16).wrapping_add(digit as u16))
            }
            Some(other) => other as u16,
            None => 0,
        });
    }
    Cow::Owned(String::from_utf16_lossy(&units))
}

/// The head of a string with its escapes undone, up to and with the first `end` and over no more than `most` bytes;
/// and the rest, escapes and all.
pub(super) fn unescaped_until(raw: &str, end: char, most: usize) -> (String, &str) {
    let mut head = String::new();
    let mut rest = raw;
    while head.len() < most && !head.ends_with(end) {
        let length = match rest.as_bytes() {
            [] => break,
            [b'\\', b'u', ..] => 6,
            [b'\\', ..] => 2,
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        let (piece, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        head.push_str(&unescaped(piece));
        rest = behind;
    }
    (head, rest)
}

/// Whether a string starts with the ASCII text `prefix`, after its escapes are undone and in any case.
pub(super) fn starts_with(raw: &str, prefix: &str) -> bool {
    let (head, _) = unescaped_until(raw, '\0', prefix.len());
    head.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Whether a string is `text`, after its escapes are undone.
pub(super) fn reads(raw: &str, text: &str) -> bool {
    // The longest escape of a character of one byte has six.
    raw.len() <= text.len() * 6 && unescaped(raw) == text
}

struct Walker<'a, 'v, V> {
    text: &'a str,
    at: usize,
    path: Vec<Cow<'a, str>>,
    visitor: &'v mut V,
}

impl<'a, V: Visitor> Walker<'a, '_, V> {
    fn value(&mut self, depth: usize) -> Result<(), RequestError> {
        let start = self.at;
        let scalar = match self.peek() {
            Some(b'{') => return self.object(depth),
            Some(b'[') => return self.array(depth),
            Some(b'"') => Scalar::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Scalar::Number(self.number()?),
            Some(b't') => self.word("true", Scalar::Bool(true))?,
            Some(b'f') => self.word("false", Scalar::Bool(false))?,
            Some(b'n') => self.word("null", Scalar::Null)?,
            _ => return self.fail("expected a value"),
        };
        self.visitor.scalar(&self.path, scalar, start..self.at)
    }

    fn object(&mut self, depth: usize) -> Result<(), RequestError> {
        let start = self.enter(depth, false)?;
        let mut names = Names::default();
        if self.eat(b'}') {
            return self.visitor.close(&self.path, start..self.at, true);
        }
        loop {
            let at = self.at;
            let raw = self.string()?;
            let name = self.visitor.canonical(&self.path, unescaped(raw));
            if !names.insert(name.clone()) {
                let mut key = name.into_owned();
                key.truncate(key.char_indices().nth(64).map_or(key.len(), |(end, _)| end));
                return Err(RequestError::DuplicateKey { key, at });
            }
            self.blank();
            if !self.eat(b':') {
                return self.fail("expected a colon");
            }
            self.path.push(name);
            self.value(depth + 1)?;
            self.path.pop();
            self.blank();
            if self.eat(b'}') {
                return self.visitor.close(&self.path, start..self.at, false);
            }
            if !self.eat(b',') {
                return self.fail("expected a comma or the end of the object");
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), RequestError> {
        let start = self.enter(depth, true)?;
        if self.eat(b']') {
            return self.visitor.close(&self.path, start..self.at, true);
        }
        self.path.push(Cow::Borrowed(ELEMENT));
        loop {
            self.value(depth + 1)?;
            self.blank();
            if self.eat(b']') {
                self.path.pop();
                return self.visitor.close(&self.path, start..self.at, false);
            }
            if !self.eat(b',') {
                return self.fail("expected a comma or the end of the array");
            }
        }
    }

    /// Steps into a container.
    fn enter(&mut self, depth: usize, array: bool) -> Result<usize, RequestError> {
        if depth >= MAX_DEPTH {
            return self.fail("it is nested too deeply");
        }
        let start = self.at;
        self.visitor.open(&self.path, array)?;
        self.at += 1;
        self.blank();
        Ok(start)
    }

    /// A string; what stands between its quotes.
    fn string(&mut self) -> Result<&'a str, RequestError> {
        if !self.eat_only(b'"') {
            return self.fail("expected a string");
        }
        let text = self.text;
        let start = self.at;
        loop {
            let rest = text.as_bytes().get(self.at..).unwrap_or_default();
            let plain =
                rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    let inside = text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(inside);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                Some(_) => return self.fail("a control character must be escaped"),
                None => return self.fail("expected the end of the string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), RequestError> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return self.fail("expected four hexadecimal digits");
                }
                self.at += 5;
            }
            _ => return self.fail("expected an escape"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, RequestError> {
        let text = self.text;
        let start = self.at;
        self.eat_only(b'-');
        match self.digits() {
            0 => return self.fail("expected a digit"),
            // RFC 8259 has no leading zeros.
            length if length > 1 && text.as_bytes().get(self.at - length) == Some(&b'0') => {
                return self.fail("a number starts with a zero");
            }
            _ => {}
        }
        if self.eat_only(b'.') && self.digits() == 0 {
            return self.fail("expected a digit");
        }
        if self.eat_only(b'e') || self.eat_only(b'E') {
            let _ = self.eat_only(b'+') || self.eat_only(b'-');
            if self.digits() == 0 {
                return self.fail("expected a digit");
            }
        }
        Ok(text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> usize {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += length;
        length
    }

    fn word(&mut self, word: &'static str, value: Scalar<'a>) -> Result<Scalar<'a>, RequestError> {
        match self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            true => {
                self.at += word.len();
                Ok(value)
            }
            false => self.fail("expected a value"),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat_only(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    /// Takes `byte` and the white space behind it.
    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.eat_only(byte);
        if eaten {
            self.blank();
        }
        eaten
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, RequestError> {
        Err(RequestError::NotJson { at: self.at, what })
    }
}

/// The names of one object.
#[derive(Default)]
struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// Whether the name is new.
    fn insert(&mut self, name: Cow<'a, str>) -> bool {
        if self.many.is_empty() && self.few.len() < FEW {
            let new = !self.few.contains(&name);
            self.few.push(name);
            return new;
        }
        if self.many.is_empty() {
            self.many.extend(self.few.drain(..));
        }
        self.many.insert(name)
    }
}
