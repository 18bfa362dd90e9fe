//! Passing over an object or array that lies on no path, eight bytes at a time.
//!
//! Owns the count of brackets. In a word, the quotes that are not escaped say by their parity which bytes are inside a
//! string, and the brackets of all others are counted together; only the word in which the container may end is looked
//! at byte by byte. Invariant: words and bytes agree on every input, also where it is no JSON, because which bytes
//! share a word depends on the split.

use crate::scan::find::{self, WORD};

/// The state between two bytes of such a container.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Skip {
    /// How many brackets are open; 0 behind its end.
    depth: u64,
    /// In a string.
    text: bool,
    /// The last byte was a backslash that escapes the next one.
    after_backslash: bool,
}

/// What became of a word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Taken,
    /// Taken, all of it inside one string.
    Inside,
    /// Not taken: the container may end in it.
    Last,
}

impl Skip {
    /// Behind the bracket that opens it.
    pub(super) fn new() -> Self {
        Self { depth: 1, text: false, after_backslash: false }
    }

    /// Behind its last bracket.
    pub(super) fn is_over(&self) -> bool {
        self.depth == 0
    }

    /// Takes what belongs to it from the front of `bytes`; what is left.
    pub(super) fn feed<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while !self.is_over() && !rest.is_empty() {
            let step =
                rest.split_first_chunk().map(|(word, more)| (self.word(u64::from_le_bytes(*word)), more));
            rest = match step {
                Some((Step::Taken, more)) => more,
                Some((Step::Inside, more)) => {
                    let end = find::either(b'"', b'\\', more).unwrap_or(more.len());
                    more.get(end..).unwrap_or_default()
                }
                Some((Step::Last, _)) | None => self.bytes(rest),
            };
        }
        rest
    }

    #[inline]
    fn word(&mut self, word: u64) -> Step {
        let backslashes = find::equal(word, b'\\');
        let quotes = find::equal(word, b'"');
        if self.text && backslashes | quotes == 0 && !self.after_backslash {
            return Step::Inside;
        }
        let (escaped, after_backslash) = self.escaped(backslashes);
        // The sum of the quotes up to each byte, that one included, a byte each: no sum is above eight.
        let parity = find::sums(quotes & !escaped) ^ find::all(u8::from(self.text));
        let outside = !(parity << 7) & !escaped;
        // `[` and `{` differ in this bit alone, and so do `]` and `}`.
        let lower = word | find::all(0x20);
        let opened = find::count(find::equal(lower, b'{') & outside);
        let closed = find::count(find::equal(lower, b'}') & outside);
        if closed >= self.depth {
            return Step::Last;
        }
        self.depth = self.depth.saturating_add(opened) - closed;
        self.text = parity >> (u64::BITS - 8) & 1 == 1;
        self.after_backslash = after_backslash;
        Step::Taken
    }

    /// Which bytes of a word are escaped, and whether the first one behind it is.
    #[inline]
    fn escaped(&self, mut backslashes: u64) -> (u64, bool) {
        let mut escaped = u64::from(self.after_backslash) << 7;
        backslashes &= !escaped;
        let mut last = false;
        while backslashes != 0 {
            let one = backslashes & backslashes.wrapping_neg();
            last = one << 8 == 0;
            escaped |= one << 8;
            backslashes &= !(one | one << 8);
        }
        (escaped, last)
    }

    /// As many bytes as a word has, or all, or up to the end of the container; what is left.
    fn bytes<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        for _ in 0..WORD {
            let Some((&byte, more)) = rest.split_first() else { break };
            if std::mem::take(&mut self.after_backslash) {
                rest = more;
                continue;
            }
            match byte {
                b'\\' => self.after_backslash = true,
                b'"' => self.text = !self.text,
                b'{' | b'[' if !self.text => self.depth = self.depth.saturating_add(1),
                b'}' | b']' if !self.text => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            rest = more;
            if self.is_over() {
                break;
            }
        }
        rest
    }
}

#[cfg(test)]
mod tests;
