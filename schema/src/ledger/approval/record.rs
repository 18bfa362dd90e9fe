//! The rows of approvals. Times are unix milliseconds.

use super::{
    ApprovalId, ApprovalKind, ApprovalStatus, ApprovalUse, DecidedVia, Execution, Fingerprint, GrantId, Tier,
};
use crate::BottleName;
use serde::Serialize;

/// An approval on record. What is read at a time says `expired` from the moment it is, swept or not.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Approval {
    /// Its place in the order of asking; the cursor of lists.
    pub seq: i64,
    /// Its id.
    pub id: ApprovalId,
    /// What is asked for.
    pub kind: ApprovalKind,
    /// The bottle that asks.
    pub bottle: BottleName,
    /// The session in it, if it said one.
    pub session: Option<String>,
    /// Who asks; never one of those who decide.
    pub requester: String,
    /// The action.
    pub action: String,
    /// What it is counted as.
    pub rate_key: String,
    /// What it acts on.
    pub target: String,
    /// The finding it is about, as a digest.
    pub finding: Option<String>,
    /// How much harm it can do.
    pub tier: Tier,
    /// What it is, for people.
    pub description: String,
    /// More of it, redacted.
    pub details: serde_json::Value,
    /// What it is bound to.
    pub fingerprint: Fingerprint,
    /// The policy it is bound to.
    pub policy_revision: String,
    /// The rule that asks for it.
    pub rule: Option<String>,
    /// That rule's digest.
    pub rule_hash: Option<String>,
    /// How many different people must approve.
    pub approvers: u32,
    /// How far it has got.
    pub status: ApprovalStatus,
    /// When it was asked for.
    pub created_at: i64,
    /// From when on it cannot be decided.
    pub decision_expires_at: i64,
    /// How long it can be used once approved, in milliseconds.
    pub use_ttl: i64,
    /// From when on it cannot be used, once approved.
    pub use_expires_at: Option<i64>,
    /// When it was decided.
    pub decided_at: Option<i64>,
    /// Who decided, as the channel knows them. `None` where time ran out: that is nobody's decision.
    pub decided_by: Option<String>,
    /// How the decision came.
    pub decided_via: Option<DecidedVia>,
    /// What the decision's own words called its author. Proves nothing.
    pub claimed_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Uses that were begun; more than one only after uses that were not sent.
    pub attempt: u32,
    /// When it was used.
    pub consumed_at: Option<i64>,
    /// What became of the action.
    pub execution: Option<Execution>,
    /// The same, for people.
    pub execution_detail: Option<String>,
    /// How often it was asked for again while it was pending.
    pub dedupe_count: u32,
    /// The approval that took its place.
    pub coalesced_into: Option<ApprovalId>,
    /// The grant that let it through.
    pub grant: Option<GrantId>,
    /// When it ended; `None` while it can still be decided or used.
    pub ended_at: Option<i64>,
}

impl Approval {
    /// The same as it is at `now`: time that has run out has ended it.
    pub fn at(mut self, now: i64) -> Self {
        if self.is_overdue(now) {
            self.status = ApprovalStatus::Expired;
        }
        self
    }

    /// Whether its time has run out, and nobody has written that down yet.
    pub fn is_overdue(&self, now: i64) -> bool {
        match self.status {
            ApprovalStatus::Pending => self.decision_expires_at <= now,
            ApprovalStatus::Approved => self.use_expires_at.is_none_or(|until| until <= now),
            _ => false,
        }
    }

    /// Its latest use, for saying how that went.
    pub fn latest_use(&self) -> ApprovalUse {
        ApprovalUse { id: self.id.clone(), attempt: self.attempt }
    }
}

/// One step of an approval.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ApprovalEvent {
    /// Its place among all steps of all approvals.
    pub seq: i64,
    /// When.
    pub ts: i64,
    /// The approval.
    pub approval: ApprovalId,
    /// What: the `kind` of its row in the audit.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who.
    pub actor: String,
    /// How it came.
    pub via: DecidedVia,
    /// The rest, as JSON text.
    pub data: String,
    /// Its row in the audit.
    pub audit_seq: i64,
}

/// Which approvals to list, newest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ApprovalQuery {
    /// Only those that are this at `now`.
    pub status: Option<ApprovalStatus>,
    /// Only those of this bottle.
    pub bottle: Option<BottleName>,
    /// Only those in front of this [`Approval::seq`]: the last one of the page before.
    pub before: Option<i64>,
    /// At most so many.
    pub most: usize,
    /// The clock.
    pub now: i64,
}

/// How many approvals of a kind have got how far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ApprovalCount {
    /// What is asked for.
    pub kind: ApprovalKind,
    /// How far they have got.
    pub status: ApprovalStatus,
    /// How many.
    pub count: u64,
}
