//! What documents have in common: most events of a stream repeat the one before but for a few values.
//!
//! What a scanner makes of bytes depends on its position and on nothing else. So the pieces of a document that the next
//! one had too are kept, each with what it handed to the sink and with the position behind it: in front of a value, or
//! behind the document. A document is compared with the first piece, its value is scanned, what follows is compared with
//! the second piece, and so on; where it differs it is scanned. Invariants: a sink is called as if every byte had been
//! scanned; what is kept is bounded by [`MAX_PIECES`], [`MAX_PIECE`] and [`finds::MAX_FINDS`].

mod finds;

use super::{Frame, JsonScanner, JsonSink, Node, State};
use crate::scan::find::WORD;
use finds::{Find, Recorder};

/// Most pieces that are kept.
const MAX_PIECES: usize = 16;
/// Longest piece, in bytes.
const MAX_PIECE: usize = 512;
/// A shorter one is scanned as fast as it is compared.
const MIN_PIECE: usize = 6;
/// After so many documents in a row that had something else, a piece and those behind it are given up: fewer are events
/// of another kind in between.
const MISSES: u8 = 2;
/// So many times more often than they fit, pieces may fail to fit before nothing is learned any more.
const PATIENCE: u8 = 12;

/// What is known of the documents so far.
#[derive(Debug)]
pub(super) struct Template<F: 'static> {
    pieces: Vec<Piece<F>>,
    /// The bytes of an earlier document from behind the last piece's value on, and the state there.
    last: Option<(State, usize)>,
    last_bytes: Vec<u8>,
    patience: u8,
    /// Where a split cut the document that is read.
    cut: Option<Next>,
}

/// What is awaited of a document.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// The value in front of a piece, or the rest of it.
    Value { index: usize },
    /// A piece, of which so many bytes were there before a split; they are not scanned yet.
    Piece { index: usize, seen: usize },
}

/// How bytes compare with a piece.
enum Fit<'a> {
    /// They begin with it; what is behind it.
    Whole(&'a [u8]),
    /// It begins with them.
    Part,
    /// What is left to be scanned.
    Not(&'a [u8]),
}

/// Bytes that documents share.
#[derive(Debug)]
struct Piece<F: 'static> {
    bytes: Vec<u8>,
    /// The state in front of them, and how many containers are open: behind one value after the same piece, that is
    /// all there is to the position.
    from: (State, usize),
    /// What they hand to the sink.
    finds: Vec<Find<F>>,
    /// The position behind them.
    state: State,
    inner: Frame<F>,
    outer: Vec<Frame<F>>,
    place: Option<&'static Node<F>>,
    /// How many documents in a row had something else here.
    misses: u8,
}

impl<F> Template<F> {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        let (pieces, last_bytes) = (Vec::new(), Vec::new());
        Self { pieces, last: None, last_bytes, patience: PATIENCE, cut: None }
    }

    /// Nothing, for ever.
    pub(super) fn none() -> Self {
        Self { patience: 0, ..Self::new() }
    }

    /// A new document begins.
    #[inline]
    pub(super) fn restart(&mut self) {
        self.cut = None;
    }
}

