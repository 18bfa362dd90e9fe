//! What went to one destination in several messages or requests, looked at together.
//!
//! A value may be sent in parts that say nothing alone. The messages are joined as they are, and by what they carry: the
//! value of the same name, the last and the longest word. Known values are followed word for word, and by their pieces.
//! Invariants: nothing is told that one message shows alone, so that a conversation that is sent again with each turn tells
//! nothing new; what is kept is bounded by [`Fragments::MEMORY`], and is forgotten after the time that the caller gives.

mod carried;
mod chains;

use crate::detect::Detectors;
use crate::detect::scan::Pass;
use crate::finding::{Class, Confidence, Encoding, Finding, Part};
use crate::scanner::distinct;
use crate::view::flatten;
use crate::view::{Frame, Map};
use carried::Value;
use chains::Chains;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// Bytes of the front, and of the end, of a long message that are looked at. What is between them cannot be in pieces.
const SIDE: usize = 32 << 10;
/// Bytes of messages as they are that are joined with the next.
const RAW: usize = 4 << 10;
/// Bytes of values that are joined with the next.
const CARRIED: usize = 1 << 10;
/// Messages that are joined with the next.
const MESSAGES: usize = 16;
/// Names of values that are followed.
const NAMES: usize = 24;
/// Values that are told once.
const TOLD: usize = 64;

/// A ring of what went to one destination.
pub struct Fragments {
    detectors: Arc<Detectors>,
    part: Part,
    host: String,
    /// Milliseconds after which a message is forgotten.
    keep: u64,
    /// How many messages there were.
    count: u64,
    streams: BTreeMap<Slot, Stream>,
    chains: Chains,
    /// Values that were told, by their hashes.
    told: VecDeque<(u64, String)>,
}

/// Which part of each message is joined.
#[derive(Clone, Eq, Ord, PartialEq, PartialOrd)]
enum Slot {
    /// All of it.
    Raw,
    /// All that it carries.
    Values,
    Last,
    Longest,
    /// The values of this name.
    Named(Vec<u8>),
}

/// The ends of the last messages, in one slot.
#[derive(Default)]
struct Stream {
    parts: VecDeque<Joined>,
    bytes: usize,
}

struct Joined {
    at: u64,
    bytes: Vec<u8>,
}

impl Fragments {
    /// The most that is kept, in bytes, small change left out.
    pub const MEMORY: usize = 64 << 10;

    /// A ring for a destination. Messages are forgotten after `keep` milliseconds.
    pub fn new(detectors: Arc<Detectors>, part: Part, host: &str, keep: u64) -> Self {
        Self {
            detectors,
            part,
            host: host.to_owned(),
            keep,
            count: 0,
            streams: BTreeMap::new(),
            chains: Chains::default(),
            told: VecDeque::new(),
        }
    }

    /// Takes a whole message, its content encodings undone; the findings that need it and others before it. The places are
    /// those of this message's share. `now` is the caller's clock in milliseconds.
    pub fn push(&mut self, now: u64, message: &[u8]) -> Vec<Finding> {
        self.count += 1;
        let oldest = now.saturating_sub(self.keep);
        self.forget(oldest);
        let mut found = Vec::new();
        // The middle of a long message is left to who looks at it alone.
        let cut = if message.len() > 2 * SIDE { SIDE } else { message.len() };
        let (front, rest) = message.split_at_checked(cut).unwrap_or((message, &[]));
        let back = rest.get(rest.len().saturating_sub(SIDE)..).unwrap_or_default();
        let mut values = carried::values(front);
        values.extend(carried::values(back).into_iter().filter(|value| !value.bytes.is_empty()));
        for (slot, part) in slots(&values) {
            found.extend(self.joined(slot, &part, now, message.len()));
        }
        found.extend(self.joined(Slot::Raw, message, now, message.len()));
        let text = [front, b"\n", back].concat();
        found.extend(self.known(&values, &text, now, message.len()));
        // Each value once, and again only when it was forgotten. Where a token ends may be seen differently in each slot.
        let mut new: Vec<Finding> = Vec::new();
        found.sort_by_key(|finding| std::cmp::Reverse(finding.confidence));
        for finding in found {
            let same = |other: &Finding| {
                other.hash == finding.hash || (!finding.is_known() && other.rule == finding.rule)
            };
            if new.iter().any(same) || self.told.iter().any(|(_, hash)| *hash == finding.hash) {
                continue;
            }
            self.told.push_back((now, finding.hash.clone()));
            new.push(finding);
        }
        while self.told.len() > TOLD {
            self.told.pop_front();
        }
        new
    }

