//! What people decide. The update says itself what it is good for (`status = 'pending' AND decision_expires_at > now`):
//! whether it changed the row is the answer, and of two at once one changes it.

use super::super::fail::Fail;
use super::end::{self, Ending, current};
use super::rows::{required, stored};
use super::tell::{By, note, outside};
use crate::ledger::approval::{
    Approval, ApprovalEdit, ApprovalStatus, Decided, DecidedVia, Decision, DecisionRefusal, Tier,
};
use rusqlite::{Connection, params};
use serde_json::json;

/// See [`crate::ledger::Ledger::approval_approve`].
pub(crate) fn approve(connection: &Connection, decision: &Decision) -> Result<Decided, Fail> {
    let open = match pending(connection, decision, &[ApprovalStatus::Approved, ApprovalStatus::Consumed])? {
        Ok(open) => open,
        Err(decided) => return Ok(decided),
    };
    match refusal(connection, &open, decision)? {
        Some(refusal) => Ok(Decided::Refused(refusal)),
        None => agree(connection, decision, "approval_approve", json!({})),
    }
}

/// See [`crate::ledger::Ledger::approval_modify`].
pub(crate) fn modify(
    connection: &Connection,
    decision: &Decision,
    edit: &ApprovalEdit,
) -> Result<Decided, Fail> {
    let open = match pending(connection, decision, &[])? {
        Ok(open) => open,
        Err(decided) => return Ok(decided),
    };
    if let Some(refusal) = refusal(connection, &open, decision)? {
        return Ok(Decided::Refused(refusal));
    }
    let id = decision.id.as_str();
    connection
        .prepare_cached(
            "UPDATE approvals SET fingerprint = ?2, description = ?3, details_redacted = ?4
             WHERE id = ?1 AND status = 'pending'",
        )?
        .execute(params![id, edit.fingerprint.0, edit.description, edit.details.to_string()])?;
    // Who has approved something else has not approved this.
    connection.prepare_cached("DELETE FROM approval_votes WHERE approval_id = ?1")?.execute([id])?;
    agree(connection, decision, "approval_modify", json!({"instead_of": open.fingerprint}))
}

/// See [`crate::ledger::Ledger::approval_deny`].
pub(crate) fn deny(connection: &Connection, decision: &Decision) -> Result<Decided, Fail> {
    let open = match pending(connection, decision, &[ApprovalStatus::Denied])? {
        Ok(open) => open,
        Err(decided) => return Ok(decided),
    };
    // Hudson itself says no for whoever it asks.
    if decision.via != DecidedVia::System
        && let Some(refusal) = not_theirs(connection, &open, decision)?
    {
        return Ok(Decided::Refused(refusal));
    }
    let changed = connection
        .prepare_cached(
            "UPDATE approvals SET status = 'denied', decided_at = ?2, decided_by = ?3, decided_via = ?4,
               claimed_by = ?5, reason = ?6, ended_at = ?2
             WHERE id = ?1 AND status = 'pending' AND decision_expires_at > ?2",
        )?
        .execute(params![
            decision.id.as_str(),
            decision.now,
            decision.actor,
            decision.via.name(),
            decision.claimed_by,
            decision.reason
        ])?;
    made(connection, decision, changed, "approval_deny", json!({}))
}

/// Denies what was just asked for, in the place of people; as it is then.
pub(super) fn deny_at_once(
    connection: &Connection,
    created: &Approval,
    by: &str,
    reason: &str,
    now: i64,
) -> Result<Approval, Fail> {
    let decision = Decision {
        id: created.id.clone(),
        actor: by.to_owned(),
        via: DecidedVia::System,
        claimed_by: None,
        reason: Some(reason.to_owned()),
        now,
    };
    // Whoever it was, it is not who asks.
    deny(connection, &decision)?;
    required(connection, &created.id)
}

/// See [`crate::ledger::Ledger::approval_revoke`].
pub(crate) fn revoke(connection: &Connection, decision: &Decision) -> Result<Decided, Fail> {
    let Some(found) = stored(connection, &decision.id)? else { return Ok(Decided::Unknown) };
    let found = current(connection, &found.id, decision.now)?;
    if found.requester == decision.actor {
        return Ok(Decided::Refused(DecisionRefusal::Requester));
    }
    let reason = decision.reason.as_deref().unwrap_or("no reason was given");
    let by = By { actor: &decision.actor, via: decision.via, now: decision.now };
    match found.status {
        ApprovalStatus::Approved => {
            let revoked = end::end(connection, &found, Ending::withdrawn(reason), by)?;
            outside(connection, &revoked, "approval_decided", decision.now)?;
            Ok(Decided::Made(revoked))
        }
        ApprovalStatus::Revoked => Ok(Decided::Repeated(found)),
        ApprovalStatus::Expired => Ok(Decided::Expired(found)),
        _ => {
            end::withdraw_use(connection, &found, by, reason)?;
            Ok(Decided::Conflict(found))
        }
    }
}

