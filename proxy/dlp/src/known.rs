//! Values that must not leave, known by heart: in every encoding, at every alignment, whole or in pieces.
//!
//! Invariant: a known value cannot be suppressed by context; only its own home hosts let it pass.

use crate::detect::Detectors;
use crate::detect::prefilter::{Needle, Target};
use crate::finding::{Encoding, Finding, Part};
use crate::validate::shannon;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeSet;

/// Bytes of the shortest canary.
const SHORTEST_CANARY: usize = 8;
/// Bytes of the shortest secret.
const SHORTEST_SECRET: usize = 12;
/// Bits a byte that a secret has at least; a word of a language may stand anywhere.
const ENTROPY: f64 = 2.5;
/// Bytes of a piece.
const PIECE: usize = 8;
/// Distinct pieces that make a value that was sent in parts.
const PIECES: usize = 3;
/// Bytes of the front in which a vendor's prefix may stand, which every token of that vendor shares.
const PREFIX: usize = 20;
/// Bytes of a form that is worth looking for.
const SHORTEST_FORM: usize = 8;

/// A value and what may be done with it.
#[derive(Clone, Debug)]
pub struct KnownValue {
    /// What it is called, such as the variable it came from; shown in findings.
    pub name: String,
    /// The value.
    pub value: SecretString,
    /// What it is.
    pub kind: KnownKind,
    /// Hosts to which it belongs; `*.` stands for any names in front.
    pub home_hosts: Vec<String>,
    /// Whether it counts although it is short or looks like a word.
    pub force: bool,
}

/// What a known value is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KnownKind {
    /// A credential.
    Secret,
    /// A value that nobody uses: whoever sends it has read what is not for them.
    Canary,
}

/// A known value that was not taken, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the value {name:?} is not looked for: {reason}")]
pub struct KnownError {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: &'static str,
}

impl KnownValue {
    /// A credential without a home.
    pub fn secret(name: impl Into<String>, value: SecretString) -> Self {
        Self { name: name.into(), value, kind: KnownKind::Secret, home_hosts: Vec::new(), force: false }
    }

    /// A canary.
    pub fn canary(name: impl Into<String>, value: SecretString) -> Self {
        Self { kind: KnownKind::Canary, ..Self::secret(name, value) }
    }

    /// The same with hosts to which it belongs.
    pub fn at_home(self, hosts: Vec<String>) -> Self {
        Self { home_hosts: hosts, ..self }
    }

    /// Whether it can be told from ordinary text.
    pub(crate) fn check(&self) -> Result<(), KnownError> {
        let value = self.value.expose_secret().as_bytes();
        let refuse = |reason| Err(KnownError { name: self.name.clone(), reason });
        let shortest = if self.kind == KnownKind::Canary { SHORTEST_CANARY } else { SHORTEST_SECRET };
        match self.force {
            _ if value.len() < 4 => refuse("it has fewer than 4 bytes"),
            true => Ok(()),
            false if value.len() < shortest => refuse("it is too short to be told from ordinary text"),
            false if shannon(value) < ENTROPY => {
                refuse("it is not random enough to be told from ordinary text")
            }
            false => Ok(()),
        }
    }

    /// What is looked for, for the value of this index; the encodings of its forms in order.
    pub(crate) fn needles(&self, index: usize, needles: &mut Vec<Needle>) -> Vec<Option<Encoding>> {
        let value = self.value.expose_secret().as_bytes();
        let mut encodings = Vec::new();
        for (bytes, ignore_case, encoding) in forms(value) {
            let target = Target::Known(index, encodings.len());
            let bytes = if ignore_case { bytes.to_ascii_lowercase() } else { bytes };
            needles.push(Needle { bytes, ignore_case, left: false, target });
            encodings.push(encoding);
        }
        for (at, piece) in pieces(value) {
            let target = Target::Piece(index, at);
            needles.push(Needle { bytes: piece.to_vec(), ignore_case: false, left: false, target });
        }
        encodings
    }
}

/// The pieces of known values that were met in one part of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces {
    met: BTreeSet<(usize, usize)>,
    /// For every value, where the first piece began and the last ended.
    ranges: std::collections::BTreeMap<usize, (usize, usize)>,
}

impl Pieces {
    pub(crate) fn note(&mut self, value: usize, at: usize, (start, end): (usize, usize)) {
        self.met.insert((value, at));
        let range = self.ranges.entry(value).or_insert((start, end));
        *range = (range.0.min(start), range.1.max(end));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (value, at) in &other.met {
            if let Some(range) = other.ranges.get(value) {
                self.note(*value, *at, *range);
            }
        }
    }

    /// A finding for each value of which enough was met.
    pub(crate) fn findings(&self, detectors: &Detectors, part: &Part, host: &str) -> Vec<Finding> {
        let length = |value: usize| {
            detectors.known.get(value).map_or(usize::MAX, |known| known.value.value.expose_secret().len())
        };
        let made = |(value, range): (usize, (usize, usize))| {
            let known = detectors.known.get(value)?;
            Some(known.finding(detectors, part, host, range, vec![Encoding::Split], true))
        };
        self.split(length).into_iter().filter_map(made).collect()
    }

