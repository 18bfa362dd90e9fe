//! Known values that are sent word for word: the first word of one message, the next of another.
//!
//! A chain is how much of a value has come, from its front. It counts when it is whole, so that no word is too short to be
//! a part of it. Invariant: at most [`CHAINS`] are kept, and [`PIECES`] notes of pieces; the oldest go first.

use crate::detect::Detectors;
use crate::detect::prefilter::Target;
use crate::known::Pieces;
use secrecy::ExposeSecret as _;
use std::collections::{BTreeMap, BTreeSet};

/// Words that make a value, at most: random letters in any order would make one in the end.
const WORDS: usize = 8;
/// Chains that are kept.
pub(super) const CHAINS: usize = 1024;
/// Pieces that are kept.
pub(super) const PIECES: usize = 2048;

/// What has come of known values.
#[derive(Debug, Default)]
pub(super) struct Chains {
    /// By value and how many of its bytes have come.
    begun: BTreeMap<(usize, usize), Chain>,
    /// When a piece of a value came last, and in which message.
    pieces: BTreeMap<(usize, usize), Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Chain {
    words: usize,
    /// The message of its first word.
    first: Seen,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: u64,
    message: u64,
}

impl Chains {
    /// Forgets what came before a moment.
    pub(super) fn forget(&mut self, before: u64) {
        self.begun.retain(|_, chain| chain.first.at >= before);
        self.pieces.retain(|_, seen| seen.at >= before);
    }

    /// The values that the words of this message make whole, by their index; not those that this message holds alone.
    pub(super) fn words(
        &mut self,
        detectors: &Detectors,
        words: &[&[u8]],
        at: u64,
        message: u64,
    ) -> BTreeSet<usize> {
        let (mut whole, mut alone) = (BTreeSet::new(), BTreeSet::new());
        let here = Seen { at, message };
        for (index, known) in detectors.known.iter().enumerate() {
            let value = known.value.value.expose_secret().as_bytes();
            let begun = self.begun.range((index, 0)..(index + 1, 0));
            let mut earlier: BTreeMap<usize, Chain> =
                begun.map(|((_, from), chain)| (*from, *chain)).collect();
            // What this message's words make by themselves.
            let mut own = BTreeMap::from([(0, Chain { words: 0, first: here })]);
            for word in words.iter().filter(|word| word.len() <= value.len()) {
                lengthen(&mut earlier, value, word);
                lengthen(&mut own, value, word);
            }
            if own.contains_key(&value.len()) {
                alone.insert(index);
            } else if earlier.contains_key(&value.len()) {
                whole.insert(index);
            }
            for (until, chain) in earlier.into_iter().chain(own).filter(|(until, _)| *until > 0) {
                self.keep((index, until), chain);
            }
        }
        for index in whole.iter().chain(&alone) {
            self.drop_value(*index);
        }
        whole
    }

    /// The values of which this message and those before it hold enough pieces together, and none of them alone.
    pub(super) fn shingles(
        &mut self,
        detectors: &Detectors,
        text: &[u8],
        at: u64,
        message: u64,
    ) -> BTreeSet<usize> {
        let (mut own, mut whole) = (BTreeSet::new(), BTreeSet::new());
        detectors.prefilter.scan(text, |hit| match hit.target {
            Target::Piece(value, place) => drop(own.insert((value, place))),
            Target::Known(value, _) => drop(whole.insert(value)),
            Target::Rule(_) => {}
        });
        let enough = |met: &mut dyn Iterator<Item = (usize, usize)>| {
            let mut pieces = Pieces::default();
            met.for_each(|(value, place)| pieces.note(value, place, (0, 0)));
            let length = |value: usize| {
                detectors.known.get(value).map_or(usize::MAX, |known| known.value.value.expose_secret().len())
            };
            pieces.split(length).into_iter().map(|(value, _)| value).collect::<BTreeSet<usize>>()
        };
        let alone = enough(&mut own.iter().copied());
        let before: BTreeSet<usize> = enough(&mut self.pieces.keys().copied());
        let touched: BTreeSet<usize> = own.iter().map(|(value, _)| *value).collect();
        let mut all =
            own.iter().chain(self.pieces.keys()).copied().filter(|(value, _)| touched.contains(value));
        let mut found = enough(&mut all);
        drop(all);
        found.retain(|value| !alone.contains(value) && !whole.contains(value) && !before.contains(value));
        // A message that holds the value alone says nothing of the others; nor does one that holds all that came before.
        for piece in own.into_iter().filter(|(value, _)| !alone.contains(value) && !whole.contains(value)) {
            self.pieces.insert(piece, Seen { at, message });
        }
        while self.pieces.len() > PIECES {
            let oldest =
                self.pieces.iter().min_by_key(|(_, seen)| (seen.at, seen.message)).map(|(piece, _)| *piece);
            oldest.and_then(|piece| self.pieces.remove(&piece));
        }
        for value in &found {
            self.drop_value(*value);
        }
        found
    }

    /// How many chains and pieces are kept.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.begun.len(), self.pieces.len())
    }

    fn keep(&mut self, place: (usize, usize), chain: Chain) {
        let better = |old: &Chain| {
            chain.words < old.words || (chain.words == old.words && chain.first.at > old.first.at)
        };
        if self.begun.get(&place).is_none_or(better) {
            self.begun.insert(place, chain);
        }
        if self.begun.len() > CHAINS {
            let oldest =
                self.begun.iter().min_by_key(|(_, chain)| chain.first.message).map(|(place, _)| *place);
            oldest.and_then(|place| self.begun.remove(&place));
        }
    }

    /// What was told, or is there as a whole, is not told again by the next word.
    fn drop_value(&mut self, value: usize) {
        self.begun.retain(|(index, _), _| *index != value);
        self.pieces.retain(|(index, _), _| *index != value);
    }
}

/// Chains that this word goes on with.
fn lengthen(chains: &mut BTreeMap<usize, Chain>, value: &[u8], word: &[u8]) {
    let fits = |from: usize| value.get(from..).is_some_and(|rest| rest.starts_with(word));
    let more: Vec<(usize, Chain)> = chains
        .iter()
        .filter(|(from, chain)| chain.words < WORDS && fits(**from))
        .map(|(from, chain)| (from + word.len(), Chain { words: chain.words + 1, ..*chain }))
        .collect();
    for (until, chain) in more {
        chains.entry(until).or_insert(chain);
    }
}
