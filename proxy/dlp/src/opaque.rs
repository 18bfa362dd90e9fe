//! Regions of a body that must reach the provider byte for byte, told by proof and not by what they are called.
//!
//! Images and documents prove themselves: the whole string is canonical base64, the container's magic is there and the
//! container ends where the bytes end, so that nothing rides behind it. What a provider has sealed (thinking signatures,
//! encrypted reasoning) proves itself by having come from that provider in a response: the caller keeps a [`SealedSet`].
//! Invariant: a region is never rewritten; known values are looked for in it all the same.

use crate::finding::{Class, Confidence, Finding, HashKey, Lowered};
use crate::structure::string_end;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::{HashSet, VecDeque};
use std::ops::Range;

/// Characters of a value that is worth proving.
const SHORTEST: usize = 64;
/// Members of an answer whose values come back later.
const SEALED: &[&[u8]] = &[
    b"signature",
    b"encrypted_content",
    b"thoughtSignature",
    b"thought_signature",
    b"data",
    b"encrypted_reasoning",
];

/// A part of a body that must stay as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Region {
    /// Where, in bytes of the body.
    pub range: Range<usize>,
    /// What it is.
    pub kind: RegionKind,
}

/// What proves a region.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegionKind {
    /// An image or a document whose container is whole.
    Media,
    /// A value that the provider has sent before.
    Sealed,
}

/// Values that a provider has sent, by their hashes; the oldest are forgotten first.
#[derive(Clone, Debug)]
pub struct SealedSet {
    key: HashKey,
    known: HashSet<String>,
    order: VecDeque<String>,
    capacity: usize,
}

impl SealedSet {
    /// A set of at most so many values; each takes about 100 bytes.
    pub fn new(key: HashKey, capacity: usize) -> Self {
        Self { key, known: HashSet::new(), order: VecDeque::new(), capacity }
    }

    /// Remembers the sealed values of an answer: a JSON text, or an event of a stream.
    pub fn note(&mut self, answer: &[u8]) {
        for member in members(answer) {
            if SEALED.contains(&member.name) && member.value.len() >= SHORTEST {
                let value = answer.get(member.value).unwrap_or_default().to_vec();
                self.insert(&value);
            }
        }
    }

    /// Whether the provider has sent this value.
    pub fn contains(&self, value: &[u8]) -> bool {
        self.contains_hash(&self.key.hash(value))
    }

    /// The same by the value's hash under the set's key, for a set that others wait for.
    pub fn contains_hash(&self, hash: &str) -> bool {
        self.known.contains(hash)
    }

    fn insert(&mut self, value: &[u8]) {
        let hash = self.key.hash(value);
        if !self.known.insert(hash.clone()) {
            return;
        }
        self.order.push_back(hash);
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

/// The regions of a JSON body; `is_sealed` says whether a provider has sent a value, such as [`SealedSet::contains`].
pub fn regions(body: &[u8], is_sealed: impl Fn(&[u8]) -> bool) -> Vec<Region> {
    let mut found = Vec::new();
    for member in members(body) {
        let value = body.get(member.value.clone()).unwrap_or_default();
        if value.len() < SHORTEST {
            continue;
        }
        let kind = match value {
            _ if is_sealed(value) => RegionKind::Sealed,
            _ if is_media(value) => RegionKind::Media,
            _ => continue,
        };
        found.push(Region { range: member.value, kind });
    }
    found
}

/// Lowers findings that stand in a region to a note, unless they are known values or hold a checksum.
pub fn spare(findings: &mut [Finding], regions: &[Region]) {
    for finding in findings {
        let inside = regions
            .iter()
            .any(|region| region.range.start <= finding.start && finding.end <= region.range.end);
        if inside && finding.confidence < Confidence::Confirmed && finding.class < Class::Trip {
            finding.class = Class::Note;
            finding.lowered = Some(Lowered::InOpaque);
        }
    }
}

/// Whether a string is a whole image or document and nothing else.
fn is_media(text: &[u8]) -> bool {
    let data = match text.strip_prefix(b"data:") {
        Some(rest) => match memchr::memmem::find(rest, b";base64,") {
            Some(at) if at < 64 => rest.get(at + 8..).unwrap_or_default(),
            _ => return false,
        },
        None => text,
    };
    // The engine takes canonical text alone: padding in its place, no spare bits.
    STANDARD.decode(data).is_ok_and(|bytes| ends_with_container(&bytes))
}

fn ends_with_container(bytes: &[u8]) -> bool {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, rest @ ..] => is_png(rest),
        [0xff, 0xd8, 0xff, ..] => is_jpeg(bytes.get(2..).unwrap_or_default()),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', rest @ ..] => is_gif(rest),
        [b'R', b'I', b'F', b'F', a, b, c, d, b'W', b'E', b'B', b'P', ..] => {
            u32::from_le_bytes([*a, *b, *c, *d]) as usize + 8 == bytes.len()
        }
        [b'%', b'P', b'D', b'F', b'-', ..] => {
            let end = bytes.trim_ascii_end();
            end.ends_with(b"%%EOF") && bytes.len() - end.len() <= 2
        }
        _ => false,
    }
}

