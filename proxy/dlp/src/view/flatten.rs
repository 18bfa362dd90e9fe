//! A JSON text with the escapes of its strings undone, keys and structure kept: what a value is and what it is given to
//! stand beside each other, and one scan sees both.
//!
//! Escapes are undone wherever they stand, so that no state of the text has to be carried along.

use memchr::memchr;

/// Whether a body that begins like this has its escapes undone: JSON, lines of JSON, or events that carry it.
pub(crate) fn is_json_like(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    matches!(head.first(), Some(b'{' | b'[' | b'"'))
        || head.starts_with(b"data:")
        || head.starts_with(b"event:")
}

/// Undoes the escapes of `text` into `out`; the points lead back.
pub(crate) fn unescape(text: &[u8], out: &mut Vec<u8>, points: &mut Vec<(u32, u32)>) {
    out.clear();
    points.clear();
    out.reserve(text.len());
    points.push((0, 0));
    let mut rest = text;
    while let Some(slash) = memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(slash);
        out.extend_from_slice(plain);
        let length = one(escape, out);
        rest = escape.get(length..).unwrap_or_default();
        points.push((index(out.len()), index(text.len() - rest.len())));
    }
    out.extend_from_slice(rest);
}

/// Undoes the escape at the front; how long it was.
fn one(escape: &[u8], out: &mut Vec<u8>) -> usize {
    let plain = match escape.get(1) {
        Some(b'n') => b'\n',
        Some(b'"') => b'"',
        Some(b'\\') => b'\\',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'/') => b'/',
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(b'u') => return unicode(escape, out),
        _ => {
            out.push(b'\\');
            return 1;
        }
    };
    out.push(plain);
    2
}

/// `\uXXXX`, and the second half of a pair.
fn unicode(escape: &[u8], out: &mut Vec<u8>) -> usize {
    let unit = |from: usize| {
        let digits = escape.get(from..from + 4)?;
        u32::from_str_radix(std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?, 16).ok()
    };
    let Some(first) = unit(2) else {
        out.push(b'\\');
        return 1;
    };
    let second = (escape.get(6..8) == Some(br"\u")).then(|| unit(8)).flatten();
    let (code, length) = match (first, second) {
        (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
            (0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), 12)
        }
        _ => (first, 6),
    };
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    length
}

fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> String {
        let (mut out, mut points) = (Vec::new(), Vec::new());
        unescape(text.as_bytes(), &mut out, &mut points);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_are_undone_and_all_else_stays() {
        assert_eq!(flat(r#"{"a":"x\ny\"\u0067hp_\/"}"#), "{\"a\":\"x\ny\"ghp_/\"}");
        assert_eq!(flat(r"\ud83d\ude00 \ud83d \q \u12"), "\u{1f600} \u{fffd} \\q \\u12");
        assert_eq!(flat("\\"), "\\");
    }

    #[test]
    fn offsets_lead_back() {
        let text = r#"{"a":"\u0067hp_1"}"#;
        let (mut out, mut points) = (Vec::new(), Vec::new());
        unescape(text.as_bytes(), &mut out, &mut points);
        let at = memchr::memmem::find(&out, b"hp_1").unwrap();
        let map = crate::view::Map::Points(points);
        let (start, end) = map.range(at, at + 4);
        assert_eq!(&text[start..end], "hp_1");
    }
}
