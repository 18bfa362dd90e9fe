//! Ends that nobody decided: time ran out, a policy changed, a bottle is gone, another took the place.

use super::super::fail::Fail;
use super::rows::{COLUMNS, approval, required};
use super::tell::{By, note, outside};
use crate::ledger::approval::{Approval, ApprovalCancel, ApprovalId, ApprovalStatus, ApprovalSweep, Swept};
use rusqlite::{Connection, params};
use serde_json::json;

/// How something that is open ends: while it is pending, and once it is approved.
#[derive(Clone, Copy)]
pub(super) struct Ending<'a> {
    pending: ApprovalStatus,
    approved: ApprovalStatus,
    reason: &'a str,
}

impl Ending<'static> {
    pub(super) const EXPIRED: Self = Ending {
        pending: ApprovalStatus::Expired,
        approved: ApprovalStatus::Expired,
        reason: "its time ran out",
    };
    pub(super) const OTHER_POLICY: Self = Ending::withdrawn("the policy has changed since");
    pub(super) const SUPERSEDED: Self = Ending::withdrawn("another took its place");
}

impl<'a> Ending<'a> {
    /// Taken back.
    pub(super) const fn withdrawn(reason: &'a str) -> Self {
        Ending { pending: ApprovalStatus::Cancelled, approved: ApprovalStatus::Revoked, reason }
    }
}

/// Ends what is open; the approval as it is then.
pub(super) fn end(
    connection: &Connection,
    open: &Approval,
    ending: Ending<'_>,
    by: By<'_>,
) -> Result<Approval, Fail> {
    let to = match open.status {
        ApprovalStatus::Pending => ending.pending,
        ApprovalStatus::Approved => ending.approved,
        // It has ended.
        _ => return Ok(open.clone()),
    };
    connection
        .prepare_cached(
            "UPDATE approvals SET status = ?3, ended_at = ?4, reason = ifnull(reason, ?5)
             WHERE id = ?1 AND status = ?2",
        )?
        .execute(params![open.id.as_str(), open.status.name(), to.name(), by.now, ending.reason])?;
    let ended = required(connection, &open.id)?;
    let kind = match to {
        ApprovalStatus::Expired => "approval_expire",
        ApprovalStatus::Cancelled => "approval_cancel",
        _ => "approval_revoke",
    };
    note(connection, &ended, kind, by, json!({"was": open.status, "reason": ending.reason}))?;
    match to {
        ApprovalStatus::Expired => outside(connection, &ended, "approval_expired", by.now)?,
        // Whoever was asked is told that there is nothing to decide any more. What was approved says so itself.
        ApprovalStatus::Cancelled => outside(connection, &ended, "approval_cancelled", by.now)?,
        _ => {}
    }
    Ok(ended)
}

/// See [`crate::ledger::Ledger::approval_cancel`].
pub(crate) fn cancel(connection: &Connection, cancel: &ApprovalCancel) -> Result<usize, Fail> {
    let by = By { actor: &cancel.actor, via: cancel.via, now: cancel.now };
    let (bottle, id) = (cancel.bottle.as_str(), cancel.id.as_ref().map(ApprovalId::as_str));
    let mut ended = 0;
    for status in ["pending", "approved"] {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM approvals
             WHERE bottle = ?1 AND status = ?2 AND (?3 IS NULL OR id = ?3) ORDER BY seq"
        ))?;
        let open: Vec<Approval> =
            statement.query_map(params![bottle, status, id], approval)?.collect::<rusqlite::Result<_>>()?;
        for one in open {
            let ending =
                if one.is_overdue(by.now) { Ending::EXPIRED } else { Ending::withdrawn(&cancel.reason) };
            end(connection, &one, ending, by)?;
            ended += 1;
        }
    }
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM approvals
         WHERE bottle = ?1 AND status = 'consumed' AND execution_status = 'started' AND (?2 IS NULL OR id = ?2)"
    ))?;
    let under_way: Vec<Approval> =
        statement.query_map(params![bottle, id], approval)?.collect::<rusqlite::Result<_>>()?;
    for one in under_way {
        withdraw_use(connection, &one, by, &cancel.reason)?;
    }
    Ok(ended)
}

/// A use that is under way goes on; but if it turns out that it was not sent, it is not given back any more.
pub(super) fn withdraw_use(
    connection: &Connection,
    used: &Approval,
    by: By<'_>,
    reason: &str,
) -> Result<(), Fail> {
    let changed = connection
        .prepare_cached(
            "UPDATE approvals SET withdrawn = 1
             WHERE id = ?1 AND status = 'consumed' AND execution_status = 'started' AND NOT withdrawn",
        )?
        .execute([used.id.as_str()])?;
    if changed > 0 {
        note(connection, used, "approval_withdraw", by, json!({"attempt": used.attempt, "reason": reason}))?;
    }
    Ok(())
}

/// See [`crate::ledger::Ledger::approval_expire`].
pub(crate) fn sweep(connection: &Connection, sweep: &ApprovalSweep) -> Result<Swept, Fail> {
    let most = i64::try_from(sweep.most).unwrap_or(i64::MAX);
    let mut expired = 0;
    for overdue in [
        "status = 'pending' AND decision_expires_at <= ?1 ORDER BY decision_expires_at",
        "status = 'approved' AND use_expires_at <= ?1 ORDER BY use_expires_at",
    ] {
        let mut statement = connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM approvals WHERE {overdue} LIMIT ?2"))?;
        let left = most.saturating_sub(i64::try_from(expired).unwrap_or(i64::MAX));
        let overdue: Vec<Approval> =
            statement.query_map(params![sweep.now, left], approval)?.collect::<rusqlite::Result<_>>()?;
        for one in overdue {
            end(connection, &one, Ending::EXPIRED, By::hudson(sweep.now))?;
            expired += 1;
        }
    }
    let forgotten = match sweep.forget_before {
        Some(before) => forget(connection, before, most)?,
        None => 0,
    };
    Ok(Swept { expired, forgotten })
}

/// Removes what has long been over.
fn forget(connection: &Connection, before: i64, most: i64) -> Result<usize, Fail> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM approvals WHERE seq IN
           (SELECT seq FROM approvals WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?2) RETURNING id",
    )?;
    let gone: Vec<String> =
        statement.query_map(params![before, most], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for id in &gone {
        connection.prepare_cached("DELETE FROM approval_votes WHERE approval_id = ?1")?.execute([id])?;
        connection.prepare_cached("DELETE FROM approval_deciders WHERE approval_id = ?1")?.execute([id])?;
    }
    Ok(gone.len())
}

/// An approval at `now`; where its time has run out, that is written down.
pub(super) fn current(connection: &Connection, id: &ApprovalId, now: i64) -> Result<Approval, Fail> {
    let found = required(connection, id)?;
    match found.is_overdue(now) {
        true => end(connection, &found, Ending::EXPIRED, By::hudson(now)),
        false => Ok(found),
    }
}
