//! Runs of base64, hexadecimal digits and base32, decoded at every alignment: where the encoded text begins is not known,
//! since any letter of the run may be in front of it.
//!
//! What comes out is looked at only where it is text: random bytes are printable for long by chance so seldom that
//! images and ciphertext cost their decoding and little more.

#![allow(clippy::indexing_slicing, reason = "tables of 256 entries are indexed by bytes")]

use super::{Budget, Map};
use crate::finding::Encoding;

/// Characters of the shortest run that is decoded; the shortest tokens have 20 bytes.
const SHORTEST: usize = 24;
/// Letters of the shortest run that can be a value.
const WORD: usize = 12;
/// Letters from which on a run without a digit can be a value.
const LONGEST_WORD: usize = 32;
/// Digits of the shortest run of hexadecimal digits.
const SHORTEST_HEX: usize = 24;
/// Characters of the shortest run of base32.
const SHORTEST_BASE32: usize = 32;
/// Bytes of text in a row that make decoded bytes worth a look.
const TEXT: usize = 12;
/// A run longer than this is a place where any form may occur by chance.
pub(crate) const OPAQUE: usize = 256;
/// Characters of a line of wrapped base64, at least.
const LINE: usize = 56;

/// A run of letters of the base64 alphabets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Decoded text and how it leads back.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    pub(crate) map: Map,
    pub(crate) encoding: Option<Encoding>,
}

/// The runs of a text.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Those that are long enough to be decoded.
    pub(crate) long: Vec<Run>,
    /// Those that can be a value: with a digit, or longer than any word.
    words: Vec<Run>,
}

impl Runs {
    /// Whether a run that can be a value reaches into a range.
    pub(crate) fn has_word(&self, from: usize, until: usize) -> bool {
        let index = self.words.partition_point(|run| run.end < from + WORD);
        self.words.get(index).is_some_and(|run| run.start < until)
    }
}

/// All runs, from left to right. Every twelfth byte is looked at, and more only where that one is a letter.
pub(crate) fn find(text: &[u8]) -> Runs {
    let mut runs = Runs::default();
    let mut from = 0;
    while let Some(probe) = text.get(from + WORD - 1) {
        if value64(*probe).is_none() {
            from += WORD;
            continue;
        }
        let window = text.get(from..from + WORD).unwrap_or_default();
        let tail = window.iter().rev().take_while(|byte| value64(**byte).is_some()).count();
        if tail < WORD {
            from += WORD - tail;
            continue;
        }
        let rest = text.get(from + WORD..).unwrap_or_default();
        let more = rest.iter().take_while(|byte| value64(**byte).is_some()).count();
        let end = from + WORD + more;
        let run = Run { start: from, end };
        if end - from >= SHORTEST {
            runs.long.push(run);
        }
        if end - from >= LONGEST_WORD
            || text.get(from..end).is_some_and(|run| run.iter().any(u8::is_ascii_digit))
        {
            runs.words.push(run);
        }
        from = end + 1;
    }
    runs
}

/// Whether a place lies in a run that is long enough to hold any form by chance.
pub(crate) fn in_opaque(runs: &[Run], start: usize, end: usize) -> bool {
    let index = runs.partition_point(|run| run.end < end);
    runs.get(index).is_some_and(|run| run.start <= start && end <= run.end && run.end - run.start > OPAQUE)
}

/// Runs that are lines of one text, put together.
pub(crate) fn wrapped(text: &[u8], runs: &[Run], budget: &mut Budget) -> Vec<Text> {
    let mut joined = Vec::new();
    let mut index = 0;
    while let Some(first) = runs.get(index) {
        let (mut bytes, mut points) = (Vec::new(), Vec::new());
        let mut last = *first;
        let mut lines = 0;
        loop {
            let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            points.push((offset(bytes.len()), offset(last.start)));
            bytes.extend_from_slice(text.get(last.start..last.end).unwrap_or_default());
            lines += 1;
            index += 1;
            let Some(next) = runs.get(index).filter(|_| last.end - last.start >= LINE) else { break };
            let gap = text.get(last.end..next.start).unwrap_or_default();
            if gap.len() > 24 || !gap.contains(&b'\n') || !gap.iter().all(u8::is_ascii_whitespace) {
                break;
            }
            last = *next;
        }
        if lines > 1 && budget.take(bytes.len()) {
            // The last line may be shorter than a run has to be.
            let rest = text.get(last.end..).unwrap_or_default();
            let space = rest.iter().take(24).take_while(|byte| byte.is_ascii_whitespace()).count();
            let tail = rest.get(space..).unwrap_or_default();
            let tail = tail.iter().take(SHORTEST).take_while(|byte| value64(**byte).is_some()).count();
            let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            points.push((offset(bytes.len()), offset(last.end + space)));
            bytes.extend_from_slice(rest.get(space..space + tail).unwrap_or_default());
            joined.push(Text { bytes, map: Map::Points(points), encoding: None });
        }
    }
    joined
}

