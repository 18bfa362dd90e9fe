//! One look at every byte: where a keyword, a known value or a piece of one stands.
//!
//! Every needle is represented by four of its bytes, the rarest it has. A table of bits says of any four bytes whether a
//! needle may stand there; only then the needle itself is compared. The four bytes at one place do not depend on those
//! before, so the processor looks at several places at once; an Aho-Corasick automaton waits for each step
//! (docs/decisions). Invariant: no needle is missed, whatever stands around it.

/// Bytes that represent a needle.
const GRAM: usize = 4;
/// Bits of the hash of a gram.
const BITS: u32 = 17;
/// Sets the bit by which small letters differ from capitals.
const FOLD: u32 = 0x2020_2020;
/// Hashes the four bytes into the upper bits.
const MULTIPLIER: u32 = 0x9e37_79b1;
/// Words of the table.
const WORDS: usize = 1 << (BITS - 6);
/// What may follow a needle of three bytes.
const FOLLOWING: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789-_ =:.\"'";

/// What is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    /// Its bytes; in small letters where the case is of no matter.
    pub(crate) bytes: Vec<u8>,
    /// Whether capitals count as small letters.
    pub(crate) ignore_case: bool,
    /// Whether no letter, digit or underscore may stand in front.
    pub(crate) left: bool,
    /// For whom.
    pub(crate) target: Target,
}

/// For whom a needle is looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// A rule's keyword.
    Rule(usize),
    /// A form of a known value: which value, which form.
    Known(usize, usize),
    /// A piece of a known value: which value, where in it.
    Piece(usize, usize),
}

/// A place where a needle stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Hit {
    pub(crate) start: usize,
    pub(crate) length: usize,
    pub(crate) target: Target,
}

/// The table and the needles.
pub(crate) struct Prefilter {
    bits: Box<[u64; WORDS]>,
    /// For every hash, 1 + the index of its entry; 0 for none.
    heads: Vec<u16>,
    entries: Vec<Entry>,
    needles: Vec<Needle>,
}

/// The needles of one gram; other grams with the same hash follow.
struct Entry {
    /// The four bytes as they are hashed.
    gram: u32,
    /// Needles and where in them the gram is.
    needles: Vec<(u16, u16)>,
    /// 1 + the index of the next entry with the same hash; 0 for none.
    next: u16,
}

impl Prefilter {
    /// A filter of these needles. Those shorter than three bytes are never met.
    pub(crate) fn new(needles: Vec<Needle>) -> Self {
        let heads = vec![0; 1 << BITS];
        let mut filter = Self { bits: Box::new([0; WORDS]), heads, entries: Vec::new(), needles };
        for index in 0..filter.needles.len().min(usize::from(u16::MAX)) {
            let bytes = filter.needles.get(index).map(|needle| needle.bytes.clone()).unwrap_or_default();
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            if bytes.len() + 1 == GRAM {
                for next in FOLLOWING {
                    let mut gram = bytes.clone();
                    gram.push(*next);
                    filter.insert(&gram, index, 0);
                }
                continue;
            }
            let grams = bytes.windows(GRAM).enumerate();
            let rarest = grams.min_by_key(|(_, gram)| commonness(gram)).map(|(at, gram)| (at, gram.to_vec()));
            if let Some((at, gram)) = rarest {
                filter.insert(&gram, index, at);
            }
        }
        filter
    }

    /// Calls `hit` with every place where a needle stands, from left to right by where its rarest bytes are.
    pub(crate) fn scan(&self, bytes: &[u8], mut hit: impl FnMut(Hit)) {
        for (at, window) in bytes.array_windows::<GRAM>().enumerate() {
            let gram = fold(*window);
            let hash = hash(gram);
            // A word's index has eleven bits, as many as the table has words: the bound is known to hold.
            let word = self.bits.get(hash >> 6).copied().unwrap_or(0);
            if word >> (hash & 63) & 1 == 1 {
                self.look_up(bytes, at, gram, hash, &mut hit);
            }
        }
    }

    #[inline(never)]
    fn look_up(&self, bytes: &[u8], at: usize, gram: u32, hash: usize, hit: &mut impl FnMut(Hit)) {
        let mut next = self.heads.get(hash).copied().unwrap_or(0);
        while let Some(entry) = usize::from(next).checked_sub(1).and_then(|index| self.entries.get(index)) {
            if entry.gram == gram {
                self.verify(bytes, at, entry, hit);
                return;
            }
            next = entry.next;
        }
    }