    fn forget(&mut self, before: u64) {
        for stream in self.streams.values_mut() {
            stream.shrink(|part, _| part.at < before);
        }
        self.streams.retain(|_, stream| !stream.parts.is_empty());
        self.chains.forget(before);
        self.told.retain(|(at, _)| *at >= before);
    }

    /// Known values that are sent word for word or in pieces.
    fn known(&mut self, values: &[Value], text: &[u8], now: u64, length: usize) -> Vec<Finding> {
        let (mut flat, mut points) = (Vec::new(), Vec::new());
        let text = if flatten::is_json_like(text) {
            flatten::unescape(text, &mut flat, &mut points);
            flat.as_slice()
        } else {
            text
        };
        let mut whole = self.chains.words(&self.detectors, &carried::words(values), now, self.count);
        whole.extend(self.chains.shingles(&self.detectors, text, now, self.count));
        let known = whole.iter().filter_map(|index| self.detectors.known.get(*index));
        known
            .map(|known| {
                let encodings = vec![Encoding::Split];
                known.finding(&self.detectors, &self.part, &self.host, (0, length), encodings, true)
            })
            .collect()
    }

    /// What the ends of the messages before and the front of this one make together, in one slot.
    fn joined(&mut self, slot: Slot, part: &[u8], now: u64, length: usize) -> Vec<Finding> {
        if part.is_empty() {
            return Vec::new();
        }
        let raw = slot == Slot::Raw;
        let reach = if raw { RAW } else { CARRIED };
        if !self.streams.contains_key(&slot) && self.streams.len() >= NAMES {
            let oldest =
                self.streams.iter().min_by_key(|(_, stream)| stream.parts.back().map(|part| part.at));
            let oldest = oldest.map(|(slot, _)| slot.clone());
            oldest.and_then(|slot| self.streams.remove(&slot));
        }
        let stream = self.streams.entry(slot).or_default();
        // The same again, and more: what came before stands in this message too.
        while stream.parts.back().is_some_and(|last| part.starts_with(&last.bytes)) {
            stream.drop_last();
        }
        let before = stream.text();
        let mut found = Vec::new();
        if !before.is_empty() {
            let front = part.get(..part.len().min(reach)).unwrap_or_default();
            let mut borders = stream.borders();
            let text = [&before, front].concat();
            borders.push(text.len());
            let starts = [&[0], borders.as_slice()].concat();
            let border = before.len();
            let pass = look(&self.detectors, &self.part, &self.host, &text, borders);
            let spans = |finding: &Finding| {
                let across = finding.start < border && finding.end > border && finding.class >= Class::Act;
                let known = finding.confidence == Confidence::Confirmed;
                let whole = starts.contains(&finding.start) && finding.end == text.len();
                across && (raw || known || whole)
            };
            found = pass.into_iter().filter(spans).collect();
            if !found.is_empty() {
                // A token that was whole before is not made longer by what follows.
                let alone = look(&self.detectors, &self.part, &self.host, &before, stream.borders());
                let here = look(&self.detectors, &self.part, &self.host, front, Vec::new());
                found.retain(|finding| {
                    let same = |other: &&Finding| other.rule == finding.rule;
                    !alone.iter().filter(same).any(|other| other.end > finding.start)
                        && !here.iter().filter(same).any(|other| other.start < finding.end - border)
                });
            }
            if !found.is_empty() {
                // A token that was told does not become another with what follows.
                stream.shrink(|_, _| true);
            }
            for finding in &mut found {
                (finding.start, finding.end) = if raw { (0, finding.end - border) } else { (0, length) };
            }
        }
        let end = part.get(part.len().saturating_sub(reach)..).unwrap_or_default();
        stream.push(Joined { at: now, bytes: end.to_vec() }, reach);
        found
    }
}

