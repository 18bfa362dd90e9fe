//! Approvals: a person's decision on one action, good for one use of it; and grants, which are bounded permissions that
//! stand for longer.
//!
//! Invariants: an approval goes only forward (a use that was provably not sent is the one way back); time that has run
//! out decides nothing and is not a denial; a use is bound to the fingerprint and the policy that were approved. Every
//! clock is the caller's, and no secret is stored: a fingerprint is a keyed digest, details are redacted before.

mod answer;
mod decision;
mod grant;
mod id;
mod record;
mod request;
mod words;

pub use crate::Tier;
pub use answer::{Answered, ApprovalAnswer, RefusedAnswer};
pub use decision::{
    ApprovalCancel, ApprovalEdit, ApprovalSweep, ApprovalUse, ConsumeOutcome, ConsumeRequest, Decided,
    Decision, DecisionRefusal, Swept,
};
pub use grant::{Grant, GrantOutcome, GrantQuery, GrantRefusal, GrantScope, NewGrant};
pub use id::{ApprovalId, Fingerprint, GrantId, InvalidId};
pub use record::{Approval, ApprovalCount, ApprovalEvent, ApprovalQuery};
pub use request::{ApprovalRequest, ApprovalRules, Automatic, HIGH_RISK_ACTIONS, Rate, SubmitOutcome};
pub use words::{ApprovalKind, ApprovalStatus, DecidedVia, Execution, ExecutionEnd, GrantScopeKind, Verdict};