    /// Values of which enough was met, and where.
    pub(crate) fn split(&self, lengths: impl Fn(usize) -> usize) -> Vec<(usize, (usize, usize))> {
        let enough = |value: &usize| {
            let at: Vec<usize> =
                self.met.range((*value, 0)..=(*value, usize::MAX)).map(|(_, at)| *at).collect();
            let mut covered = 0;
            let mut until = 0;
            for start in &at {
                covered += (start + PIECE).saturating_sub(until.max(*start));
                until = start + PIECE;
            }
            at.len() >= PIECES && covered * 2 >= lengths(*value)
        };
        self.ranges.iter().filter(|(value, _)| enough(value)).map(|(value, range)| (*value, *range)).collect()
    }
}

/// Every form of a value: bytes, whether their case is of no matter, encoding.
fn forms(value: &[u8]) -> Vec<(Vec<u8>, bool, Option<Encoding>)> {
    let mut forms = vec![(value.to_vec(), true, None)];
    let mut add = |bytes: Vec<u8>, ignore_case, encoding| {
        if bytes.len() >= SHORTEST_FORM.min(value.len()) && !forms.iter().any(|(known, ..)| *known == bytes) {
            forms.push((bytes, ignore_case, Some(encoding)));
        }
    };
    let text = String::from_utf8_lossy(value).into_owned();
    let quoted = serde_json::to_string(&text).unwrap_or_default();
    add(quoted.trim_matches('"').as_bytes().to_vec(), false, Encoding::Json);
    let (mut flat, mut points) = (Vec::new(), Vec::new());
    crate::view::flatten::unescape(value, &mut flat, &mut points);
    add(flat, false, Encoding::Json);
    add(value.iter().flat_map(|byte| format!("%{byte:02x}").into_bytes()).collect(), true, Encoding::Escaped);
    add(crate::finding::hex(value).into_bytes(), true, Encoding::Hex);
    add(value.iter().rev().copied().collect(), false, Encoding::Reversed);
    add(base32(value), true, Encoding::Base32);
    add(value.iter().flat_map(|byte| [*byte, 0]).collect(), false, Encoding::Utf16);
    for coded in aligned(value) {
        // Base64 of base64, at each alignment of either.
        for twice in aligned(&coded) {
            add(twice, false, Encoding::Base64);
        }
        add(coded, false, Encoding::Base64);
    }
    forms
}

/// Base64 of any text with the value inside, in both alphabets, without the letters that the text around decides.
fn aligned(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for front in 0..3usize {
        let padded: Vec<u8> = std::iter::repeat_n(0, front).chain(value.iter().copied()).collect();
        for coded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            let whole = padded.len() * 8 / 6;
            // The first letter that holds no bit of what is in front.
            let first = (front * 8).div_ceil(6);
            let form = coded.as_bytes().get(first..whole).unwrap_or_default().to_vec();
            if form.len() >= SHORTEST_FORM && !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    forms
}

/// Base32 (RFC 4648) without padding.
fn base32(value: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut out = Vec::new();
    for group in value.chunks(5) {
        let bits =
            group.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte)) << (8 * (5 - group.len()));
        let letters = (group.len() * 8).div_ceil(5);
        let letter =
            |place: usize| LETTERS.get((bits >> (35 - 5 * place) & 31) as usize).copied().unwrap_or(b'a');
        out.extend((0..letters).map(letter));
    }
    out
}

/// The pieces that tell this value from others: not the vendor's prefix, not words.
fn pieces(value: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let front = value.get(..PREFIX.min(value.len() / 2)).unwrap_or_default();
    let own = front.iter().rposition(|byte| matches!(byte, b'-' | b'_' | b'.')).map_or(0, |at| at + 1);
    let kinds = |piece: &[u8]| {
        let digit = piece.iter().any(u8::is_ascii_digit);
        let upper = piece.iter().any(u8::is_ascii_uppercase);
        let lower = piece.iter().any(u8::is_ascii_lowercase);
        usize::from(digit) + usize::from(upper) + usize::from(lower)
    };
    let telling = move |piece: &[u8]| kinds(piece) >= 2 && shannon(piece) >= 2.4;
    let all = value.windows(PIECE).enumerate().skip(own);
    all.filter(move |(_, piece)| value.len() >= 2 * PIECE && telling(piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &[u8] = b"tok-9f8E7d6C5b4A/3+zYx";

    #[test]
    fn base64_of_any_text_around_the_value_holds_one_of_its_forms() {
        let forms = aligned(VALUE);
        for front in 0..9 {
            for back in 0..9 {
                let text = [vec![b'x'; front], VALUE.to_vec(), vec![b'y'; back]].concat();
                let coded = STANDARD_NO_PAD.encode(text);
                let met = forms.iter().any(|form| memchr::memmem::find(coded.as_bytes(), form).is_some());
                assert!(met, "{front} bytes in front, {back} behind");
            }
        }
    }

    #[test]
    fn words_and_short_values_are_not_taken() {
        let value = |text: &str| KnownValue::secret("X", SecretString::from(text.to_owned()));
        assert!(value("short").check().is_err());
        assert!(value("aaaaaaaaaaaaaaaaaaaa").check().is_err());
        assert!(value("h7Rq2Wv9kLm3Xp").check().is_ok());
        let forced = KnownValue { force: true, ..value("short") };
        assert!(forced.check().is_ok());
    }

    #[test]
    fn pieces_leave_a_vendors_prefix_out() {
        let value = b"sk-ant-api03-AbCd1234EfGh5678IjKl";
        assert!(pieces(value).all(|(at, _)| at >= 13));
        assert!(pieces(value).count() > 5);
        assert_eq!(pieces(b"correct horse battery staple").count(), 0);
    }

    #[test]
    fn base32_is_that_of_rfc_4648() {
        assert_eq!(base32(b"foobar"), b"mzxw6ytboi");
    }
}
