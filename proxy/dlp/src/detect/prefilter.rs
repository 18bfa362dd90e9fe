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
/// Of these, those that lead to an entry: every run has a filter of its own, so that it has to be small.
const HEAD_BITS: u32 = 14;
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
    /// For the upper bits of every hash, 1 + the index of the first entry; 0 for none.
    heads: Vec<u32>,
    entries: Vec<Entry>,
    needles: Vec<Needle>,
}

/// A needle of one gram; others of the same gram, or of one whose hash begins alike, follow.
struct Entry {
    /// The four bytes as they are hashed.
    gram: u32,
    /// Which needle.
    needle: u32,
    /// Where in it the gram is.
    offset: u32,
    /// 1 + the index of the next entry; 0 for none.
    next: u32,
}

impl Prefilter {
    /// A filter of these needles. Those shorter than three bytes are never met.
    pub(crate) fn new(needles: Vec<Needle>) -> Self {
        let mut filter = Self {
            bits: Box::new([0; WORDS]),
            heads: vec![0; 1 << HEAD_BITS],
            entries: Vec::with_capacity(needles.len()),
            needles: Vec::new(),
        };
        // From the last to the first, since the entry that is put in last is met first.
        for (index, needle) in needles.iter().enumerate().rev() {
            let bytes = &needle.bytes;
            if let [first, second, third] = *bytes.as_slice() {
                FOLLOWING.iter().for_each(|next| filter.insert([first, second, third, *next], index, 0));
                continue;
            }
            let grams = bytes.array_windows::<GRAM>().enumerate();
            if let Some((at, gram)) = grams.min_by_key(|(_, gram)| commonness(**gram)) {
                filter.insert(*gram, index, at);
            }
        }
        filter.needles = needles;
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
        let mut next = self.heads.get(head(hash)).copied().unwrap_or(0);
        while let Some(entry) = (next as usize).checked_sub(1).and_then(|index| self.entries.get(index)) {
            if entry.gram == gram {
                self.verify(bytes, at, entry, hit);
            }
            next = entry.next;
        }
    }

    fn verify(&self, bytes: &[u8], at: usize, entry: &Entry, hit: &mut impl FnMut(Hit)) {
        let Some(needle) = self.needles.get(entry.needle as usize) else { return };
        let Some(start) = at.checked_sub(entry.offset as usize) else { return };
        let length = needle.bytes.len();
        let Some(here) = bytes.get(start..start + length) else { return };
        let same = match needle.ignore_case {
            true => here.eq_ignore_ascii_case(&needle.bytes),
            false => here == needle.bytes.as_slice(),
        };
        if same && !(needle.left && runs_on_before(bytes, start)) {
            hit(Hit { start, length, target: needle.target });
        }
    }

    fn insert(&mut self, gram: [u8; GRAM], needle: usize, offset: usize) {
        // No process has so many needles, or one so long.
        let (Ok(needle), Ok(offset)) = (u32::try_from(needle), u32::try_from(offset)) else { return };
        let gram = fold(gram);
        let hash = hash(gram);
        if let Some(word) = self.bits.get_mut(hash >> 6) {
            *word |= 1 << (hash & 63);
        }
        if let Some(first) = self.heads.get_mut(head(hash)) {
            self.entries.push(Entry { gram, needle, offset, next: *first });
            *first = u32::try_from(self.entries.len()).unwrap_or(0);
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

/// Where the entries of a hash begin.
fn head(hash: usize) -> usize {
    hash >> (BITS - HEAD_BITS)
}

#[inline(always)]
fn hash(gram: u32) -> usize {
    (gram.wrapping_mul(MULTIPLIER) >> (u32::BITS - BITS)) as usize
}

/// How often four bytes are met in text and code, roughly: the sum of what each of them is worth.
fn commonness(gram: [u8; GRAM]) -> u32 {
    let of = |byte: u8| match byte.to_ascii_lowercase() {
        b' ' | b'e' | b't' => 12,
        b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 10,
        b'h' | b'l' | b'd' | b'c' | b'u' => 8,
        b'm' | b'p' | b'f' | b'g' | b'w' | b'y' | b'b' => 6,
        b'v' | b'k' | b'-' | b'_' | b'.' | b'"' | b'/' | b'=' | b':' => 4,
        b'x' | b'0' | b'1' => 3,
        b'j' | b'q' | b'z' | b'2'..=b'9' => 2,
        _ => 3,
    };
    gram.into_iter().map(of).sum()
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
