//! What text weighs before any vocabulary has read it: one pass over its bytes, a table look-up for each.
//!
//! Vocabularies cut text into words with the space before them, short runs of digits, and runs of signs; then they keep
//! what is common whole and cut up what is rare. A state machine follows these cuts: its state is what kind of run the
//! text is in and how long that is already, and each byte adds what it costs there. So letters and digits that are mixed at
//! random (base64, hex) weigh what they are, wherever they stand. Random letters of one case do not: they look like a
//! word until it is longer than words are, and weigh a third of what they are, or half. The costs are calibrated on prose,
//! code, JSON, tables and a dozen languages against the vocabularies `o200k_base` and `cl100k_base`; what a model's own
//! vocabulary differs by is the caller's factor. Characters of rare blocks weigh their bytes. Invariant: text with more
//! behind it never weighs less.

mod class;

use class::{Class, class_of, class_of_wide};
use std::ops::AddAssign;

/// The weight of text, in hundredths of a token, by what vocabularies treat differently.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::request) struct Weight {
    /// ASCII, in the vocabulary `o200k_base`; and what no vocabulary has pieces for.
    pub(super) plain: u64,
    /// All other characters, in the vocabulary `cl100k_base`; newer ones have larger pieces of them.
    pub(super) wide: u64,
    /// Digits: of these, vocabularies that keep each digit apart have two tokens in three more.
    pub(super) digits: u64,
}

impl AddAssign for Weight {
    fn add_assign(&mut self, more: Self) {
        self.plain = self.plain.saturating_add(more.plain);
        self.wide = self.wide.saturating_add(more.wide);
        self.digits = self.digits.saturating_add(more.digits);
    }
}

/// Weighs a text as it stands.
pub(in crate::request) fn weigh(text: &str) -> Weight {
    run(text.as_bytes(), false)
}

/// Weighs what stands between the quotes of a JSON string, its escapes undone.
pub(super) fn weigh_escaped(raw: &str) -> Weight {
    run(raw.as_bytes(), true)
}

const CLASSES: usize = Class::RareFour as usize + 1;

/// By class, from [`Class::Rest`] up to [`Class::Four`]: what a character costs in `cl100k_base`.
const WIDE: [u16; Class::RareTwo as usize - Class::Rest as usize] =
    [0, 200, 100, 46, 115, 82, 95, 114, 95, 118, 120, 120, 320];

/// The longest run of letters that is told from a longer one.
const LONGEST: usize = 25;
/// What a word's letters cost, the first first.
const LETTERS: [u16; LONGEST] =
    [90, 0, 2, 4, 5, 7, 8, 8, 9, 10, 12, 14, 16, 18, 20, 22, 25, 28, 30, 32, 35, 38, 42, 46, 52];
/// What capitals cost that follow a capital.
const CAPITALS: [u16; 5] = [0, 14, 22, 28, 34];

// The states: what kind of run the text is in, and its length so far as that matters.
/// The beginning, from which nothing is carried on.
const START: u8 = 0;
const SPACE: u8 = 1;
const SPACES: u8 = 2;
const BREAK: u8 = 3;
/// Signs, up to the third.
const SIGN: u8 = 4;
const SIGN_2: u8 = SIGN + 1;
const SIGN_3: u8 = SIGN + 2;
const RULE: u8 = 7;
const RULE_2: u8 = RULE + 1;
const RULE_3: u8 = RULE + 2;
/// Behind a character that is not ASCII.
const WIDER: u8 = 10;
/// Digits, up to the third.
const DIGIT: u8 = 11;
const DIGIT_2: u8 = DIGIT + 1;
/// Capitals, up to the fifth.
const UPPER: u8 = 14;
const UPPER_2: u8 = UPPER + 1;
/// Letters of a word, up to the [`LONGEST`].
const LOWER: u8 = 19;
const LOWER_2: u8 = LOWER + 1;
/// A second kind right behind a run of one or two: three kinds, up to three of each.
const MIXED: u8 = LOWER + LONGEST as u8;
/// A third one, and so on, as in base64 and hex: three kinds, up to four of each.
const RANDOM: u8 = MIXED + 9;
const STATES: usize = RANDOM as usize + 12;

/// What a byte of a class does in a state.
#[derive(Clone, Copy)]
struct Step {
    next: u8,
    plain: u16,
    wide: u16,
    digits: u16,
}

/// Bits for a class, and for a state.
const CLASS_BITS: u32 = 5;
const STATE_BITS: u32 = 7;