/// The texts that a run decodes to in any way.
pub(crate) fn decode(
    text: &[u8],
    run: Run,
    budget: &mut Budget,
    found: &mut Vec<Text>,
    scratch: &mut Vec<u8>,
) {
    let letters = text.get(run.start..run.end).unwrap_or_default();
    // Bytes whose base64 has only these letters are no text: every third would be one of `h` to `z` or not ASCII.
    let hexadecimal = letters.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    for skip in 0..if hexadecimal { 0 } else { 4 } {
        if !budget.take(letters.len() / 4 * 3) {
            return;
        }
        base64(letters.get(skip..).unwrap_or_default(), scratch);
        if skip == 0 {
            inflate(scratch, run, found);
        }
        stretches(scratch, 3, |start, bytes| {
            let map = Map::Scale { base: run.start + skip + start / 3 * 4, from: 4, per: 3 };
            found.push(Text { bytes: bytes.to_vec(), map, encoding: Some(Encoding::Base64) });
        });
    }
    digits(letters, run, budget, found, scratch);
    base32(letters, run, budget, found, scratch);
}

/// Base64 at one alignment; both alphabets at once.
fn base64(letters: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let (quads, rest) = letters.as_chunks::<4>();
    out.reserve(quads.len() * 3 + 3);
    for [a, b, c, d] in quads {
        let bits = u32::from(TABLE64[usize::from(*a)]) << 18
            | u32::from(TABLE64[usize::from(*b)]) << 12
            | u32::from(TABLE64[usize::from(*c)]) << 6
            | u32::from(TABLE64[usize::from(*d)]);
        let [_, first, second, third] = bits.to_be_bytes();
        out.extend_from_slice(&[first, second, third]);
    }
    let bits = rest.iter().fold(0u32, |bits, letter| bits << 6 | u32::from(TABLE64[usize::from(*letter)]));
    match rest.len() {
        2 => out.push((bits >> 4) as u8),
        3 => out.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]),
        _ => {}
    }
}

/// Every stretch of text, from a multiple of `step` on.
fn stretches(bytes: &[u8], step: usize, mut found: impl FnMut(usize, &[u8])) {
    let mut from = 0;
    while let Some(probe) = bytes.get(from + TEXT - 1) {
        if !TEXTUAL[usize::from(*probe)] {
            from += TEXT;
            continue;
        }
        let window = bytes.get(from..from + TEXT).unwrap_or_default();
        let tail = window.iter().rev().take_while(|byte| TEXTUAL[usize::from(**byte)]).count();
        if tail < TEXT {
            from += TEXT - tail;
            continue;
        }
        let rest = bytes.get(from + TEXT..).unwrap_or_default();
        let end = from + TEXT + rest.iter().take_while(|byte| TEXTUAL[usize::from(**byte)]).count();
        let start = from / step * step;
        found(start, bytes.get(start..end).unwrap_or_default());
        from = end + 1;
    }
}

/// What compressed bytes hold.
fn inflate(bytes: &[u8], run: Run, found: &mut Vec<Text>) {
    const LIMIT: usize = 1 << 20;
    if !bytes.starts_with(&[0x1f, 0x8b, 8]) {
        return;
    }
    if let Ok(inflated) = hudson_meter::decode_body("gzip", bytes, LIMIT) {
        let map = Map::Range(run.start, run.end);
        found.push(Text { bytes: inflated, map, encoding: Some(Encoding::Gzip) });
    }
}

/// Runs of hexadecimal digits inside a run, at both alignments.
fn digits(letters: &[u8], run: Run, budget: &mut Budget, found: &mut Vec<Text>, scratch: &mut Vec<u8>) {
    for (from, digits) in parts(letters, SHORTEST_HEX, |byte| byte.is_ascii_hexdigit()) {
        for skip in 0..2 {
            if !budget.take(digits.len() / 2) {
                return;
            }
            scratch.clear();
            scratch.extend(from_hex(digits.get(skip..).unwrap_or_default()));
            stretches(scratch, 1, |start, bytes| {
                let map = Map::Scale { base: run.start + from + skip + start * 2, from: 2, per: 1 };
                found.push(Text { bytes: bytes.to_vec(), map, encoding: Some(Encoding::Hex) });
            });
        }
    }
}

/// Runs of base32 inside a run, at every alignment.
fn base32(letters: &[u8], run: Run, budget: &mut Budget, found: &mut Vec<Text>, scratch: &mut Vec<u8>) {
    let upper = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7');
    let lower = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'2'..=b'7');
    let of = |kind: &dyn Fn(u8) -> bool| parts(letters, SHORTEST_BASE32, kind);
    for (from, letters) in of(&upper).into_iter().chain(of(&lower)) {
        for skip in 0..8 {
            if !budget.take(letters.len() / 8 * 5) {
                return;
            }
            scratch.clear();
            for group in letters.get(skip..).unwrap_or_default().chunks(8) {
                scratch.extend(base32_group(group));
            }
            stretches(scratch, 5, |start, bytes| {
                let map = Map::Scale { base: run.start + from + skip + start / 5 * 8, from: 8, per: 5 };
                found.push(Text { bytes: bytes.to_vec(), map, encoding: Some(Encoding::Base32) });
            });
        }
    }
}

