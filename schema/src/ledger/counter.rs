//! What rules count: reserved before a request leaves, then kept or given back.

use crate::{RunId, ScopeKind};

/// A counter of a run in one window. The windows tile time; both ends are unix milliseconds.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Counter {
    /// Whose it is, of the scopes that the run belongs to; never a parent's.
    pub scope: ScopeKind,
    /// Its name.
    pub name: String,
    /// When its window began.
    pub window_start: i64,
    /// When its window ends.
    pub window_end: i64,
}

impl Counter {
    /// The counter in the window of this length, in milliseconds, that holds `now`: windows begin where the calendar's do in
    /// UTC.
    pub fn at(scope: ScopeKind, name: impl Into<String>, length: i64, now: i64) -> Self {
        let length = length.max(1);
        let window_start = now.saturating_sub(now.rem_euclid(length));
        Self { scope, name: name.into(), window_start, window_end: window_start.saturating_add(length) }
    }
}

/// What a request adds to a counter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CounterStep {
    /// The counter.
    pub counter: Counter,
    /// How much; never below 0.
    pub add: i64,
    /// The most that it may come to.
    pub limit: Option<i64>,
}

/// What a counter has to be for a judgement to stand that was made before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CounterBound {
    /// The counter.
    pub counter: Counter,
    /// No less than this.
    pub at_least: i64,
    /// No more than this.
    pub at_most: i64,
}

/// What one request counts: all of it or nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CounterRequest {
    /// Whose request it is.
    pub run: RunId,
    /// What it adds.
    pub steps: Vec<CounterStep>,
    /// What has to be as it was when it was judged.
    pub bounds: Vec<CounterBound>,
    /// The clock.
    pub now: i64,
}

/// The id of a reservation.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CounterReservation(pub String);

/// How a request to count ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CounterOutcome {
    /// It is counted, until it is given back.
    Reserved(CounterReservation),
    /// A limit leaves no room. Nothing was counted.
    Limited {
        /// Which step, from 0.
        step: usize,
        /// What its counter has come to.
        used: i64,
    },
    /// A counter is no longer as it was when the request was judged, which has to be done again. Nothing was counted.
    Changed,
}
