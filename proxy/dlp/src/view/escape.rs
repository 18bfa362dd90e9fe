//! Percent, character references and backslash escapes, undone together around the places where they stand.

use memchr::memchr3_iter;

/// Bytes in front of the first and behind the last escape that belong to a window: a value has its ends outside.
const AROUND: usize = 160;
/// Escapes closer than this share a window.
const APART: usize = 160;

/// Where a view of undone escapes is worth its while.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Window {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The windows of a text in which escapes hide letters.
pub(crate) fn windows(text: &[u8]) -> Vec<Window> {
    let mut found: Vec<Window> = Vec::new();
    for at in memchr3_iter(b'%', b'\\', b'&', text) {
        if !hides(text, at) {
            continue;
        }
        let end = (at + AROUND).min(text.len());
        match found.last_mut() {
            Some(last) if at <= last.end + APART => last.end = end,
            _ => found.push(Window { start: at.saturating_sub(AROUND), end }),
        }
    }
    found
}

/// Undoes what can be undone in `text`; the points lead back.
pub(crate) fn undo(text: &[u8]) -> (Vec<u8>, Vec<(u32, u32)>) {
    let mut out = Vec::with_capacity(text.len());
    let mut points = vec![(0, 0)];
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let rest = text.get(at..).unwrap_or_default();
        let undone = match byte {
            b'%' => percent(rest),
            b'&' => reference(rest),
            b'\\' => backslash(rest),
            _ => None,
        };
        match undone {
            Some((character, length)) => {
                match character {
                    Undone::Byte(byte) => out.push(byte),
                    Undone::Character(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                }
                at += length;
                let index = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
                points.push((index(out.len()), index(at)));
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    (out, points)
}

enum Undone {
    Byte(u8),
    Character(char),
}

/// Whether the escape at a place can stand for a letter of a value, and not only for a line's end or a quote.
fn hides(text: &[u8], at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    match rest {
        [b'%', high, low, ..] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        [b'\\', b'u' | b'U' | b'x', ..] | [b'\\', b'/', ..] => backslash(rest).is_some(),
        [b'\\', b'0'..=b'3', b'0'..=b'7', b'0'..=b'7', ..] => true,
        [b'&', b'#', ..] => reference(rest).is_some(),
        [b'&', ..] => reference(rest).is_some(),
        _ => false,
    }
}

fn percent(rest: &[u8]) -> Option<(Undone, usize)> {
    let byte = hex(rest.get(1..3)?)?;
    Some((Undone::Byte(u8::try_from(byte).ok()?), 3))
}

fn backslash(rest: &[u8]) -> Option<(Undone, usize)> {
    let code = |digits: usize| -> Option<(Undone, usize)> {
        let code = hex(rest.get(2..2 + digits)?)?;
        Some((Undone::Character(char::from_u32(code)?), 2 + digits))
    };
    match rest.get(1)? {
        b'u' if rest.get(2) == Some(&b'{') => {
            let close = rest.iter().take(10).position(|byte| *byte == b'}')?;
            Some((Undone::Character(char::from_u32(hex(rest.get(3..close)?)?)?), close + 1))
        }
        b'u' => code(4),
        b'U' => code(8),
        b'x' => Some((Undone::Byte(u8::try_from(hex(rest.get(2..4)?)?).ok()?), 4)),
        b'/' => Some((Undone::Byte(b'/'), 2)),
        b'n' => Some((Undone::Byte(b'\n'), 2)),
        b'r' => Some((Undone::Byte(b'\r'), 2)),
        b't' => Some((Undone::Byte(b'\t'), 2)),
        b'"' => Some((Undone::Byte(b'"'), 2)),
        b'\\' => Some((Undone::Byte(b'\\'), 2)),
        b'0'..=b'3' => {
            let digits = std::str::from_utf8(rest.get(1..4)?).ok()?;
            Some((Undone::Byte(u8::from_str_radix(digits, 8).ok()?), 4))
        }
        _ => None,
    }
}

fn reference(rest: &[u8]) -> Option<(Undone, usize)> {
    let end = rest.iter().take(10).position(|byte| *byte == b';')?;
    let name = rest.get(1..end)?;
    let character = match name {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        b"lowbar" | b"UnderBar" => '_',
        b"hyphen" | b"dash" => '-',
        b"period" => '.',
        b"sol" => '/',
        b"plus" => '+',
        b"equals" => '=',
        b"colon" => ':',
        b"nbsp" => ' ',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(hex(digits)?)?,
        [b'#', digits @ ..] => char::from_u32(std::str::from_utf8(digits).ok()?.parse().ok()?)?,
        _ => return None,
    };
    Some((Undone::Character(character), end + 1))
}

fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0u32, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undone(text: &str) -> String {
        String::from_utf8_lossy(&undo(text.as_bytes()).0).into_owned()
    }

    #[test]
    fn each_kind_of_escape_is_undone() {
        assert_eq!(undone("%67hp%5F1"), "ghp_1");
        assert_eq!(undone("&#103;&#x68;p&lowbar;1&amp;"), "ghp_1&");
        assert_eq!(undone(r"\x67\u0068\u{70}\1371\/"), "ghp_1/");
        assert_eq!(undone(r"100% & \q &nope; %zz"), r"100% & \q &nope; %zz");
    }

    #[test]
    fn text_without_hidden_letters_has_no_window() {
        assert!(windows(br"if a && b { x & 1 } 100% \n \d+").is_empty());
        assert_eq!(windows(b"a%67b").len(), 1);
    }
}
