//! What must not leave and was kept from it, as the audit has it.
//!
//! Invariant: a row has of a value what an event may show of it: its keyed hash, a few characters and its length.

use crate::RunId;
use serde::Serialize;

/// A finding that was acted on, to be recorded. What an agent chooses of it, host and place, is cleaned of values by
/// whoever records it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct NewFinding {
    /// The rule that found it.
    pub rule: String,
    /// What was done: `redact`, `supervise` or `block`.
    pub action: &'static str,
    /// Where in the request, in words.
    pub place: String,
    /// Its keyed hash.
    pub hash: String,
    /// The host it would have gone to.
    pub host: String,
    /// What may be shown of it.
    pub preview: String,
}

/// The findings of one look at a run's request.
#[derive(Clone, Debug)]
pub struct NewFindings {
    /// The run.
    pub run: RunId,
    /// Each of them.
    pub findings: Vec<NewFinding>,
    /// Others that are too many to be recorded one by one.
    pub more: usize,
    /// The clock.
    pub now: i64,
}
