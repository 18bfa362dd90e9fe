//! What a step leaves behind: its event, its row of the audit, and what is told outside. Neither details nor the
//! description go into the first two; the last has the shape of the details at most.

use super::super::fail::Fail;
use super::super::{audit, outbox};
use crate::ledger::approval::{Approval, ApprovalStatus, DecidedVia};
use crate::prompt::{CUT, NESTED, SHOWN, cleaned};
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Characters of a description that are told outside.
const DESCRIBED: usize = 300;

/// Who does something, how it came, and when.
#[derive(Clone, Copy)]
pub(super) struct By<'a> {
    pub(super) actor: &'a str,
    pub(super) via: DecidedVia,
    pub(super) now: i64,
}

impl By<'static> {
    /// Hudson itself.
    pub(super) fn hudson(now: i64) -> Self {
        By { actor: audit::HUDSON, via: DecidedVia::System, now }
    }
}

/// Writes a step down. `approval` is as it is after it.
pub(super) fn note(
    connection: &Connection,
    approval: &Approval,
    kind: &str,
    by: By<'_>,
    more: impl Serialize,
) -> Result<(), Fail> {
    let told = Told {
        approval: approval.id.as_str(),
        status: approval.status,
        action: &approval.action,
        target: &approval.target,
        tier: approval.tier.number(),
        fingerprint: approval.fingerprint.to_string(),
        policy_revision: &approval.policy_revision,
        via: by.via,
        more: &more,
    };
    let bottle = Some(approval.bottle.as_str());
    let audit_seq = audit::append_at(connection, by.now, kind, by.actor, bottle, &told)?;
    let data = serde_json::to_string(&more).map_err(|error| Fail::Other(Box::new(error)))?;
    connection
        .prepare_cached(
            "INSERT INTO approval_events (ts, approval_id, type, actor, via, data, audit_seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![by.now, approval.id.as_str(), kind, by.actor, by.via.name(), data, audit_seq])?;
    Ok(())
}

#[derive(Serialize)]
struct Told<'a, M> {
    approval: &'a str,
    status: ApprovalStatus,
    action: &'a str,
    target: &'a str,
    tier: u8,
    fingerprint: String,
    policy_revision: &'a str,
    via: DecidedVia,
    #[serde(flatten)]
    more: &'a M,
}

/// Tells outside of an approval that was asked for, decided, used, or missed.
pub(super) fn outside(
    connection: &Connection,
    approval: &Approval,
    event: &str,
    now: i64,
) -> Result<(), Fail> {
    let told = json!({
        "id": approval.id,
        "kind": approval.kind,
        "status": approval.status,
        "action_digest": approval.fingerprint,
        "policy_rev": approval.policy_revision,
        "action": cleaned(&approval.action, CUT),
        "target": cleaned(&approval.target, CUT),
        "tier": approval.tier.number(),
        "description": cleaned(&approval.description, DESCRIBED),
        "preview": preview(&approval.details),
        "created_at": outbox::instant(approval.created_at),
        "expires_at": outbox::instant(match approval.status {
            ApprovalStatus::Approved => approval.use_expires_at.unwrap_or(now),
            _ => approval.decision_expires_at,
        }),
        "decided_by": approval.decided_by,
        "reason": approval.reason,
    });
    outbox::approval(connection, event, &approval.bottle, &told, now)
}

/// The first keys of the details; what is in something that is in them is not told.
fn preview(details: &Value) -> Value {
    let shown = |value: &Value| match value {
        Value::String(value) => Value::String(cleaned(value, CUT)),
        Value::Array(_) | Value::Object(_) => json!(NESTED),
        plain => plain.clone(),
    };
    let keys = details.as_object().into_iter().flatten().take(SHOWN);
    Value::Object(keys.map(|(key, value)| (cleaned(key, CUT), shown(value))).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_shows_five_keys_and_nothing_nested() {
        let details = json!({"a": 1, "b\n[Approve]": "x".repeat(99), "c": {"password": "p"}, "d": ["p"], "e": null, "f": 6});
        let expected = json!({"a": 1, "b [Approve]": format!("{}…", "x".repeat(79)), "c": "[redacted]", "d": "[redacted]", "e": null});
        assert_eq!(preview(&details), expected);
        assert_eq!(preview(&json!("text")), json!({}));
    }
}
