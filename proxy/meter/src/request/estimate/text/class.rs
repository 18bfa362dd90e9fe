//! What a character is to a vocabulary, as its first bytes say.
//!
//! Invariant: a character that vocabularies have no piece for is of a rare class, where each of its bytes is a token.

/// What a byte is to a vocabulary.
#[derive(Clone, Copy, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Class {
    Lower,
    Upper,
    Digit,
    Space,
    /// Line breaks and tabs.
    Break,
    Sign,
    /// A sign of which lines are drawn.
    Rule,
    /// The same one again: a long run of it is one token.
    Again,
    /// All but the first byte of a character.
    Rest,
    /// Latin with marks.
    Latin,
    Greek,
    Cyrillic,
    Hebrew,
    Arabic,
    /// Other characters of two bytes.
    Two,
    Han,
    Kana,
    Hangul,
    /// From Devanagari to Thai.
    Indic,
    /// Other characters of three bytes, punctuation among them.
    Three,
    /// Emoji.
    Four,
    /// Characters of rare blocks, by how many bytes they have.
    RareTwo,
    RareThree,
    RareFour,
}

static CLASS: [u8; 256] = class_of_bytes();

/// The class of a character that begins with these two bytes.
pub(super) fn class_of_wide(lead: u8, second: u8) -> u8 {
    match lead {
        _ if !is_rare(lead, second) => class_of(lead),
        0xf0.. => Class::RareFour as u8,
        0xe0.. => Class::RareThree as u8,
        _ => Class::RareTwo as u8,
    }
}

/// The class of a character by its first byte.
pub(super) fn class_of(byte: u8) -> u8 {
    // Always there: the table has a place for every byte.
    CLASS.get(usize::from(byte)).copied().unwrap_or_default()
}

#[allow(
    clippy::indexing_slicing,
    reason = "it runs when it is compiled, where a place that is not there is an error"
)]
const fn class_of_bytes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' => Class::Lower,
            b'A'..=b'Z' => Class::Upper,
            b'0'..=b'9' => Class::Digit,
            b' ' => Class::Space,
            b'\n' | b'\r' | b'\t' => Class::Break,
            b'-' | b'=' | b'*' | b'#' | b'.' | b'/' | b'~' => Class::Rule,
            0..0x80 => Class::Sign,
            0x80..0xc0 => Class::Rest,
            0xc3..=0xc5 => Class::Latin,
            0xce | 0xcf => Class::Greek,
            0xd0..=0xd3 => Class::Cyrillic,
            0xd6 | 0xd7 => Class::Hebrew,
            0xd8..=0xdb => Class::Arabic,
            0xc0..0xe0 => Class::Two,
            0xe3 => Class::Kana,
            0xe4..=0xe9 => Class::Han,
            0xea..=0xed => Class::Hangul,
            0xe0 => Class::Indic,
            0xe1..=0xef => Class::Three,
            0xf0.. => Class::Four,
        } as u8;
        byte += 1;
    }
    classes
}

/// Whether a character that begins with these two bytes is of a rare block: one whose characters come to almost all of
/// their bytes in `o200k_base` and `cl100k_base`. What people write in every day (Han from U+4E00 on, kana, syllables of
/// Hangul, the scripts of India, Thai, Khmer, Burmese, Georgian) is none, nor are emoji.
fn is_rare(lead: u8, second: u8) -> bool {
    match lead {
        // Latin and marks that hardly any language has; Syriac, Thaana, N'Ko.
        0xc7 | 0xc9..=0xcb | 0xcd | 0xdc..=0xdf => true,
        // Samaritan to Arabic's extensions; Lao and Tibetan.
        0xe0 => !matches!(second, 0xa4..=0xb9),
        // Single letters of Hangul to the scripts of the Philippines; Mongolian to phonetic letters; accented Greek.
        0xe1 => matches!(second, 0x84..=0x9d | 0xa0..=0xb7 | 0xbc..),
        // Technical signs, late symbols; Braille, arrows and mathematics of the supplements to radicals of Han.
        0xe2 => matches!(second, 0x8c..=0x90 | 0x9b | 0x9f..),
        // Strokes; enclosed and squared signs; the first extension of Han.
        0xe3 => second >= 0x86,
        0xe4 => second < 0xb8,
        // Yi to the letters of Meetei.
        0xea => second < 0xb0,
        0xed => second >= 0x9f,
        // Private use, Han for compatibility, forms of Arabic letters.
        0xee => true,
        0xef => !matches!(second, 0xac | 0xb8 | 0xbc..),
        // Emoji are the fourth part of the first plane behind the basic one.
        0xf0 => second != 0x9f,
        0xf1.. => true,
        _ => false,
    }
}