impl<F: Copy> JsonScanner<F> {
    /// A document begins with the first of `bytes`, or goes on where a split cut it. Takes of it what is as in earlier
    /// documents, and the values between; what is left is to be scanned.
    pub(super) fn repeat<'a, S: JsonSink<Field = F>>(
        &mut self,
        mut bytes: &'a [u8],
        sink: &mut S,
    ) -> &'a [u8] {
        let mut next = self.template.cut.take().unwrap_or(Next::Piece { index: 0, seen: 0 });
        while let Some((&byte, rest)) = bytes.split_first() {
            next = match next {
                Next::Value { index } => {
                    bytes = match self.state {
                        State::Text => self.more_of_text(bytes, sink),
                        State::Scalar => self.more_of_scalar(bytes, sink),
                        _ => self.begin(byte, bytes, rest, sink),
                    };
                    match self.state {
                        State::Text | State::Scalar => next,
                        State::Skip | State::Done | State::Broken => return bytes,
                        _ => Next::Piece { index, seen: 0 },
                    }
                }
                // Where no split is, this comma is taken with the value.
                Next::Piece { seen: 0, .. } if self.state == State::CommaOrEnd && byte == b',' => {
                    self.comma();
                    bytes = rest;
                    next
                }
                Next::Piece { index, seen } => match self.piece(index, seen, bytes, sink) {
                    Fit::Whole(rest) if self.state == State::Done => return rest,
                    Fit::Whole(rest) => {
                        bytes = rest;
                        Next::Value { index: index + 1 }
                    }
                    Fit::Part => {
                        let seen = seen + bytes.len();
                        bytes = &[];
                        Next::Piece { index, seen }
                    }
                    Fit::Not(rest) => return rest,
                },
            };
        }
        self.template.cut = Some(next);
        bytes
    }

    /// Whether a split cut a document, so that it goes on by its template.
    #[inline]
    pub(super) fn is_cut(&self) -> bool {
        self.template.cut.is_some()
    }

    /// Whether bytes of this document wait to be told apart from a piece.
    pub(super) fn is_unsettled(&self) -> bool {
        matches!(self.template.cut, Some(Next::Piece { seen: 1.., .. }))
    }

    /// Nothing follows that could tell: what waits is scanned.
    pub(crate) fn settle(&mut self, sink: &mut impl JsonSink<Field = F>) {
        let Some(Next::Piece { index, seen: seen @ 1.. }) = self.template.cut.take() else { return };
        let Some(piece) = self.template.pieces.get_mut(index) else { return };
        let bytes = std::mem::take(&mut piece.bytes);
        self.scan(bytes.get(..seen).unwrap_or_default(), sink);
        if let Some(piece) = self.template.pieces.get_mut(index) {
            piece.bytes = bytes;
        }
    }

    /// Compares with a piece behind so many bytes of it.
    #[inline]
    fn piece<'a, S: JsonSink<Field = F>>(
        &mut self,
        index: usize,
        seen: usize,
        bytes: &'a [u8],
        sink: &mut S,
    ) -> Fit<'a> {
        let template = &mut self.template;
        let Some(piece) = template.pieces.get_mut(index) else { return self.learn(bytes, sink) };
        let wanted = piece.bytes.get(seen..).unwrap_or_default();
        if piece.from == (self.state, self.outer.len()) {
            if let Some(rest) = bytes.strip_prefix(wanted) {
                piece.misses = 0;
                self.state = piece.state;
                self.inner = piece.inner;
                self.outer.clone_from(&piece.outer);
                self.place = piece.place;
                piece.finds.iter().for_each(|find| find.replay(sink));
                if self.state == State::Done {
                    template.patience = template.patience.saturating_add(1).min(PATIENCE);
                }
                return Fit::Whole(rest);
            }
            if wanted.starts_with(bytes) {
                return Fit::Part;
            }
        }
        if seen > 0 {
            template.cut = Some(Next::Piece { index, seen });
            self.settle(sink);
            return Fit::Not(bytes);
        }
        piece.misses = piece.misses.saturating_add(1);
        if piece.misses < MISSES || template.patience == 0 {
            return Fit::Not(bytes);
        }
        template.pieces.truncate(index);
        template.last = None;
        self.learn(bytes, sink)
    }

    /// Compares with the last document that came this far, and keeps what they share.
    #[inline(never)]
    fn learn<'a, S: JsonSink<Field = F>>(&mut self, bytes: &'a [u8], sink: &mut S) -> Fit<'a> {
        let from = (self.state, self.outer.len());
        let template = &mut self.template;
        if template.patience == 0 || template.pieces.len() == MAX_PIECES {
            return Fit::Not(bytes);
        }
        let known = match template.last == Some(from) {
            true => common(&template.last_bytes, bytes),
            false => 0,
        };
        if template.last.replace(from).is_some() {
            template.patience -= 1;
        }
        template.last_bytes.clear();
        template.last_bytes.extend_from_slice(bytes.get(..MAX_PIECE).unwrap_or(bytes));
        let (known, rest) = match bytes.split_at_checked(known) {
            Some((known, rest)) if known.len() >= MIN_PIECE => (known, rest),
            _ => return Fit::Not(bytes),
        };

        let mut recorder = Recorder::new(sink);
        self.scan(known, &mut recorder);
        // In any other state there is more to keep; a colon in a string leads there.
        if !matches!(self.state, State::Value | State::Done) || recorder.lost() {
            return Fit::Not(rest);
        }
        let template = &mut self.template;
        template.pieces.push(Piece {
            bytes: known.to_vec(),
            from,
            finds: recorder.into_finds(),
            state: self.state,
            inner: self.inner,
            outer: self.outer.clone(),
            place: self.place,
            misses: 0,
        });
        template.last = None;
        template.patience = template.patience.saturating_add(1).min(PATIENCE);
        Fit::Whole(rest)
    }
}

/// How many bytes two documents share: up to their end, or to the colon before a value.
fn common(one: &[u8], other: &[u8]) -> usize {
    if one == other {
        return one.len();
    }
    let words = one.as_chunks::<WORD>().0.iter().zip(other.as_chunks::<WORD>().0);
    let same = words.take_while(|(one, other)| one == other).count() * WORD;
    let rest = one.iter().zip(other).skip(same);
    let same = same + rest.take_while(|(one, other)| one == other).count();
    let known = one.get(..same).unwrap_or_default();
    known.windows(2).rposition(|pair| pair == b"\":").map_or(0, |at| at + 2)
}

#[cfg(test)]
mod tests;