impl fmt::Debug for Fragments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The messages are nobody's to see.
        f.debug_struct("Fragments")
            .field("part", &self.part)
            .field("messages", &self.count)
            .finish_non_exhaustive()
    }
}

impl Stream {
    fn push(&mut self, part: Joined, reach: usize) {
        self.bytes += part.bytes.len();
        self.parts.push_back(part);
        self.shrink(|first, bytes| bytes - first.bytes.len() >= reach);
        while self.parts.len() > MESSAGES {
            self.drop_first();
        }
    }

    /// Drops parts from the front while `old` says so of the part and of all bytes.
    fn shrink(&mut self, old: impl Fn(&Joined, usize) -> bool) {
        while self.parts.front().is_some_and(|first| old(first, self.bytes)) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        self.bytes -= self.parts.pop_front().map_or(0, |part| part.bytes.len());
    }

    fn drop_last(&mut self) {
        self.bytes -= self.parts.pop_back().map_or(0, |part| part.bytes.len());
    }

    fn text(&self) -> Vec<u8> {
        self.parts.iter().flat_map(|part| part.bytes.iter().copied()).collect()
    }

    /// Where each part ends in the text.
    fn borders(&self) -> Vec<usize> {
        let ends = self.parts.iter().scan(0, |end, part| {
            *end += part.bytes.len();
            Some(*end)
        });
        ends.collect()
    }
}

/// What stands in joined bytes.
fn look(detectors: &Detectors, part: &Part, host: &str, text: &[u8], borders: Vec<usize>) -> Vec<Finding> {
    let mut pass = Pass::new(detectors, part, host, text.len());
    let frame = Frame { map: Map::Shift(0), encoding: Some(Encoding::Split), parent: None, depth: 1 };
    pass.borders = borders;
    pass.view(text, &frame);
    distinct(pass.findings)
}

/// What of the values is joined with what came before.
fn slots(values: &[Value]) -> BTreeMap<Slot, Vec<u8>> {
    let mut found: BTreeMap<Slot, Vec<u8>> = BTreeMap::new();
    for Value { name, bytes } in values {
        found.entry(Slot::Values).or_default().extend_from_slice(bytes);
        if !name.is_empty() {
            found.entry(Slot::Named(name.clone())).or_default().extend_from_slice(bytes);
        }
    }
    let words = || {
        let parts = values.iter().flat_map(|value| value.bytes.split(|byte| carried::is_around(*byte)));
        parts.filter(|word| !word.is_empty())
    };
    found.extend(words().next_back().map(|word| (Slot::Last, word.to_vec())));
    found.extend(words().max_by_key(|word| word.len()).map(|word| (Slot::Longest, word.to_vec())));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HashKey, KnownValue, Policy};
    use secrecy::SecretString;

    #[test]
    fn what_is_kept_is_bounded_whatever_comes() {
        let mut policy = Policy::builtin(HashKey::new([1; 32])).unwrap();
        let value = "q7".to_owned() + &"Zr8Qw5Tn2Vb9Lm4Xc7Kd".repeat(40);
        policy.known = vec![KnownValue::secret("LONG", SecretString::from(value.clone()))];
        let mut ring = Fragments::new(Arc::new(Detectors::new(policy).unwrap()), Part::Body, "h", 1000);
        for round in 0u32..300 {
            let letters: String = round.to_string().bytes().map(|digit| char::from(digit + 49)).collect();
            let part = value.get(round as usize..round as usize + 40).unwrap();
            let long = "x ".repeat(20_000 * (round as usize % 3));
            ring.push(0, format!("{{\"n{letters}\":\"{part} {long}\"}}").as_bytes());
            ring.push(0, value.get(..round as usize + 1).unwrap().as_bytes());
            let bytes: usize = ring.streams.values().map(|stream| stream.bytes).sum();
            assert!(bytes <= Fragments::MEMORY && ring.streams.len() <= NAMES && ring.told.len() <= TOLD);
            assert!(ring.chains.sizes() <= (chains::CHAINS, chains::PIECES));
        }
        ring.push(5000, b"");
        assert!(ring.streams.is_empty() && ring.chains.sizes() == (0, 0));
    }
}
