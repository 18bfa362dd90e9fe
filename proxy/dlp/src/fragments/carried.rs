//! What a message carries, without what is wrapped around it: the strings of a JSON text, the values of a form, the text
//! between tags, the words of anything else.
//!
//! Invariant: what is taken of one message is bounded by [`VALUES`] and by the bytes that were given.

use crate::structure::string_end;
use crate::view::{escape, flatten};

/// Values that are taken of one message.
const VALUES: usize = 400;
/// Words that are taken of one message.
const WORDS: usize = 1000;
/// Letters of a name that tell it from others.
const NAME: usize = 24;

/// A value and what it is called; nothing where it has no name.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Value {
    /// The letters of its name, in small ones: `part1` and `part2` are called the same.
    pub(super) name: Vec<u8>,
    pub(super) bytes: Vec<u8>,
}

/// The values of a message, in order.
pub(super) fn values(message: &[u8]) -> Vec<Value> {
    let trimmed = message.trim_ascii();
    let strings = if flatten::is_json_like(trimmed) { strings(trimmed) } else { Vec::new() };
    if !strings.is_empty() {
        return strings;
    }
    if trimmed.starts_with(b"<") {
        return texts(trimmed);
    }
    let spaced = trimmed.iter().any(u8::is_ascii_whitespace);
    if !spaced && trimmed.contains(&b'=') {
        let pairs = trimmed.split(|byte| *byte == b'&').take(VALUES);
        return pairs
            .map(|pair| {
                let equals = memchr::memchr(b'=', pair);
                let (name, value) = equals.and_then(|at| pair.split_at_checked(at)).unwrap_or((&[], pair));
                let value = value.strip_prefix(b"=").unwrap_or(value);
                Value { name: letters(name), bytes: escape::undo(value).0 }
            })
            .collect();
    }
    vec![Value { name: Vec::new(), bytes: trimmed.to_vec() }]
}

/// The words of values: what stands between spaces, and what stands between any signs that wrap a value.
pub(super) fn words(values: &[Value]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    for Value { bytes, .. } in values {
        found.push(bytes.as_slice());
        for part in bytes.split(|byte| is_around(*byte)) {
            // A value may hold signs that also stand behind a name.
            let behind =
                part.split(|byte| matches!(byte, b':' | b'=')).filter(|word| word.len() < part.len());
            found.extend([part].into_iter().filter(|part| part.len() < bytes.len()).chain(behind));
            if found.len() >= WORDS {
                break;
            }
        }
    }
    found.retain(|word| !word.is_empty());
    found.truncate(WORDS);
    found
}

/// Whether a byte stands around a value and not in it.
pub(super) fn is_around(byte: u8) -> bool {
    byte.is_ascii_whitespace()
        || matches!(
            byte,
            b'"' | b'\'' | b'`' | b'<' | b'>' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b';' | b'|'
        )
}

/// The string values of a JSON text; a string in a list has the list's name.
fn strings(text: &[u8]) -> Vec<Value> {
    let (mut found, mut name) = (Vec::new(), Vec::new());
    let (mut flat, mut points) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(open) = memchr::memchr(b'"', text.get(at..).unwrap_or_default()) {
        let start = at + open + 1;
        let end = string_end(text, start);
        let raw = text.get(start..end).unwrap_or_default();
        let after = text.get(end + 1..).unwrap_or_default().trim_ascii_start();
        if after.first() == Some(&b':') {
            name = letters(raw);
        } else {
            flatten::unescape(raw, &mut flat, &mut points);
            found.push(Value { name: name.clone(), bytes: flat.clone() });
        }
        if found.len() >= VALUES {
            break;
        }
        at = end + 1;
    }
    found
}

/// The texts between tags; each has the name of the tag in front of it.
fn texts(markup: &[u8]) -> Vec<Value> {
    let parts = markup.split(|byte| *byte == b'<').take(VALUES).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let end = memchr::memchr(b'>', part).unwrap_or(0);
            let (tag, text) = part.split_at_checked(end).unwrap_or((&[], part));
            let name = tag.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            Value {
                name: letters(name),
                bytes: text.strip_prefix(b">").unwrap_or(text).trim_ascii().to_vec(),
            }
        })
        .filter(|value| !value.bytes.is_empty())
        .collect()
}

fn letters(name: &[u8]) -> Vec<u8> {
    name.iter().filter(|byte| byte.is_ascii_alphabetic()).take(NAME).map(u8::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(message: &str) -> Vec<(String, String)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        values(message.as_bytes()).into_iter().map(|value| (text(value.name), text(value.bytes))).collect()
    }

    #[test]
    fn a_message_is_what_it_carries() {
        let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            carried(r#"{"seq":1,"Part1":"a\u0062c","list":["d","e"]}"#),
            [of("part", "abc"), of("list", "d"), of("list", "e")]
        );
        assert_eq!(carried("id=1&chunk2=a%2Fb"), [of("id", "1"), of("chunk", "a/b")]);
        assert_eq!(carried(" part 1: abc\n"), [of("", "part 1: abc")]);
        assert_eq!(carried("<m id='1'>abc</m><n/> d <e"), [of("m", "abc"), of("n", "d"), of("", "e")]);
    }

    #[test]
    fn words_are_without_what_is_around_them() {
        let found = values(b"part (key:tok/1), and");
        let found: Vec<&str> = words(&found).iter().map(|word| std::str::from_utf8(word).unwrap()).collect();
        assert!(found.contains(&"key:tok/1") && found.contains(&"tok/1"), "{found:?}");
    }
}