    fn verify(&self, bytes: &[u8], at: usize, entry: &Entry, hit: &mut impl FnMut(Hit)) {
        for (index, offset) in &entry.needles {
            let Some(needle) = self.needles.get(usize::from(*index)) else { continue };
            let Some(start) = at.checked_sub(usize::from(*offset)) else { continue };
            let length = needle.bytes.len();
            let Some(here) = bytes.get(start..start + length) else { continue };
            let same = match needle.ignore_case {
                true => here.eq_ignore_ascii_case(&needle.bytes),
                false => here == needle.bytes.as_slice(),
            };
            if same && !(needle.left && runs_on_before(bytes, start)) {
                hit(Hit { start, length, target: needle.target });
            }
        }
    }

    fn insert(&mut self, gram: &[u8], needle: u16, offset: usize) {
        let Some(gram) = gram.first_chunk::<GRAM>() else { return };
        let gram = fold(*gram);
        let hash = hash(gram);
        let offset = u16::try_from(offset).unwrap_or(u16::MAX);
        if let Some(word) = self.bits.get_mut(hash >> 6) {
            *word |= 1 << (hash & 63);
        }
        let head = self.heads.get(hash).copied().unwrap_or(0);
        let mut next = head;
        while let Some(entry) = usize::from(next).checked_sub(1).and_then(|index| self.entries.get_mut(index))
        {
            if entry.gram == gram {
                entry.needles.push((needle, offset));
                return;
            }
            next = entry.next;
        }
        self.entries.push(Entry { gram, needles: vec![(needle, offset)], next: head });
        if let Some(head) = self.heads.get_mut(hash) {
            *head = u16::try_from(self.entries.len()).unwrap_or(0);
        }
    }
}

impl std::fmt::Debug for Prefilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The needles hold known values.
        f.debug_struct("Prefilter").field("needles", &self.needles.len()).finish()
    }
}

/// Whether a word runs on across the place in front of `start`. The letter of an escape that was left as it is, such
/// as in `\nghp_`, is no part of the word behind it.
pub(crate) fn runs_on_before(bytes: &[u8], start: usize) -> bool {
    let Some(before) = start.checked_sub(1).and_then(|at| bytes.get(at)) else { return false };
    if !is_word(*before) {
        return false;
    }
    let escaped = matches!(before, b'n' | b'r' | b't' | b'b' | b'f');
    let slash = start.checked_sub(2).and_then(|at| bytes.get(at)) == Some(&b'\\');
    !(escaped && slash)
}

/// Whether a byte is a letter, a digit or an underscore.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[inline(always)]
fn fold(gram: [u8; GRAM]) -> u32 {
    u32::from_le_bytes(gram) | FOLD
}

#[inline(always)]
fn hash(gram: u32) -> usize {
    (gram.wrapping_mul(MULTIPLIER) >> (u32::BITS - BITS)) as usize
}

/// How often four bytes are met in text and code, roughly: the sum of what each of them is worth.
fn commonness(gram: &[u8]) -> u32 {
    let of = |byte: &u8| match byte.to_ascii_lowercase() {
        b' ' | b'e' | b't' => 12,
        b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 10,
        b'h' | b'l' | b'd' | b'c' | b'u' => 8,
        b'm' | b'p' | b'f' | b'g' | b'w' | b'y' | b'b' => 6,
        b'v' | b'k' | b'-' | b'_' | b'.' | b'"' | b'/' | b'=' | b':' => 4,
        b'x' | b'0' | b'1' => 3,
        b'j' | b'q' | b'z' | b'2'..=b'9' => 2,
        _ => 3,
    };
    gram.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn needle(text: &str, ignore_case: bool, left: bool) -> Needle {
        Needle { bytes: text.as_bytes().to_vec(), ignore_case, left, target: Target::Rule(0) }
    }

    fn starts(filter: &Prefilter, text: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        filter.scan(text, |hit| found.push(hit.start));
        found
    }

    #[test]
    fn a_needle_of_three_bytes_is_met_in_front_of_a_word_or_a_sign() {
        let filter = Prefilter::new(vec![needle("sk-", false, true)]);
        assert_eq!(starts(&filter, b"a sk-abc, task-abc and sk-: it is sk-"), [2, 23]);
    }

    #[test]
    fn the_letter_of_an_escape_is_no_part_of_the_word() {
        let filter = Prefilter::new(vec![needle("ghp_", false, true)]);
        assert_eq!(starts(&filter, br"\nghp_1 nghp_2 ghp_3"), [2, 15]);
    }

    proptest! {
        #[test]
        fn no_needle_is_missed(before in "[a-z_ ]{0,9}", word in "[a-zA-Z_0-9-]{4,12}", after in "[a-z_ ]{0,9}") {
            let filter = Prefilter::new(vec![needle(&word.to_ascii_lowercase(), true, false)]);
            let text = format!("{before}{}{after}", word.to_ascii_uppercase());
            prop_assert!(starts(&filter, text.as_bytes()).contains(&before.len()));
        }
    }
}
