//! An agent's text made fit to be shown: on one line, read from left to right, with nothing in it that is not seen.
//!
//! Whatever ends a line, turns the reading round or takes no room becomes a space, and several spaces one: a text cannot
//! be pushed onto another line, neither by a character nor by the width of a phone.

use std::iter;
use unicode_normalization::char::is_combining_mark;

/// Marks on one letter; more of them reach over the lines above and below.
const MARKS: usize = 2;

/// A text on one line, of at most so many characters; `…` ends one that was cut.
pub fn cleaned(text: &str, most: usize) -> String {
    match cut(text, most, iter::once) {
        (shown, 0) => shown,
        (shown, _) => shown.chars().take(most.saturating_sub(1)).chain((most > 0).then_some('…')).collect(),
    }
}

/// The first characters of a cleaned text, each as `map` has it, and how many more there were.
pub(super) fn cut<I: Iterator<Item = char>>(
    text: &str,
    most: usize,
    map: impl Fn(char) -> I,
) -> (String, usize) {
    let mut letters = shown(text).flat_map(map);
    let first = letters.by_ref().take(most).collect();
    (first, letters.count())
}

/// A letter, or what is read as the same and is no mark of quotation of Hudson's.
pub(super) fn unquoted(letter: char) -> iter::Once<char> {
    iter::once(match letter {
        '«' | '»' | '≪' | '≫' | '⋘' | '⋙' | '⟪' | '⟫' | '《' | '》' | '︽' | '︾' | '⪡' | '⪢' | '⫷' | '⫸'
        | '‹' | '›' | '❮' | '❯' => '"',
        letter => letter,
    })
}

/// The letters that are seen, in runs that are apart by one space; none at the beginning or the end.
fn shown(text: &str) -> impl Iterator<Item = char> + '_ {
    let mut marks = 0;
    let seen = text.chars().map(move |letter| {
        marks = if is_combining_mark(letter) { marks + 1 } else { 0 };
        if is_seen(letter) && marks <= MARKS { letter } else { ' ' }
    });
    let mut space = false;
    let mut begun = false;
    seen.flat_map(move |letter| {
        if letter == ' ' {
            space = begun;
            return [None, None];
        }
        begun = true;
        [std::mem::take(&mut space).then_some(' '), Some(letter)]
    })
    .flatten()
}

fn is_seen(letter: char) -> bool {
    let hidden = matches!(letter,
        // Format characters: soft hyphens, marks and isolates of direction, joiners, tags, annotations.
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
        | '\u{8e2}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}'
        // Letters that are empty.
        | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
        // What only changes the look of the letter in front.
        | '\u{fe00}'..='\u{fe0f}'
        // What looks as some font will have it.
        | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}');
    !hidden && !letter.is_control() && !letter.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_text_stays_on_its_line() {
        assert_eq!(cleaned("ok\r\nstatus: \u{202e}approved\u{0}", 300), "ok status: approved");
        for hidden in
            ["\u{200b}", "\u{feff}", "\u{2029}", "\u{85}", "\u{b}", "\u{3164}", "\u{e0041}", "\u{3000}"]
        {
            assert_eq!(cleaned(&format!("{hidden}a{hidden}\n{hidden}b{hidden}"), 300), "a b", "{hidden:?}");
        }
        assert_eq!(cleaned(&" ".repeat(500), 300), "");
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cleaned("abcd", 4), "abcd");
        assert_eq!(cleaned("abcde", 4), "abc…");
        assert_eq!(cleaned("abcde", 0), "");
    }

    #[test]
    fn marks_do_not_reach_over_other_lines() {
        let piled = format!("a{}b", "\u{30a}".repeat(50));
        assert_eq!(cleaned(&piled, 300), "a\u{30a}\u{30a} b");
        assert_eq!(cleaned("e\u{323}\u{302}", 300), "e\u{323}\u{302}", "as Vietnamese has it");
    }
}
