//! Using an approval: once, and bound to what was approved. What is checked and what is changed are one transaction.

use super::super::fail::Fail;
use super::end::{self, Ending, current};
use super::grants;
use super::rows::{required, stored};
use super::tell::{By, note, outside};
use crate::ledger::approval::{
    Approval, ApprovalStatus, ApprovalUse, ConsumeOutcome, ConsumeRequest, ExecutionEnd,
};
use rusqlite::{Connection, params};
use serde_json::json;

/// See [`crate::ledger::Ledger::approval_consume`].
pub(crate) fn consume(connection: &Connection, request: &ConsumeRequest) -> Result<ConsumeOutcome, Fail> {
    let now = request.now;
    let Some(found) = stored(connection, &request.id)?.filter(|found| found.bottle == request.bottle) else {
        return Ok(ConsumeOutcome::Unknown);
    };
    let found = current(connection, &found.id, now)?;
    Ok(if found.status != ApprovalStatus::Approved {
        ConsumeOutcome::NotApproved(found)
    } else if found.policy_revision != request.policy_revision {
        let revoked = end::end(connection, &found, Ending::OTHER_POLICY, By::hudson(now))?;
        ConsumeOutcome::OtherPolicy(revoked)
    } else if found.fingerprint != request.fingerprint {
        ConsumeOutcome::OtherRequest(found)
    } else {
        ConsumeOutcome::Consumed(begin(connection, &found, now)?)
    })
}

/// Begins the use of what is approved.
pub(super) fn begin(connection: &Connection, approved: &Approval, now: i64) -> Result<Approval, Fail> {
    let begun = connection
        .prepare_cached(
            "UPDATE approvals SET status = 'consumed', attempt = attempt + 1, consumed_at = ?2, ended_at = ?2,
               execution_status = 'started'
             WHERE id = ?1 AND status = 'approved' AND use_expires_at > ?2",
        )?
        .execute(params![approved.id.as_str(), now])?;
    if begun == 0 {
        return Err(Fail::Missing("usable approval", approved.id.to_string()));
    }
    let consumed = required(connection, &approved.id)?;
    note(connection, &consumed, "approval_consume", By::hudson(now), json!({"attempt": consumed.attempt}))?;
    outside(connection, &consumed, "approval_consumed", now)?;
    Ok(consumed)
}

/// See [`crate::ledger::Ledger::approval_rollback`].
pub(crate) fn roll_back(connection: &Connection, used: &ApprovalUse, now: i64) -> Result<bool, Fail> {
    let changed = connection
        .prepare_cached(
            "UPDATE approvals SET
               status = CASE WHEN status = 'auto_approved' THEN status WHEN withdrawn THEN 'revoked' ELSE 'approved' END,
               execution_status = CASE WHEN status = 'auto_approved' OR withdrawn THEN 'not_sent' END,
               ended_at = CASE WHEN status = 'auto_approved' OR withdrawn THEN ?3 END,
               consumed_at = NULL
             WHERE id = ?1 AND attempt = ?2 AND status IN ('consumed', 'auto_approved')
               AND execution_status = 'started'",
        )?
        .execute(params![used.id.as_str(), used.attempt, now])?;
    if changed == 0 {
        return Ok(false);
    }
    let back = required(connection, &used.id)?;
    if let (ApprovalStatus::AutoApproved, Some(grant)) = (back.status, &back.grant) {
        grants::give_back(connection, grant)?;
    }
    note(connection, &back, "approval_rollback", By::hudson(now), json!({"attempt": used.attempt}))?;
    Ok(true)
}

/// See [`crate::ledger::Ledger::approval_finish`].
pub(crate) fn finish(
    connection: &Connection,
    used: &ApprovalUse,
    end: ExecutionEnd,
    detail: &str,
    now: i64,
) -> Result<bool, Fail> {
    let changed = connection
        .prepare_cached(
            "UPDATE approvals SET execution_status = ?3, execution_detail = ?4
             WHERE id = ?1 AND attempt = ?2 AND status IN ('consumed', 'auto_approved')
               AND execution_status = 'started'",
        )?
        .execute(params![used.id.as_str(), used.attempt, end.name(), detail])?;
    if changed > 0 {
        let finished = required(connection, &used.id)?;
        let told = json!({"attempt": used.attempt, "execution": end, "detail": detail});
        note(connection, &finished, "approval_finish", By::hudson(now), told)?;
    }
    Ok(changed > 0)
}
