//! Bytes by the word: where the nearest of two stands, and which of eight are equal to one.
//!
//! Strings of providers' answers are short, and a call of `memchr` costs more than a short string does; so it is called
//! only for what goes on behind [`NEAR`]. A set of bytes of a word has the high bit of each of them and no other bit.

use memchr::memchr2;

/// How far the search goes by words. Nine of ten keys and strings of recorded answers end before.
const NEAR: usize = 32;
/// How many bytes a word has.
pub(super) const WORD: usize = size_of::<u64>();
const LOW: u64 = u64::from_ne_bytes([0x01; WORD]);
const HIGH: u64 = u64::from_ne_bytes([0x80; WORD]);

/// The place of the first of two bytes.
#[inline]
pub(super) fn either(one: u8, other: u8, bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let mut at = 0;
    while at < NEAR
        && let Some((word, more)) = rest.split_first_chunk()
    {
        let word = u64::from_le_bytes(*word);
        let hits = zeros_to_the_first(word ^ all(one)) | zeros_to_the_first(word ^ all(other));
        if hits != 0 {
            return Some(at + first(hits));
        }
        at += WORD;
        rest = more;
    }
    Some(at + far(one, other, rest)?)
}

/// Where the quote stands that ends a string, unless a backslash stands before it.
#[inline]
pub(super) fn end_of_text(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let mut at = 0;
    while at < NEAR
        && let Some((word, more)) = rest.split_first_chunk()
    {
        let word = u64::from_le_bytes(*word);
        let quotes = zeros_to_the_first(word ^ all(b'"'));
        let backslashes = zeros_to_the_first(word ^ all(b'\\'));
        let hits = quotes | backslashes;
        if hits != 0 {
            let is_quote = quotes & hits & hits.wrapping_neg() != 0;
            return is_quote.then_some(at + first(hits));
        }
        at += WORD;
        rest = more;
    }
    let more = far(b'"', b'\\', rest)?;
    (rest.get(more) == Some(&b'"')).then_some(at + more)
}

/// How many decimal digits `bytes` begins with.
#[inline]
pub(super) fn digits(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let mut at = 0;
    while let Some((word, more)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*word);
        // One of them sets the high bit below `0`, one above `9`, one has it; what a borrow or a carry spoils stands
        // behind a byte that is no digit.
        let others = (word.wrapping_sub(all(b'0')) | word.wrapping_add(all(0x7f - b'9')) | word) & HIGH;
        if others != 0 {
            return at + first(others);
        }
        at += WORD;
        rest = more;
    }
    at + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The set of the bytes of a word that are equal to this one.
#[inline]
pub(super) fn equal(word: u64, byte: u8) -> u64 {
    let differences = word ^ all(byte);
    !(((differences & !HIGH) + !HIGH) | differences) & HIGH
}

/// For each byte, how many of a set stand up to it, itself included.
#[inline]
pub(super) fn sums(set: u64) -> u64 {
    (set >> 7).wrapping_mul(LOW)
}

/// How many are in a set.
#[inline]
pub(super) fn count(set: u64) -> u64 {
    sums(set) >> (u64::BITS - 8)
}

/// A word of one byte.
#[inline]
pub(super) const fn all(byte: u8) -> u64 {
    LOW * byte as u64
}

#[inline(never)]
fn far(one: u8, other: u8, bytes: &[u8]) -> Option<usize> {
    memchr2(one, other, bytes)
}

/// The set of the bytes that are zero, exact up to the first one.
#[inline]
fn zeros_to_the_first(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

/// Where the first one of a set stands.
#[inline]
fn first(set: u64) -> usize {
    (set.trailing_zeros() / 8) as usize
}

#[cfg(test)]
mod tests;
