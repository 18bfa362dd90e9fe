//! Quoted-printable (RFC 2045, section 6.7): `=67` for a letter, and an equals sign at the end of a line that goes on.

use super::escape::Window;

/// Bytes around an escape that belong to a window: a value has its ends outside.
const AROUND: usize = 160;
/// Letters of a hash in base64.
const HASH: usize = 90;
/// Letters of the shortest one.
const HASH_MIN: usize = 27;
/// A letter that is written as digits has another near it; one alone is more often a number that is assigned.
const NEAR: usize = 16;

/// The windows of a text in which it hides letters.
pub(crate) fn windows(text: &[u8]) -> Vec<Window> {
    let mut found: Vec<Window> = Vec::new();
    let mut last = None;
    for at in memchr::memchr_iter(b'=', text) {
        let hides = match text.get(at + 1..) {
            Some([b'\n', next, ..] | [b'\r', b'\n', next, ..]) => {
                next.is_ascii_graphic() && !is_padding(text.get(..at).unwrap_or_default())
            }
            Some([high, low, ..]) if digit(*high).is_some() && digit(*low).is_some() => {
                let near = last.is_some_and(|last| at - last <= NEAR);
                last = Some(at);
                near
            }
            _ => false,
        };
        if !hides {
            continue;
        }
        let end = (at + AROUND).min(text.len());
        match found.last_mut() {
            Some(last) if at <= last.end + AROUND => last.end = end,
            _ => found.push(Window { start: at.saturating_sub(AROUND), end }),
        }
    }
    found
}

/// Whether an equals sign behind this text pads base64, as at the end of each line of a lock file, or assigns.
fn is_padding(before: &[u8]) -> bool {
    let letter = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let letters = before.iter().rev().take(HASH).take_while(letter).count();
    letters == 0 && before.last().is_none_or(|byte| *byte == b'=' || byte.is_ascii_whitespace())
        || letters >= HASH_MIN && (letters + 1).is_multiple_of(4)
}

/// Undoes it; the points lead back.
pub(crate) fn undo(text: &[u8]) -> (Vec<u8>, Vec<(u32, u32)>) {
    let mut out = Vec::with_capacity(text.len());
    let mut points = vec![(0, 0)];
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let rest = text.get(at + 1..).unwrap_or_default();
        let (byte, length) = match (byte, rest) {
            (b'=', [b'\r', b'\n', ..]) => (None, 3),
            (b'=', [b'\n', ..]) => (None, 2),
            (b'=', [high, low, ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (Some(high << 4 | low), 3),
                _ => (Some(b'='), 1),
            },
            (byte, _) => (Some(*byte), 1),
        };
        out.extend(byte);
        at += length;
        if length > 1 {
            let index = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            points.push((index(out.len()), index(at)));
        }
    }
    (out, points)
}

/// The standard asks for capitals; those who decode take both.
fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_soft_line_breaks_are_undone() {
        let (text, points) = undo(b"=67h=70_ab=\r\ncd=\nef=zz==3D=");
        assert_eq!(text, b"ghp_abcdef=zz===");
        let map = crate::view::Map::Points(points);
        assert_eq!(map.range(4, 7), (8, 14));
    }

    #[test]
    fn assignments_have_no_window() {
        assert!(windows(b"let a=10; if b == 20 { c=0xff }\nx =\n  y =\nz").is_empty());
        let hash = "x/y v1 h1:bB+Cd0123456789abcdefghijklmnopqrstuvwxyzAB=\nx/z";
        assert!(windows(hash.as_bytes()).is_empty() && windows(b"sha512-aa==\nb").is_empty());
        assert_eq!(windows(b"=67=68=70_").len(), 1);
        assert_eq!(windows(b"abc=\r\ndef").len(), 1);
    }
}
