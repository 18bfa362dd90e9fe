//! What people answer by a channel: a button or a signed call, made for one approval as it was shown to them.

use super::{Approval, ApprovalId, Decided, DecidedVia, Decision, Fingerprint, Verdict};

/// An answer that came by a channel, which says who gives it.
#[derive(Clone, Debug)]
pub struct ApprovalAnswer {
    /// Who, and about what.
    pub decision: Decision,
    /// What they say.
    pub verdict: Verdict,
    /// What they were shown: an answer is good for nothing else.
    pub fingerprint: Fingerprint,
    /// What tells this answer from every other, so that it is heard once.
    pub nonce: String,
    /// From when on it would be too old to be heard anyway.
    pub nonce_until: i64,
}

/// What became of an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answered {
    /// It was valid as an answer; this is what it decided.
    Decided(Decided),
    /// This very answer was heard before. Nothing has changed.
    Heard(Approval),
    /// Something else is asked for by now. Nothing has changed.
    OtherRequest(Approval),
}

/// An answer that was refused, for the audit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefusedAnswer {
    /// What it was about, as it said.
    pub approval: Option<ApprovalId>,
    /// Who, as the channel knows them; or only the channel, where that is not known.
    pub actor: String,
    /// How it came.
    pub via: DecidedVia,
    /// Why it was refused: a stable word.
    pub why: &'static str,
    /// How many before it are in no row of their own.
    pub more: u64,
    /// The clock.
    pub now: i64,
}