/// Chunks with sound checksums up to IEND, and nothing behind it. Text chunks may hold anything, so there is none.
fn is_png(mut rest: &[u8]) -> bool {
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, name @ ..] = *head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let (Some(data), Some(sum)) = (after.get(..length), after.get(length..length.saturating_add(4)))
        else {
            return false;
        };
        let sound = sum == crc32fast::hash(&[&name[..], data].concat()).to_be_bytes();
        if !sound || matches!(&name, b"tEXt" | b"zTXt" | b"iTXt") {
            return false;
        }
        rest = after.get(length + 4..).unwrap_or_default();
        if &name == b"IEND" {
            return rest.is_empty() && length == 0;
        }
    }
    false
}

/// Segments up to a scan, then scans up to the end marker, and nothing behind it. Comments may hold anything, so there is none.
fn is_jpeg(mut rest: &[u8]) -> bool {
    loop {
        let [0xff, marker, after @ ..] = rest else { return false };
        match marker {
            0xd9 => return after.is_empty(),
            0xfe => return false,
            0xd0..=0xd7 | 0x01 => rest = after,
            _ => {
                let [high, low, ..] = after else { return false };
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let Some(behind) = after.get(length..).filter(|_| length >= 2) else { return false };
                rest = if *marker == 0xda { scan_end(behind) } else { behind };
            }
        }
    }
}

/// What follows the compressed bytes of a scan: the next marker that is none of a restart.
fn scan_end(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr(0xff, rest) {
        let here = rest.get(at..).unwrap_or_default();
        match here.get(1) {
            Some(0 | 0xd0..=0xd7 | 0xff) => {
                rest = here.get(if here.get(1) == Some(&0xff) { 1 } else { 2 }..).unwrap_or_default()
            }
            _ => return here,
        }
    }
    &[]
}

/// Blocks up to the trailer, and nothing behind it.
fn is_gif(rest: &[u8]) -> bool {
    let Some((screen, mut rest)) = rest.split_first_chunk::<7>() else { return false };
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let [_, _, _, _, flags, _, _] = *screen;
    rest = rest.get(table(flags)..).unwrap_or_default();
    loop {
        match rest {
            [0x3b] => return true,
            [0x21, label, after @ ..] if *label != 0xfe => rest = sub_blocks(after),
            [0x2c, _, _, _, _, _, _, _, _, flags, after @ ..] => {
                rest = sub_blocks(after.get(table(*flags) + 1..).unwrap_or_default());
            }
            _ => return false,
        }
    }
}

fn sub_blocks(mut rest: &[u8]) -> &[u8] {
    while let Some((length, after)) = rest.split_first() {
        rest = after.get(usize::from(*length)..).unwrap_or_default();
        if *length == 0 {
            return rest;
        }
    }
    &[]
}

/// A string value of a JSON text and the name it is given to; elements of lists have none.
struct Member<'a> {
    name: &'a [u8],
    value: Range<usize>,
}

fn members(text: &[u8]) -> Vec<Member<'_>> {
    let mut found = Vec::new();
    let mut name: &[u8] = &[];
    let mut at = 0;
    while let Some(open) = memchr::memchr(b'"', text.get(at..).unwrap_or_default()) {
        let start = at + open + 1;
        let end = string_end(text, start);
        let after = text.get(end + 1..).unwrap_or_default().trim_ascii_start();
        let string = text.get(start..end).unwrap_or_default();
        if after.first() == Some(&b':') {
            name = string;
        } else {
            found.push(Member { name, value: start..end });
        }
        at = end + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> SealedSet {
        SealedSet::new(HashKey::new([1; 32]), 2)
    }

    fn body(value: &str) -> Vec<u8> {
        format!(r#"{{"type":"thinking","thinking":"x","signature":"{value}"}}"#).into_bytes()
    }

    #[test]
    fn only_what_the_provider_sent_is_sealed_and_the_oldest_is_forgotten() {
        let mut set = set();
        let values: Vec<String> = ["a", "b", "c"].iter().map(|letter| letter.repeat(100)).collect();
        assert!(
            regions(&body(&values[0]), |value| set.contains(value)).is_empty(),
            "a name alone proves nothing"
        );
        for value in &values {
            set.note(&body(value));
        }
        assert!(regions(&body(&values[0]), |value| set.contains(value)).is_empty(), "forgotten");
        let found = regions(&body(&values[2]), |value| set.contains(value));
        assert_eq!(found.len(), 1);
        assert_eq!(&body(&values[2])[found[0].range.clone()], values[2].as_bytes());
        assert_eq!(found[0].kind, RegionKind::Sealed);
    }

    #[test]
    fn a_gif_ends_with_its_trailer() {
        let gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
        assert!(ends_with_container(gif));
        assert!(!ends_with_container(&[&gif[..], b"secret"].concat()));
        assert!(!ends_with_container(&gif[..gif.len() - 1]));
    }
}