/// The bytes of hexadecimal digits.
pub(crate) fn from_hex(digits: &[u8]) -> Vec<u8> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0);
    digits.as_chunks::<2>().0.iter().map(|[high, low]| (nibble(*high) << 4 | nibble(*low)) as u8).collect()
}

/// The bytes of base32 without padding; `None` where it is none.
pub(crate) fn from_base32(letters: &[u8]) -> Option<Vec<u8>> {
    let known = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'2'..=b'7');
    letters.iter().all(known).then(|| letters.chunks(8).flat_map(base32_group).collect())
}

/// The whole bytes of up to eight letters.
fn base32_group(group: &[u8]) -> Vec<u8> {
    let five = |byte: &u8| match byte.to_ascii_uppercase() {
        letter @ b'A'..=b'Z' => u64::from(letter - b'A'),
        digit => u64::from(digit.saturating_sub(b'2')) + 26,
    };
    let bits = group.iter().fold(0u64, |bits, byte| bits << 5 | five(byte)) << (5 * (8 - group.len()));
    bits.to_be_bytes().get(3..3 + group.len() * 5 / 8).unwrap_or_default().to_vec()
}

/// The parts of a text that are all of a kind and not shorter than that.
fn parts(text: &[u8], shortest: usize, kind: impl Fn(u8) -> bool) -> Vec<(usize, &[u8])> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(probe) = text.get(from + shortest - 1) {
        if !kind(*probe) {
            from += shortest;
            continue;
        }
        let window = text.get(from..from + shortest).unwrap_or_default();
        let tail = window.iter().rev().take_while(|byte| kind(**byte)).count();
        if tail < shortest {
            from += shortest - tail;
            continue;
        }
        let rest = text.get(from + shortest..).unwrap_or_default();
        let end = from + shortest + rest.iter().take_while(|byte| kind(**byte)).count();
        found.push((from, text.get(from..end).unwrap_or_default()));
        from = end + 1;
    }
    found
}

fn value64(byte: u8) -> Option<u8> {
    Some(TABLE64[usize::from(byte)]).filter(|value| *value < 64)
}

/// What a letter of either base64 alphabet stands for; 255 for any other byte.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const TABLE64: [u8; 256] = {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [255; 256];
    let mut at = 0;
    while at < 64 {
        table[letters[at] as usize] = at as u8;
        at += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table
};

/// Whether a byte is of a text.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const TEXTUAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = b' ' as usize;
    while at < 127 {
        table[at] = true;
        at += 1;
    }
    table[b'\n' as usize] = true;
    table[b'\r' as usize] = true;
    table[b'\t' as usize] = true;
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use proptest::prelude::*;

    const SECRET: &str = "the secret is ghp_0123456789";

    fn decoded(text: &str) -> Vec<(String, usize, usize)> {
        let mut budget = Budget::of(text.len());
        let mut found = Vec::new();
        for run in find(text.as_bytes()).long {
            decode(text.as_bytes(), run, &mut budget, &mut found, &mut Vec::new());
        }
        let place = |text: Text| {
            let (start, end) = text.map.range(0, text.bytes.len());
            (String::from_utf8_lossy(&text.bytes).into_owned(), start, end)
        };
        found.into_iter().map(place).collect()
    }

    proptest! {
        #[test]
        fn base64_is_found_at_any_alignment(front in "[A-Za-z0-9]{0,9}", before in "[a-z ]{0,5}", url in any::<bool>()) {
            let plain = format!("{before}{SECRET}");
            let coded = match url {
                true => base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(plain),
                false => base64::engine::general_purpose::STANDARD_NO_PAD.encode(plain),
            };
            let found = decoded(&format!("{front}{coded}"));
            prop_assert!(found.iter().any(|(text, ..)| text.contains(SECRET)));
        }
    }

    #[test]
    fn digits_and_base32_are_decoded() {
        let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(decoded(&format!("f{hex}")).iter().any(|(text, ..)| text.contains(SECRET)));
        assert!(
            decoded("ORUGKIDTMVRXEZLUEBUXGIDHNBYF6MBRGIZQ====")
                .iter()
                .any(|(text, ..)| text.contains("secret is ghp"))
        );
    }

    #[test]
    fn a_run_needs_its_length_and_is_found_wherever_it_begins() {
        assert!(find(b"short words and 0123456789012345678901").long.is_empty());
        for front in 0..60 {
            let text = format!("{}{}!", " ".repeat(front), "a".repeat(SHORTEST));
            assert_eq!(find(text.as_bytes()).long, [Run { start: front, end: front + SHORTEST }]);
        }
    }
}
