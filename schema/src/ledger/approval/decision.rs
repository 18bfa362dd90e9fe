//! Deciding an approval, using it, and taking it back.

use super::{Approval, ApprovalId, DecidedVia, Fingerprint};
use crate::BottleName;

/// A person's decision.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The approval.
    pub id: ApprovalId,
    /// Who, as the channel knows them. Never from the decision's own words.
    pub actor: String,
    /// How it came.
    pub via: DecidedVia,
    /// What the decision's own words call its author.
    pub claimed_by: Option<String>,
    /// Why; told to the agent, the audit and outside.
    pub reason: Option<String>,
    /// The clock.
    pub now: i64,
}

/// What a person has approved instead.
#[derive(Clone, Debug)]
pub struct ApprovalEdit {
    /// What it is bound to from here on.
    pub fingerprint: Fingerprint,
    /// What it is, for people; redacted.
    pub description: String,
    /// More of it; redacted.
    pub details: serde_json::Value,
}

/// What became of a decision.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decided {
    /// It is decided, by this.
    Made(Approval),
    /// It counts, and others must approve as well.
    Awaiting {
        /// The approval, still pending.
        approval: Approval,
        /// How many more.
        missing: u32,
    },
    /// The same person has decided the same before.
    Repeated(Approval),
    /// It is not there to be decided so any more.
    Conflict(Approval),
    /// Too late.
    Expired(Approval),
    /// This decision is not valid. Nothing has changed.
    Refused(DecisionRefusal),
    /// There is no such approval.
    Unknown,
}

/// Why a decision is not valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecisionRefusal {
    /// Nobody decides what they ask for.
    #[error("whoever asks for an approval cannot decide it; another person must")]
    Requester,
    /// The rule that asks names who decides.
    #[error("the rule that asks names who may decide, and this is somebody else")]
    NotNamed,
    /// What cannot be undone is not approved without a word.
    #[error("a critical action is approved only with a reason; say why with --reason")]
    ReasonRequired,
}

/// Using an approval.
#[derive(Clone, Debug)]
pub struct ConsumeRequest {
    /// The approval.
    pub id: ApprovalId,
    /// Whose it must be.
    pub bottle: BottleName,
    /// What is about to be sent.
    pub fingerprint: Fingerprint,
    /// The policy in force.
    pub policy_revision: String,
    /// The clock.
    pub now: i64,
}

/// The answer to a [`ConsumeRequest`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConsumeOutcome {
    /// Go on, once. Say how it went.
    Consumed(Approval),
    /// Not approved, or not any more; the status says what it is.
    NotApproved(Approval),
    /// Something else was approved. It stands.
    OtherRequest(Approval),
    /// The policy has changed since; the approval is revoked.
    OtherPolicy(Approval),
    /// The bottle has no such approval.
    Unknown,
}

/// One use of an approval. A use that was rolled back is another than the next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApprovalUse {
    /// The approval.
    pub id: ApprovalId,
    /// Which of its uses.
    pub attempt: u32,
}

/// Taking back what a bottle has asked for.
#[derive(Clone, Debug)]
pub struct ApprovalCancel {
    /// The bottle.
    pub bottle: BottleName,
    /// Only this one; all of the bottle when `None`.
    pub id: Option<ApprovalId>,
    /// Who.
    pub actor: String,
    /// How it came.
    pub via: DecidedVia,
    /// Why.
    pub reason: String,
    /// The clock.
    pub now: i64,
}

/// Writing down what time has ended.
#[derive(Clone, Copy, Debug)]
pub struct ApprovalSweep {
    /// At most so many, of each.
    pub most: usize,
    /// Approvals that ended before this are removed; their events stay. Must lie before every window that is counted.
    pub forget_before: Option<i64>,
    /// The clock.
    pub now: i64,
}

/// What a sweep has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Swept {
    /// So many have expired. As many as were asked for means that there may be more.
    pub expired: usize,
    /// So many were removed.
    pub forgotten: usize,
}