/// What is still to be decided, or why it is not: among others because the same person has decided the same before.
fn pending(
    connection: &Connection,
    decision: &Decision,
    same: &[ApprovalStatus],
) -> Result<Result<Approval, Decided>, Fail> {
    if stored(connection, &decision.id)?.is_none() {
        return Ok(Err(Decided::Unknown));
    }
    let found = current(connection, &decision.id, decision.now)?;
    Ok(match found.status {
        ApprovalStatus::Pending => Ok(found),
        ApprovalStatus::Expired => Err(Decided::Expired(found)),
        status if same.contains(&status) && found.decided_by.as_deref() == Some(decision.actor.as_str()) => {
            Err(Decided::Repeated(found))
        }
        _ => Err(Decided::Conflict(found)),
    })
}

/// Why somebody cannot approve.
fn refusal(
    connection: &Connection,
    open: &Approval,
    decision: &Decision,
) -> Result<Option<DecisionRefusal>, Fail> {
    let unsaid = decision.reason.as_deref().is_none_or(|reason| reason.trim().is_empty());
    let reason = (open.tier == Tier::Critical && unsaid).then_some(DecisionRefusal::ReasonRequired);
    Ok(not_theirs(connection, open, decision)?.or(reason))
}

/// Why it is not theirs to decide, either way.
fn not_theirs(
    connection: &Connection,
    open: &Approval,
    decision: &Decision,
) -> Result<Option<DecisionRefusal>, Fail> {
    if open.requester == decision.actor {
        return Ok(Some(DecisionRefusal::Requester));
    }
    let mut statement = connection.prepare_cached(
        "SELECT count(*), count(*) FILTER (WHERE actor = ?2) FROM approval_deciders WHERE approval_id = ?1",
    )?;
    let (named, among): (u32, u32) =
        statement.query_row([open.id.as_str(), &decision.actor], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((named > 0 && among == 0).then_some(DecisionRefusal::NotNamed))
}

/// Counts one who approves; with enough of them it is approved.
fn agree(
    connection: &Connection,
    decision: &Decision,
    kind: &str,
    more: serde_json::Value,
) -> Result<Decided, Fail> {
    let id = decision.id.as_str();
    let open = required(connection, &decision.id)?;
    let new = connection
        .prepare_cached("INSERT OR IGNORE INTO approval_votes (approval_id, actor) VALUES (?1, ?2)")?
        .execute([id, &decision.actor])?;
    let given: u32 = connection
        .prepare_cached("SELECT count(*) FROM approval_votes WHERE approval_id = ?1")?
        .query_row([id], |row| row.get(0))?;
    let missing = open.approvers.saturating_sub(given);
    if missing > 0 {
        if new > 0 {
            let by = By { actor: &decision.actor, via: decision.via, now: decision.now };
            let told = json!({"as": kind, "missing": missing, "reason": decision.reason});
            note(connection, &open, "approval_vote", by, told)?;
        }
        return Ok(Decided::Awaiting { approval: open, missing });
    }
    let changed = connection
        .prepare_cached(
            "UPDATE approvals SET status = 'approved', decided_at = ?2, decided_by = ?3, decided_via = ?4,
               claimed_by = ?5, reason = ?6, use_expires_at = ?7
             WHERE id = ?1 AND status = 'pending' AND decision_expires_at > ?2",
        )?
        .execute(params![
            id,
            decision.now,
            decision.actor,
            decision.via.name(),
            decision.claimed_by,
            decision.reason,
            decision.now.saturating_add(open.use_ttl)
        ])?;
    made(connection, decision, changed, kind, more)
}

/// Writes down what the update has made of it.
fn made(
    connection: &Connection,
    decision: &Decision,
    changed: usize,
    kind: &str,
    mut more: serde_json::Value,
) -> Result<Decided, Fail> {
    let decided = required(connection, &decision.id)?;
    if changed == 0 {
        return Ok(Decided::Conflict(decided));
    }
    if let Some(more) = more.as_object_mut() {
        more.insert("reason".to_owned(), json!(decision.reason));
        more.insert("claimed_by".to_owned(), json!(decision.claimed_by));
    }
    let by = By { actor: &decision.actor, via: decision.via, now: decision.now };
    note(connection, &decided, kind, by, more)?;
    outside(connection, &decided, "approval_decided", decision.now)?;
    Ok(Decided::Made(decided))
}
