//! Taking known values out of a stream of bytes, across any split.
//!
//! Invariant: no byte of a value passes before it is known that the value does not follow; nothing else is changed, or
//! held back longer than that takes. A value is replaced by asterisks of its own length, so that sizes stay true.

mod body;

pub use body::RedactionUnsafe;

use secrecy::{ExposeSecret, SecretString};

/// Shorter values would be found everywhere and protect nothing.
const SHORTEST: usize = 8;

/// Replaces values in a stream of bytes.
pub struct Redactor {
    values: Vec<SecretString>,
    /// The end of what came so far, as far as it could be the beginning of a value.
    held: Vec<u8>,
}

impl Redactor {
    /// A redactor of these values; `None` when there is nothing to look for.
    pub fn new(values: Vec<SecretString>) -> Option<Self> {
        let values: Vec<_> =
            values.into_iter().filter(|value| value.expose_secret().len() >= SHORTEST).collect();
        (!values.is_empty()).then_some(Self { values, held: Vec::new() })
    }

    /// Whether a value stands in these bytes.
    pub fn finds(&self, bytes: &[u8]) -> bool {
        self.values
            .iter()
            .any(|value| memchr::memmem::find(bytes, value.expose_secret().as_bytes()).is_some())
    }

    /// What may pass after these bytes came.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut seen = std::mem::take(&mut self.held);
        seen.extend_from_slice(bytes);
        self.replace(&mut seen);
        let passing = seen.len() - self.undecided(&seen);
        self.held = seen.split_off(passing);
        seen
    }

    /// What is left at the end.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn replace(&self, seen: &mut [u8]) {
        for value in &self.values {
            let needle = value.expose_secret().as_bytes();
            let found: Vec<usize> = memchr::memmem::find_iter(seen, needle).collect();
            for at in found {
                if let Some(hit) = seen.get_mut(at..at + needle.len()) {
                    hit.fill(b'*');
                }
            }
        }
    }

    /// The length of the longest end of `seen` with which a value begins.
    fn undecided(&self, seen: &[u8]) -> usize {
        let of = |needle: &[u8]| {
            let longest = needle.len().saturating_sub(1).min(seen.len());
            (1..=longest)
                .rev()
                .find(|length| seen.get(seen.len() - length..) == needle.get(..*length))
                .unwrap_or(0)
        };
        self.values.iter().map(|value| of(value.expose_secret().as_bytes())).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALUE: &str = "sk-0123456789";

    fn redacted(pieces: &[&[u8]]) -> Vec<u8> {
        let mut redactor = Redactor::new(vec![SecretString::from(VALUE.to_owned())]).unwrap();
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| redactor.feed(piece)).collect();
        out.extend_from_slice(&redactor.finish());
        out
    }

    #[test]
    fn a_value_is_replaced_at_every_split() {
        let text = format!("you sent {VALUE}, sk-01234 and {VALUE}");
        let expected = text.replace(VALUE, "*************");
        for at in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(at);
            assert_eq!(redacted(&[head, tail]), expected.as_bytes(), "split at {at}");
        }
    }

    #[test]
    fn what_cannot_be_a_value_is_not_held_back() {
        let mut redactor = Redactor::new(vec![SecretString::from(VALUE.to_owned())]).unwrap();
        assert_eq!(redactor.feed(b"data: hello\n\n"), b"data: hello\n\n");
        assert_eq!(redactor.feed(b"s"), b"");
        assert_eq!(redactor.feed(b"o"), b"so");
        assert!(Redactor::new(vec![SecretString::from("short".to_owned())]).is_none());
    }

    proptest! {
        #[test]
        fn everything_else_passes_unchanged(pieces in prop::collection::vec("[a-z0-9 -]{0,12}", 0..12)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(String::as_bytes).collect();
            let whole = pieces.concat();
            prop_assume!(memchr::memmem::find(&whole, VALUE.as_bytes()).is_none());
            prop_assert_eq!(redacted(&pieces), whole);
        }
    }
}
