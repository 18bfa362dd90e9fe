//! One part of a request as it flows by.
//!
//! The part is looked at in blocks whose borders are fixed places of the part, so that what is found does not depend on how
//! the bytes came: any chunking gives the same findings. Each block is looked at together with the end of the one before,
//! so that a value across the border is seen whole. Memory: at most [`Scanner::MEMORY`] bytes whatever the part's size,
//! the views of a block included.

use crate::detect::Detectors;
use crate::detect::scan::Pass;
use crate::finding::{Class, Encoding, Finding, Part};
use crate::known::Pieces;
use crate::view::flatten;
use crate::view::{Frame, Map};
use std::sync::Arc;

/// Bytes of a block.
const BLOCK: usize = 128 << 10;
/// Bytes of the block before that are looked at again.
const OVERLAP: usize = 8 << 10;
/// A finding that ends this close to the end of what came is left to the next block, which sees what follows.
const UNDECIDED: usize = 1 << 10;

/// Scans one part.
#[derive(Debug)]
pub struct Scanner {
    detectors: Arc<Detectors>,
    part: Part,
    host: String,
    /// What is kept: the end of the last block, and what came since.
    kept: Vec<u8>,
    /// Where in the part `kept` begins.
    offset: usize,
    /// Where the last block ended.
    done: usize,
    /// Whether escapes are undone; decided by the first block.
    json: Option<bool>,
    pieces: Pieces,
    /// What the last block found, against the same again.
    last: Vec<Finding>,
}

impl Scanner {
    /// The most that a scanner holds, in bytes: two blocks, and the views of one.
    pub const MEMORY: usize = 10 * (BLOCK + OVERLAP) + (1 << 20);

    /// A scanner of a part that goes to a host. The host is the route's, never what a header says.
    pub fn new(detectors: Arc<Detectors>, part: Part, host: &str) -> Self {
        Self {
            detectors,
            part,
            host: host.to_owned(),
            kept: Vec::new(),
            offset: 0,
            done: 0,
            json: None,
            pieces: Pieces::default(),
            last: Vec::new(),
        }
    }

    /// Takes the next bytes; the findings of the blocks that they complete.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Vec<Finding> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let missing = (self.done + BLOCK).saturating_sub(self.offset + self.kept.len());
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.kept.extend_from_slice(now);
            bytes = later;
            if now.len() == missing {
                let whole = self.offset + self.kept.len();
                found.extend(self.block(whole - UNDECIDED));
                self.done = whole;
                let keep = self.kept.len().saturating_sub(OVERLAP);
                self.kept.drain(..keep);
                self.offset += keep;
            }
        }
        found
    }

    /// Looks at what has come although more may follow; what follows is looked at together with the end of it. Where the
    /// blocks end depends on the caller then: for a part that pauses, not for one that is only slow.
    pub fn flush(&mut self) -> Vec<Finding> {
        let whole = self.offset + self.kept.len();
        if whole == self.done {
            return Vec::new();
        }
        let found = self.block(usize::MAX);
        self.done = whole;
        let keep = self.kept.len().saturating_sub(OVERLAP);
        self.kept.drain(..keep);
        self.offset += keep;
        found
    }

    /// The findings of what was left, and those that only the whole part shows.
    pub fn finish(&mut self) -> Vec<Finding> {
        let mut found = self.block(usize::MAX);
        for finding in self.pieces.findings(&self.detectors, &self.part, &self.host) {
            if !found.iter().chain(&self.last).any(|other| other.hash == finding.hash) {
                found.push(finding);
            }
        }
        self.kept = Vec::new();
        found
    }

    /// How many bytes from the front on are decided: no finding that comes later begins in front of this place, but for a
    /// value that is sent in pieces.
    pub fn decided(&self) -> usize {
        self.done.saturating_sub(OVERLAP)
    }

    /// Looks at what is kept; keeps what ends at or in front of `until`.
    fn block(&mut self, until: usize) -> Vec<Finding> {
        if self.kept.is_empty() {
            return Vec::new();
        }
        let json = *self.json.get_or_insert_with(|| flatten::is_json_like(&self.kept));
        let mut pass = Pass::new(&self.detectors, &self.part, &self.host, self.kept.len());
        let root = Frame::root(self.offset);
        if json {
            // A block may begin in the middle of an escape; the backslashes in front of it tell.
            let (mut flat, mut points) = (Vec::new(), Vec::new());
            let start = self.kept.iter().take_while(|byte| **byte == b'\\').count() % 2;
            flatten::unescape(self.kept.get(start..).unwrap_or_default(), &mut flat, &mut points);
            let shifted = Frame { map: Map::Shift(start), encoding: None, parent: Some(&root), depth: 0 };
            let encoding = (points.len() > 1).then_some(Encoding::Json);
            let frame = Frame { map: Map::Points(points), encoding, parent: Some(&shifted), depth: 0 };
            pass.view(&flat, &frame);
        } else {
            pass.view(&self.kept, &root);
        }
        let (found, pieces) = (pass.findings, pass.pieces);
        self.pieces.merge(&pieces);
        let floor = match self.offset {
            0 => 0,
            _ => self.done.saturating_sub(UNDECIDED),
        };
        let within = |finding: &Finding| finding.end <= until && (finding.end > floor || floor == 0);
        let found = distinct(found.into_iter().filter(within).collect());
        let new = |finding: &Finding| !self.last.iter().any(|other| same(other, finding));
        let found: Vec<Finding> = found.into_iter().filter(new).collect();
        self.last = found.clone();
        found
    }
}

/// Each value once: the surest of the findings of one rule at one place, and no generic one beside a precise one.
pub(crate) fn distinct(mut found: Vec<Finding>) -> Vec<Finding> {
    let rank = |finding: &Finding| {
        (finding.start, std::cmp::Reverse(finding.class), std::cmp::Reverse(finding.confidence))
    };
    found.sort_by(|one, other| {
        rank(one)
            .cmp(&rank(other))
            .then_with(|| one.encodings.len().cmp(&other.encodings.len()))
            .then_with(|| one.rule.cmp(&other.rule))
    });
    let mut kept: Vec<Finding> = Vec::new();
    for finding in found {
        if kept.iter().any(|other| same(other, &finding)) {
            continue;
        }
        kept.push(finding);
    }
    let precise = kept.iter().filter(|finding| finding.class != Class::Warn);
    let precise: Vec<(usize, usize)> = precise.map(|finding| (finding.start, finding.end)).collect();
    let beside =
        |finding: &Finding| precise.iter().any(|(start, end)| finding.start < *end && *start < finding.end);
    kept.retain(|finding| !(finding.class == Class::Warn && beside(finding)));
    kept
}

fn same(one: &Finding, other: &Finding) -> bool {
    one.rule == other.rule && one.hash == other.hash && one.start < other.end && other.start < one.end
}
