//! An approval in the words of both confirmation servers that went before, and in Hudson's own beside them.
//!
//! Invariant: what is used is told as approved, and what was taken back as denied, for those servers had no other words;
//! what nobody has decided is never told as a person's no.

use hudson_schema::Tier;
use hudson_schema::ledger::{Approval, ApprovalStatus};
use serde_json::{Value, json};

/// What is said of an approval that nobody has decided in time.
const SILENCE: &str =
    "nobody answered in time: it is not approved, and no person has denied it; silence is not consent";

/// How far an approval has got, in their words.
pub(super) fn status(approval: &Approval) -> &'static str {
    match approval.status {
        ApprovalStatus::Pending => "pending",
        ApprovalStatus::Approved | ApprovalStatus::Consumed => "approved",
        ApprovalStatus::Denied | ApprovalStatus::Cancelled | ApprovalStatus::Revoked => "denied",
        ApprovalStatus::Expired => "expired",
        ApprovalStatus::AutoApproved => "auto_approved",
    }
}

/// All of it.
pub(super) fn full(approval: &Approval) -> Value {
    let mut record = json!({
        "id": approval.id,
        "request_id": approval.id,
        "action": approval.action,
        "description": approval.description,
        "details": approval.details,
        "payload": approval.details,
        "requester": requester(approval),
        "session_key": approval.session,
        "bottle": approval.bottle,
        "kind": approval.kind,
        "target": approval.target,
        "risk_level": risk_level(approval.tier),
        "tier": approval.tier.number(),
        "timeout_seconds": timeout(approval),
        "timeout": timeout(approval),
        "created_at": seconds(approval.created_at),
        "created_at_iso": iso(approval.created_at),
        "expires_at": seconds(approval.decision_expires_at),
        "expires_at_iso": iso(approval.decision_expires_at),
        "digest": digest(approval),
        "is_pending": approval.status == ApprovalStatus::Pending,
        "is_expired": approval.status == ApprovalStatus::Expired,
    });
    merge(&mut record, decided(approval));
    record
}

/// How it was decided.
pub(super) fn decided(approval: &Approval) -> Value {
    let at = resolved_at(approval);
    let by = resolved_by(approval);
    json!({
        "id": approval.id,
        "request_id": approval.id,
        "action": approval.action,
        "status": status(approval),
        "state": approval.status,
        "resolved_by": by,
        "decided_by": by,
        "decided_via": approval.decided_via,
        "claimed_by": approval.claimed_by,
        "resolved_at": at.map(seconds),
        "resolved_at_iso": at.map(iso),
        "reason": reason(approval),
    })
}

/// Puts what is said second over what was said first.
pub(super) fn merge(record: &mut Value, more: Value) {
    if let (Some(record), Value::Object(more)) = (record.as_object_mut(), more) {
        record.extend(more);
    }
}

/// The seconds that people have, or had.
pub(super) fn timeout(approval: &Approval) -> i64 {
    approval.decision_expires_at.saturating_sub(approval.created_at) / 1000
}

/// The tier in the words of the levels of risk; they had none for an action without any.
pub(super) fn risk_level(tier: Tier) -> &'static str {
    match tier {
        Tier::Safe | Tier::Low => "low",
        other => other.name(),
    }
}

/// A time in seconds, as the servers before told it.
pub(super) fn seconds(milliseconds: i64) -> f64 {
    // Exact to the millisecond for thousands of years.
    milliseconds as f64 / 1000.0
}

/// A time as text.
pub(super) fn iso(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map(|at| at.to_string()).unwrap_or_default()
}

/// What people compare: the first digits of what the approval is bound to.
fn digest(approval: &Approval) -> String {
    approval.fingerprint.to_string().chars().take(8).collect()
}

/// What the agent calls itself; `agent` where it does not.
fn requester(approval: &Approval) -> &str {
    approval.requester.split_once(" as ").map_or("agent", |(_, name)| name)
}

fn resolved_by(approval: &Approval) -> Option<&str> {
    match approval.status {
        ApprovalStatus::Expired => Some("system:timeout"),
        ApprovalStatus::Cancelled => Some("system:cancelled"),
        _ => approval.decided_by.as_deref(),
    }
}

fn resolved_at(approval: &Approval) -> Option<i64> {
    match approval.status {
        ApprovalStatus::Pending => None,
        // Also before that is written down.
        ApprovalStatus::Expired => approval.ended_at.or(Some(approval.decision_expires_at)),
        _ => approval.decided_at.or(approval.ended_at),
    }
}

fn reason(approval: &Approval) -> Option<&str> {
    match approval.status {
        ApprovalStatus::Expired if approval.decided_at.is_none() => Some(SILENCE),
        _ => approval.reason.as_deref(),
    }
}
