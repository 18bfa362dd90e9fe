//! Seed phrases of wallets (BIP-39): twelve to twenty-four words of a list, of which the last holds a checksum.
//!
//! Words of that list are everywhere, twelve in a row are not: the lengths of words are looked at first, since a sentence
//! has shorter and longer ones, and only then the list.

use bip39::{Language, Mnemonic};

/// Words of a phrase.
const COUNTS: [usize; 5] = [24, 21, 18, 15, 12];
/// Words of the shortest phrase.
const SHORTEST: usize = 12;
/// Words in a row that are a phrase with words in front or behind, and not a copy of the list.
const LONGEST: usize = 28;
/// Bytes of the shortest phrase: twelve words of three letters and what is between them.
const BYTES: usize = 4 * SHORTEST - 1;
/// Places of so many bytes that are looked at before the others, from the last to the first.
const PROBES: [usize; 5] = [40, 32, 23, 14, 5];

/// Calls `found` with the place of every phrase.
pub(crate) fn find(text: &[u8], mut found: impl FnMut(usize, usize)) {
    let mut from = 0;
    while let Some(probe) = text.get(from + BYTES - 1) {
        if !is_part(*probe) {
            from += BYTES;
            continue;
        }
        let window = text.get(from..from + BYTES).unwrap_or_default();
        // A few of its bytes rule most texts out.
        let other = PROBES.iter().find(|at| window.get(**at).is_none_or(|byte| !is_part(*byte)));
        if let Some(at) = other {
            from += at + 1;
            continue;
        }
        let tail = window.iter().rev().take_while(|byte| is_part(**byte)).count();
        if tail < BYTES {
            from += BYTES - tail;
            continue;
        }
        let rest = text.get(from + BYTES..).unwrap_or_default();
        let end = from + BYTES + rest.iter().take_while(|byte| is_part(**byte)).count();
        rows(text.get(from..end).unwrap_or_default(), |start, stop| found(from + start, from + stop));
        from = end + 1;
    }
}

/// Whether a phrase may hold this byte.
fn is_part(byte: u8) -> bool {
    byte.is_ascii_lowercase() || is_between(byte)
}

fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',')
}

/// Words in a row that have the lengths of the list's.
fn rows(text: &[u8], mut found: impl FnMut(usize, usize)) {
    let mut row: Vec<(usize, &[u8])> = Vec::new();
    let mut at = 0;
    for word in text.split(|byte| is_between(*byte)) {
        match word.len() {
            0 => {}
            3..=8 => row.push((at, word)),
            _ => {
                phrases(&row, &mut found);
                row.clear();
            }
        }
        at += word.len() + 1;
    }
    phrases(&row, &mut found);
}

/// Phrases in a row of words.
fn phrases(row: &[(usize, &[u8])], found: &mut impl FnMut(usize, usize)) {
    if row.len() < SHORTEST {
        return;
    }
    let words: Vec<(usize, &str)> =
        row.iter().map(|(at, word)| (*at, std::str::from_utf8(word).unwrap_or_default())).collect();
    let listed = |(_, word): &(usize, &str)| Language::English.find_word(word).is_some();
    for row in words.chunk_by(|one, next| listed(one) == listed(next)) {
        if !(SHORTEST..=LONGEST).contains(&row.len()) || !row.first().is_some_and(listed) {
            continue;
        }
        let phrase = COUNTS.iter().find_map(|count| row.windows(*count).find(|words| is_phrase(words)));
        if let Some([(start, _), .., (last, word)]) = phrase {
            found(*start, last + word.len());
        }
    }
}

fn is_phrase(words: &[(usize, &str)]) -> bool {
    let words: Vec<&str> = words.iter().map(|(_, word)| *word).collect();
    Mnemonic::parse_in_normalized(Language::English, &words.join(" ")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHRASE: &str = "tenant weekend uphold mammal orbit barely flavor skull uncle gossip hotel";

    fn found(text: &str) -> Vec<&str> {
        let mut places = Vec::new();
        find(text.as_bytes(), |start, end| places.push((start, end)));
        places.into_iter().map(|(start, end)| &text[start..end]).collect()
    }

    /// The phrase with the last word that makes its checksum right, and one that does not.
    fn phrases() -> (String, String) {
        let with = |word: &str| format!("{PHRASE} {word}");
        let (right, wrong): (Vec<&str>, Vec<&str>) = Language::English
            .word_list()
            .iter()
            .partition(|word| Mnemonic::parse_in_normalized(Language::English, &with(word)).is_ok());
        (with(right[0]), with(wrong[0]))
    }

    #[test]
    fn a_phrase_is_told_by_its_checksum_wherever_it_stands() {
        let (right, wrong) = phrases();
        for text in [
            right.clone(),
            format!("My seed is: {right}."),
            format!("{{\"content\":\"{right}\"}}"),
            format!("it is {right} of mine"),
        ] {
            assert_eq!(found(&text), [&right], "{text}");
        }
        assert_eq!(found(&right.replace(' ', ", ")).len(), 1);
        assert_eq!(found(&right.replace(' ', "\n")).len(), 1);
        assert!(found(&wrong).is_empty());
    }

    #[test]
    fn the_list_itself_and_sentences_are_no_phrases() {
        assert!(found(&Language::English.word_list().join("\n")).is_empty());
        assert!(found(&"the quick brown fox jumps over the lazy dog and then ".repeat(40)).is_empty());
    }
}