/// Every step, by state and class: the next state, already where it stands in an index; what is plain; what is wide; a
/// digit. Packed, so that all states stay in the first cache.
static STEPS: [u32; 1 << (CLASS_BITS + STATE_BITS)] = steps();

fn run(bytes: &[u8], escaped: bool) -> Weight {
    let mut weight = Weight::default();
    let mut state = usize::from(START) << CLASS_BITS;
    let mut at = 0;
    // The character before, where it is ASCII.
    let mut before = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        let (mut class, mut character) = (class_of(byte), byte);
        if byte == b'\\' && escaped {
            (class, character, at) = escape(bytes, at);
        } else if byte >= 0xc0 {
            class = class_of_wide(byte, bytes.get(at).copied().unwrap_or_default());
        }
        if class == Class::Rule as u8 && character == before {
            class = Class::Again as u8;
        }
        // Behind a carriage return, nothing but a line feed is one piece with it.
        if class == Class::Break as u8 && before == b'\r' && character != b'\n' {
            class = Class::Sign as u8;
        }
        before = character;
        // Always there: the table has a place for every index of so many bits.
        let step = STEPS.get((state | usize::from(class)) % STEPS.len()).copied().unwrap_or_default();
        weight.plain += u64::from(step >> 12 & 0x1ff);
        weight.wide += u64::from(step >> 21 & 0x1ff);
        weight.digits += u64::from(step >> 30 & 1);
        state = (step & 0xfe0) as usize;
    }
    weight
}

/// The class of an escaped character, the character where it is ASCII, and what follows it.
fn escape(bytes: &[u8], at: usize) -> (u8, u8, usize) {
    match bytes.get(at) {
        Some(b'n') => (Class::Break as u8, b'\n', at + 1),
        Some(b'r') => (Class::Break as u8, b'\r', at + 1),
        Some(b't') => (Class::Break as u8, b'\t', at + 1),
        Some(b'u') => {
            let code = unit(bytes, at);
            let behind = at + 5;
            let is_pair = || {
                bytes.get(behind) == Some(&b'\\')
                    && bytes.get(behind + 1) == Some(&b'u')
                    && (0xdc00..0xe000).contains(&unit(bytes, behind + 1))
            };
            let (lead, second, end) = match code {
                0..0x80 => (code, 0, behind),
                0x80..0x800 => (0xc0 | code >> 6, 0, behind),
                // The first one of a surrogate pair says enough; one that is alone is no character that a vocabulary has.
                0xd800..0xdc00 if is_pair() => {
                    let character = 0x1_0000 + ((code & 0x3ff) << 10);
                    (0xf0 | character >> 18, 0x80 | character >> 12 & 0x3f, behind + 6)
                }
                _ => (0xe0 | code >> 12, 0x80 | code >> 6 & 0x3f, behind),
            };
            let byte = |value: u32| u8::try_from(value).unwrap_or(0xff);
            (class_of_wide(byte(lead), byte(second)), byte(lead), end)
        }
        Some(&byte) => (class_of(byte), byte, at + 1),
        None => (Class::Sign as u8, 0, at),
    }
}

/// The UTF-16 unit of an escape whose `u` is at this place.
fn unit(bytes: &[u8], at: usize) -> u32 {
    let hex = bytes.get(at + 1..at + 5).unwrap_or_default();
    hex.iter().fold(0, |code, digit| code << 4 | char::from(*digit).to_digit(16).unwrap_or(0))
}

#[allow(
    clippy::indexing_slicing,
    reason = "it runs when it is compiled, where a place that is not there is an error"
)]
const fn steps() -> [u32; 1 << (CLASS_BITS + STATE_BITS)] {
    let mut steps = [0; 1 << (CLASS_BITS + STATE_BITS)];
    let mut state = 0;
    while state < STATES {
        let mut class = 0;
        while class < CLASSES {
            let Step { next, plain, wide, digits } = step(state as u8, class as u8);
            steps[state << CLASS_BITS | class] = (next as u32) << CLASS_BITS
                | (plain as u32) << 12
                | (wide as u32) << 21
                | (digits as u32) << 30;
            class += 1;
        }
        state += 1;
    }
    steps
}

const fn costs(next: u8, plain: u16) -> Step {
    Step { next, plain, wide: 0, digits: 0 }
}

