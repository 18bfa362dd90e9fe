//! What the ledger must agree with: every hold that was answered, and what became of it. Sums are taken anew each time.

use crate::world::World;
use hudson_schema::budget::{Mode, Weights};
use hudson_schema::ledger::{AskedLimit, HoldId};
use hudson_schema::{Provider, Scope};

/// A hold that was answered.
pub(crate) struct Entry {
    pub(crate) id: HoldId,
    pub(crate) run: usize,
    pub(crate) provider: &'static str,
    pub(crate) placed_at: i64,
    pub(crate) reserved: u64,
    /// The ledger that placed it, of all that were ever opened.
    pub(crate) owner: usize,
    pub(crate) state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Held,
    /// Charged; what is not final may still be settled.
    Charged {
        tokens: u64,
        last: bool,
    },
    /// Given back, for it was not sent.
    Released,
}

/// A request for tokens, and what must be granted.
pub(crate) struct Wish<'a> {
    pub(crate) limits: &'a [AskedLimit],
    pub(crate) mode: Mode,
    pub(crate) weights: Weights,
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) least: u64,
}

/// What a placed hold must be.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Grant {
    pub(crate) output: u64,
    pub(crate) tokens: u64,
    pub(crate) left: Option<u64>,
}

pub(crate) struct Model {
    pub(crate) world: World,
    pub(crate) entries: Vec<Entry>,
}

impl Model {
    pub(crate) fn spent(&self, scope: &Scope, counted: &Provider, since: i64) -> u64 {
        self.sum(scope, counted, since..i64::MAX, |entry| match entry.state {
            State::Charged { tokens, .. } => tokens,
            _ => 0,
        })
    }

    pub(crate) fn held(&self, scope: &Scope, counted: &Provider, since: i64) -> u64 {
        self.sum(scope, counted, since..i64::MAX, |entry| match entry.state {
            State::Held => entry.reserved,
            _ => 0,
        })
    }

    /// By how much responses were larger than their holds: the stated bound on an overshoot.
    pub(crate) fn excess(&self, scope: &Scope, counted: &Provider, within: std::ops::Range<i64>) -> u64 {
        self.sum(scope, counted, within, |entry| match entry.state {
            State::Charged { tokens, .. } => tokens.saturating_sub(entry.reserved),
            _ => 0,
        })
    }

    /// What is spent or held of one window, and of no other.
    pub(crate) fn taken(&self, scope: &Scope, counted: &Provider, within: std::ops::Range<i64>) -> u64 {
        self.sum(scope, counted, within, |entry| match entry.state {
            State::Held => entry.reserved,
            State::Charged { tokens, .. } => tokens,
            State::Released => 0,
        })
    }

    fn sum(
        &self,
        scope: &Scope,
        counted: &Provider,
        within: std::ops::Range<i64>,
        tokens: impl Fn(&Entry) -> u64,
    ) -> u64 {
        let counts = |entry: &&Entry| {
            within.contains(&entry.placed_at)
                && (counted.is_any() || counted.as_str() == entry.provider)
                && self.world.counts_in(entry.run, scope)
        };
        self.entries.iter().filter(counts).map(tokens).sum()
    }

    /// What is left under a limit.
    pub(crate) fn left(&self, asked: &AskedLimit) -> u64 {
        let limit = &asked.limit;
        let taken = self.spent(&limit.scope, &limit.provider, asked.window_start)
            + self.held(&limit.scope, &limit.provider, asked.window_start);
        limit.tokens.saturating_sub(taken)
    }

    pub(crate) fn is_spent(&self, asked: &AskedLimit) -> bool {
        let limit = &asked.limit;
        self.spent(&limit.scope, &limit.provider, asked.window_start) >= limit.tokens
    }

    /// What must be granted where no block stands; `None` for nothing.
    pub(crate) fn grant(&self, wish: &Wish<'_>) -> Option<Grant> {
        let &Wish { limits, mode, weights, input, output, least } = wish;
        let left = limits.iter().map(|asked| self.left(asked)).min();
        let granted = match (mode, left) {
            (Mode::Soft, _) if limits.iter().any(|asked| self.is_spent(asked)) => return None,
            (Mode::Soft, _) | (_, None) => output,
            // The most that weighs no more than what is left, found by trying.
            (Mode::Hard, Some(left)) if left > 0 => {
                (least.min(output)..=output).rev().find(|most| weights.held(input + most) <= left)?
            }
            (Mode::Hard, Some(_)) => return None,
        };
        let tokens = weights.held(input + granted);
        Some(Grant { output: granted, tokens, left: left.map(|left| left.saturating_sub(tokens)) })
    }

    /// What a settle comes to, of a hold that may be settled.
    pub(crate) fn charge(entry: &Entry, seen: Option<u64>, exact: bool) -> u64 {
        match seen {
            Some(seen) if exact => seen,
            Some(seen) => seen.max(entry.reserved),
            None => entry.reserved,
        }
    }
}
