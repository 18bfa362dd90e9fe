//! Letters as a reader sees them: compatibility forms and look-alikes of other scripts as the ASCII they pass for.

use crate::prompt::is_seen;
use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;

/// Stands for what is not seen at all.
pub(super) const HIDDEN: char = '\0';

/// The letters of a text; whatever ends a line is `\n`, other white space a space. Case stays.
pub(super) fn letters(text: &str) -> impl Iterator<Item = char> + '_ {
    text.nfkc().flat_map(|letter| {
        let (one, alike) = match letter {
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => (Some('\n'), Vec::new()),
            letter if letter.is_whitespace() => (Some(' '), Vec::new()),
            letter if letter.is_ascii_graphic() => (Some(letter), Vec::new()),
            letter if !is_seen(letter) => (Some(HIDDEN), Vec::new()),
            letter => (None, alike(letter)),
        };
        one.into_iter().chain(alike)
    })
}

/// Whether a text has what only hides it from its reader: control characters, turns of direction, tags.
pub(super) fn is_hiding(text: &str) -> bool {
    text.chars().any(|letter| match letter {
        '\t' | '\n' | '\r' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}' => true,
        letter => letter.is_control(),
    })
}

/// The ASCII that a letter looks like; itself where it looks like none.
fn alike(letter: char) -> Vec<char> {
    let prototype: Vec<char> = skeleton(letter.encode_utf8(&mut [0; 4])).collect();
    match prototype.iter().all(char::is_ascii_graphic) {
        true => prototype,
        false => vec![letter],
    }
}
