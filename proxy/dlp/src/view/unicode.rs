//! Characters that look like others, or that are not seen: undone where they touch ASCII letters.

use unicode_normalization::char::{decompose_compatible, is_combining_mark};
use unicode_security::confusable_detection::skeleton;

/// Bytes around such a character that belong to a window.
const AROUND: usize = 160;

/// The windows of a text that hold such characters.
pub(crate) fn windows(text: &[u8]) -> Vec<super::escape::Window> {
    let mut found: Vec<super::escape::Window> = Vec::new();
    for (number, chunk) in text.chunks(64).enumerate() {
        if chunk.is_ascii() {
            continue;
        }
        for at in number * 64..number * 64 + chunk.len() {
            if !hides(text, at) {
                continue;
            }
            let (start, end) = (boundary(text, at.saturating_sub(AROUND)), (at + AROUND).min(text.len()));
            match found.last_mut() {
                Some(last) if at <= last.end + AROUND => last.end = end,
                _ => found.push(super::escape::Window { start, end }),
            }
        }
    }
    found
}

/// Takes the characters for those that they look like; the points lead back.
pub(crate) fn fold(text: &[u8]) -> (Vec<u8>, Vec<(u32, u32)>) {
    let mut out = Vec::with_capacity(text.len());
    let mut points = vec![(0, 0)];
    let mut at = 0;
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            at += c.len_utf8();
            if c.is_ascii() {
                out.push(c as u8);
                continue;
            }
            one(c, &mut out);
            let index = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            points.push((index(out.len()), index(at)));
        }
        out.extend_from_slice(chunk.invalid());
        at += chunk.invalid().len();
    }
    (out, points)
}

/// Whether a character is not seen at all.
pub(crate) fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

fn one(c: char, out: &mut Vec<u8>) {
    // Tag characters are ASCII that is not seen.
    if let '\u{e0020}'..='\u{e007e}' = c {
        out.push((c as u32 - 0xe0000) as u8);
        return;
    }
    if is_unseen(c) || is_combining_mark(c) {
        return;
    }
    decompose_compatible(c, |part| {
        if is_combining_mark(part) {
            return;
        }
        let mut buffer = [0; 4];
        let text: &str = part.encode_utf8(&mut buffer);
        let mut alike = skeleton(text);
        match (part.is_ascii(), alike.next(), alike.next()) {
            (false, Some(like), None) if like.is_ascii() => out.push(like as u8),
            _ => out.extend_from_slice(text.as_bytes()),
        }
    });
}

/// Whether the character that begins at a place can hide a letter of a value. Text in another script has no ASCII letters
/// at its sides.
fn hides(text: &[u8], at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    let touches = |length: usize| {
        let letter =
            |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        letter(at.checked_sub(1).and_then(|before| text.get(before))) || letter(rest.get(length))
    };
    match rest {
        [0xc2, 0xad, ..] => true,
        [0xcc | 0xcd, ..] => touches(2),
        [0xce..=0xd1, ..] => touches(2),
        [0xe2, 0x80, 0x8b..=0x8f | 0xaa..=0xae, ..] | [0xe2, 0x81, 0xa0..=0xaf, ..] => true,
        [0xef, 0xbb, 0xbf, ..] => at > 0,
        [0xef, 0xbc | 0xbd, ..] => true,
        [0xef, 0xb8, 0x80..=0x8f, ..] => touches(3),
        [0xf0, 0x9d, 0x90..=0x9f, _, ..] | [0xf3, 0xa0, _, _, ..] => true,
        [0xf0, 0x9f, 0x84 | 0x85, _, ..] => touches(4),
        _ => false,
    }
}

/// The first place from `at` on where a character begins.
fn boundary(text: &[u8], at: usize) -> usize {
    let behind = text.get(at..).unwrap_or_default();
    at + behind.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        String::from_utf8_lossy(&fold(text.as_bytes()).0).into_owned()
    }

    #[test]
    fn unseen_and_look_alike_characters_are_undone() {
        assert_eq!(folded("g\u{200b}h\u{ad}p\u{feff}_"), "ghp_");
        assert_eq!(folded("\u{430}\u{435}\u{43e}"), "aeo");
        assert_eq!(folded("\u{ff47}\u{ff48}\u{ff50}\u{ff3f}"), "ghp_");
        assert_eq!(folded("\u{1d420}hp"), "ghp");
        assert_eq!(folded("e\u{301}0ImrnIl1"), "e0ImrnIl1", "ASCII stays as it is");
        assert_eq!(folded("\u{e0067}\u{e0068}"), "gh");
    }

    #[test]
    fn text_in_another_script_has_no_windows() {
        for text in [
            "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} mir",
            "\u{65e5}\u{672c}\u{8a9e} text",
            "na\u{ef}ve caf\u{e9}",
        ] {
            assert!(windows(text.as_bytes()).is_empty(), "{text}");
        }
        assert_eq!(windows("gh\u{440}_".as_bytes()).len(), 1);
    }
}