#[allow(
    clippy::indexing_slicing,
    reason = "it runs when it is compiled, where a place that is not there is an error"
)]
const fn step(state: u8, class: u8) -> Step {
    if class >= Class::Rest as u8 {
        // The rest of a character leaves everything as it is.
        let next = if class == Class::Rest as u8 { state } else { WIDER };
        if class >= Class::RareTwo as u8 {
            return costs(next, 200 + 100 * (class - Class::RareTwo as u8) as u16);
        }
        return Step { next, plain: 0, wide: WIDE[(class - Class::Rest as u8) as usize], digits: 0 };
    }
    if class <= Class::Digit as u8 {
        let digits = if class == Class::Digit as u8 { 1 } else { 0 };
        return Step { digits, ..alphanumeric(state, class) };
    }
    if class == Class::Space as u8 {
        return match state {
            SPACE => costs(SPACES, 85),
            SPACES => costs(SPACES, 1),
            BREAK => costs(SPACE, 10),
            _ => costs(SPACE, 0),
        };
    }
    if class == Class::Break as u8 {
        return match state {
            BREAK => costs(BREAK, 12),
            SIGN..WIDER => costs(BREAK, 25),
            _ => costs(BREAK, 95),
        };
    }
    let again = class == Class::Again as u8;
    let rule = again || class == Class::Rule as u8;
    match state {
        RULE | RULE_2 if again => costs(state + 1, 25),
        RULE_3 if again => costs(RULE_3, 3),
        // Another one begins anew.
        RULE..WIDER if rule => costs(RULE, 55),
        _ if state >= SIGN && state < WIDER => costs(
            if state == SIGN { SIGN + 1 } else { SIGN + 2 },
            if state == SIGN || state == RULE { 38 } else { 50 },
        ),
        _ => costs(if rule { RULE } else { SIGN }, 80),
    }
}

#[allow(
    clippy::indexing_slicing,
    reason = "it runs when it is compiled, where a place that is not there is an error"
)]
/// A letter or a digit.
const fn alphanumeric(state: u8, class: u8) -> Step {
    let kind = class; // 0 lower, 1 upper, 2 digit
    // In what looks random.
    if state >= RANDOM {
        let (was, length) = ((state - RANDOM) / 4, (state - RANDOM) % 4);
        let same = was == kind || (was == 1 && kind == 0);
        return match same {
            true if length == 3 && kind == 0 => costs(LOWER + 5, 40),
            true if length == 3 && kind == 2 => costs(DIGIT + 1, 40),
            true => costs(RANDOM + 4 * kind + if length < 3 { length + 1 } else { 3 }, 79),
            false => costs(RANDOM + 4 * kind, 79),
        };
    }
    if state >= MIXED {
        let (was, length) = ((state - MIXED) / 3, (state - MIXED) % 3);
        let same = was == kind || (was == 1 && kind == 0);
        return match same {
            true if length == 2 => match kind {
                0 => costs(LOWER + 3, 4),
                1 => costs(UPPER + 3, 28),
                _ => costs(DIGIT, 95),
            },
            true => costs(MIXED + 3 * kind + length + 1, if kind == 1 { 15 } else { 4 }),
            false if length < 2 => costs(RANDOM + 4 * kind, 80),
            false => first(kind, 85),
        };
    }
    match (state, kind) {
        (LOWER.., 0) => {
            let length = state - LOWER;
            let next = if (length as usize) < LONGEST - 1 { length + 1 } else { length };
            costs(LOWER + next, LETTERS[next as usize])
        }
        (UPPER..LOWER, 0) => costs(LOWER + 1 + (state - UPPER), 3),
        (UPPER..LOWER, 1) => {
            let length = state - UPPER;
            let next = if length < 4 { length + 1 } else { 4 };
            costs(UPPER + next, CAPITALS[next as usize])
        }
        (DIGIT..UPPER, 2) => match state - DIGIT {
            2 => costs(DIGIT, 97),
            length => costs(DIGIT + length + 1, 1),
        },
        // Another kind after one or two.
        (DIGIT | DIGIT_2 | UPPER | UPPER_2 | LOWER | LOWER_2, _) => costs(MIXED + 3 * kind, 90),
        // A sign before a word is often one token with it.
        (SIGN | SIGN_2 | SIGN_3 | RULE | RULE_2 | RULE_3, 0 | 1) => first(kind, 62),
        (SPACE, 2) => first(kind, 200),
        _ if state >= DIGIT => first(kind, 88),
        _ => first(kind, 95),
    }
}

/// The first of a run.
const fn first(kind: u8, plain: u16) -> Step {
    costs(
        match kind {
            0 => LOWER,
            1 => UPPER,
            _ => DIGIT,
        },
        plain,
    )
}
