//! Views of the same bytes: as they are, and as a reader may take them.
//!
//! A view knows where each of its bytes comes from, so that a finding in base64 inside an escaped JSON string has a place
//! in the body. Invariants: nesting is at most [`MAX_DEPTH`]; what one block makes is bounded by [`Budget`].

pub(crate) mod escape;
pub(crate) mod flatten;
pub(crate) mod quoted;
pub(crate) mod runs;
pub(crate) mod unicode;

use crate::finding::Encoding;

/// How many encodings deep a value is looked for.
pub(crate) const MAX_DEPTH: usize = 4;

/// Bytes that each byte of a block may be decoded to, all its views together.
const PER_BYTE: usize = 16;
/// Bytes that may be decoded whatever the block's size.
const FREE: usize = 64 << 10;

/// How a view's offsets lead to its parent's.
#[derive(Debug)]
pub(crate) enum Map {
    /// Byte for byte, from an offset on.
    Shift(usize),
    /// So many parent's bytes give so many of the view's, from an offset on.
    Scale {
        /// Where it begins in the parent.
        base: usize,
        /// Bytes of the parent for `per` of the view.
        from: usize,
        /// Bytes of the view.
        per: usize,
    },
    /// Points of the view and of the parent, in order; byte for byte in between.
    Points(Vec<(u32, u32)>),
    /// All of it comes from this range.
    Range(usize, usize),
}

/// A view and those that it came out of.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) map: Map,
    pub(crate) encoding: Option<Encoding>,
    pub(crate) parent: Option<&'a Frame<'a>>,
    pub(crate) depth: usize,
}

/// What may still be decoded.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    /// Whether more was asked for than there was.
    pub(crate) exceeded: bool,
}

impl Budget {
    /// Every byte may be decoded at the alignments of each alphabet once, and what comes out again in part; a small request
    /// may be wrapped deeper.
    pub(crate) fn of(bytes: usize) -> Self {
        Self { left: bytes * PER_BYTE + FREE, exceeded: false }
    }

    /// Whether so many bytes may be decoded.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.exceeded = true;
                false
            }
        }
    }
}

impl Frame<'_> {
    /// The bytes as they came, from an offset on.
    pub(crate) const fn root(offset: usize) -> Self {
        Self { map: Map::Shift(offset), encoding: None, parent: None, depth: 0 }
    }

    /// The outermost range that a range of this view came from.
    pub(crate) fn outermost(&self, start: usize, end: usize) -> (usize, usize) {
        let (start, end) = self.map.range(start, end);
        match self.parent {
            Some(parent) => parent.outermost(start, end),
            None => (start, end),
        }
    }

    /// The encodings from the outside in.
    pub(crate) fn encodings(&self) -> Vec<Encoding> {
        let mut chain = self.parent.map(Frame::encodings).unwrap_or_default();
        chain.extend(self.encoding);
        chain
    }
}

impl Map {
    fn range(&self, start: usize, end: usize) -> (usize, usize) {
        match self {
            Self::Shift(offset) => (start + offset, end + offset),
            Self::Scale { base, from, per } => {
                (base + start * from / per, base + (end * from).div_ceil(*per))
            }
            Self::Points(points) => (through(points, start), through(points, end)),
            Self::Range(start, end) => (*start, *end),
        }
    }
}

fn through(points: &[(u32, u32)], at: usize) -> usize {
    let index = points.partition_point(|(view, _)| *view as usize <= at);
    match index.checked_sub(1).and_then(|index| points.get(index)) {
        Some((view, parent)) => *parent as usize + (at - *view as usize),
        None => at,
    }
}
