//! Asking. What the same request has got before answers it first: the later word of a person, then what is pending.

use super::super::fail::Fail;
use super::end::{self, Ending};
use super::rows::{COLUMNS, approval, required};
use super::tell::{By, note, outside};
use super::{consume, decide, grants, limits, random};
use crate::ledger::approval::{
    Approval, ApprovalId, ApprovalRequest, ApprovalStatus, Automatic, DecidedVia, Grant, SubmitOutcome,
};
use rusqlite::{Connection, named_params, params};
use serde_json::json;

/// See [`crate::ledger::Ledger::approval_submit`].
pub(crate) fn submit(connection: &Connection, request: &ApprovalRequest) -> Result<SubmitOutcome, Fail> {
    let now = request.now;
    end_stale(connection, request)?;
    let denied = newest(connection, request, ApprovalStatus::Denied)?.filter(|denied| {
        denied.decided_at.is_some_and(|at| at.saturating_add(request.rules.deny_memory) > now)
    });
    // A person's later word stands; where it cannot be told which is later, no does.
    let since = denied.as_ref().and_then(|denied| denied.decided_at);
    if let Some(approved) = newest(connection, request, ApprovalStatus::Approved)?
        && approved.decided_at > since
    {
        return consume::begin(connection, &approved, now).map(SubmitOutcome::Approved);
    }
    if request.is_bypassable()
        && let Some(grant) = grants::use_up(connection, request, since)?
    {
        return auto_approve(connection, request, Passed::Grant(&grant)).map(SubmitOutcome::Approved);
    }
    if let Some(denied) = denied {
        return Ok(SubmitOutcome::Denied(denied));
    }
    // Behind the denial: what no person need be asked about, a person can have said no to.
    if let Some(Automatic::Pass { by, reason }) = &request.automatic
        && request.may_pass_by_itself()
    {
        return auto_approve(connection, request, Passed::Itself { by, reason }).map(SubmitOutcome::Approved);
    }
    let pending = newest(connection, request, ApprovalStatus::Pending)?;
    if let Some(pending) = &pending
        && pending.created_at.saturating_add(request.rules.dedupe_window) > now
    {
        return reuse(connection, request, pending).map(SubmitOutcome::Reused);
    }
    if let Some(refusal) = limits::refusal(connection, request, pending.as_ref().map(|pending| &pending.id))?
    {
        return Ok(refusal);
    }
    let created = insert(connection, request, None)?;
    if let Some(pending) = &pending {
        supersede(connection, pending, &created, now)?;
    }
    if let Some(Automatic::Deny { by, reason }) = &request.automatic {
        return decide::deny_at_once(connection, &created, by, reason, now).map(SubmitOutcome::Denied);
    }
    outside(connection, &created, "approval_requested", now)?;
    Ok(SubmitOutcome::Created(created))
}

/// Writes down what of this request time has ended, and what was under another policy.
fn end_stale(connection: &Connection, request: &ApprovalRequest) -> Result<(), Fail> {
    for status in [ApprovalStatus::Pending, ApprovalStatus::Approved] {
        for stale in of_status(connection, request, status)? {
            if stale.is_overdue(request.now) {
                end::end(connection, &stale, Ending::EXPIRED, By::hudson(request.now))?;
            } else if stale.policy_revision != request.policy_revision {
                end::end(connection, &stale, Ending::OTHER_POLICY, By::hudson(request.now))?;
            }
        }
    }
    Ok(())
}

fn newest(
    connection: &Connection,
    request: &ApprovalRequest,
    status: ApprovalStatus,
) -> Result<Option<Approval>, Fail> {
    Ok(of_status(connection, request, status)?.into_iter().next())
}

/// What this very request has, newest first; of what has ended one row is enough.
fn of_status(
    connection: &Connection,
    request: &ApprovalRequest,
    status: ApprovalStatus,
) -> Result<Vec<Approval>, Fail> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM approvals WHERE bottle = ?1 AND fingerprint = ?2 AND status = ?3
         ORDER BY ifnull(decided_at, 0) DESC, seq DESC LIMIT ?4"
    ))?;
    let most = if status.is_open() { i64::MAX } else { 1 };
    let asked = params![request.bottle.as_str(), request.fingerprint.0, status.name(), most];
    Ok(statement.query_map(asked, approval)?.collect::<rusqlite::Result<_>>()?)
}

/// The same is asked again. People are not; and so that asking often fills nothing, it is written down at the first
/// time, the second, the fourth, the eighth, and so on.
fn reuse(connection: &Connection, request: &ApprovalRequest, pending: &Approval) -> Result<Approval, Fail> {
    connection
        .prepare_cached("UPDATE approvals SET dedupe_count = dedupe_count + 1 WHERE id = ?1")?
        .execute([pending.id.as_str()])?;
    let reused = required(connection, &pending.id)?;
    if reused.dedupe_count.is_power_of_two() {
        let by = By { actor: &request.requester, via: DecidedVia::System, now: request.now };
        note(connection, &reused, "approval_reuse", by, json!({"times": reused.dedupe_count}))?;
    }
    Ok(reused)
}

/// Another takes the place of what is pending for the same.
fn supersede(connection: &Connection, pending: &Approval, by: &Approval, now: i64) -> Result<(), Fail> {
    connection
        .prepare_cached("UPDATE approvals SET coalesced_into = ?2 WHERE id = ?1")?
        .execute([pending.id.as_str(), by.id.as_str()])?;
    end::end(connection, pending, Ending::SUPERSEDED, By::hudson(now)).map(drop)
}

/// What lets a request through that no person has decided on.
#[derive(Clone, Copy)]
enum Passed<'a> {
    Grant(&'a Grant),
    Itself { by: &'a str, reason: &'a str },
}

impl Passed<'_> {
    fn grant(&self) -> Option<&Grant> {
        match self {
            Self::Grant(grant) => Some(grant),
            Self::Itself { .. } => None,
        }
    }

    fn by(&self) -> &str {
        match self {
            Self::Grant(grant) => &grant.created_by,
            Self::Itself { by, .. } => by,
        }
    }

    fn via(&self) -> DecidedVia {
        match self {
            Self::Grant(_) => DecidedVia::Grant,
            Self::Itself { .. } => DecidedVia::System,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Grant(_) => None,
            Self::Itself { reason, .. } => Some(reason),
        }
    }
}

/// Lets it through: an approval that is used from the start.
fn auto_approve(
    connection: &Connection,
    request: &ApprovalRequest,
    passed: Passed<'_>,
) -> Result<Approval, Fail> {
    let created = insert(connection, request, Some(passed))?;
    for pending in of_status(connection, request, ApprovalStatus::Pending)? {
        supersede(connection, &pending, &created, request.now)?;
    }
    Ok(created)
}

fn insert(
    connection: &Connection,
    request: &ApprovalRequest,
    passed: Option<Passed<'_>>,
) -> Result<Approval, Fail> {
    let id = ApprovalId::of_random(random()?);
    let used = passed.map(|_| request.now);
    connection
        .prepare_cached(
            "INSERT INTO approvals
               (id, kind, bottle, session_key, requester, action, rate_key, target, finding, tier, description,
                details_redacted, fingerprint, policy_rev, rule_id, rule_hash, approvers, status, created_at,
                decision_expires_at, use_ttl, decided_at, decided_by, decided_via, reason, attempt, consumed_at,
                execution_status, grant_id, ended_at)
             VALUES
               (:id, :kind, :bottle, :session, :requester, :action, :rate_key, :target, :finding, :tier, :description,
                :details, :fingerprint, :policy, :rule, :rule_hash, :approvers, :status, :now,
                :decision_expires_at, :use_ttl, :used, :decided_by, :decided_via, :reason, :attempt, :used,
                :execution, :grant, :used)",
        )?
        .execute(named_params! {
            ":id": id.as_str(),
            ":kind": request.kind.name(),
            ":bottle": request.bottle.as_str(),
            ":session": request.session,
            ":requester": request.requester,
            ":action": request.action,
            ":rate_key": request.rate_key,
            ":target": request.target,
            ":finding": request.finding,
            ":tier": request.tier.number(),
            ":description": request.description,
            ":details": request.details.to_string(),
            ":fingerprint": request.fingerprint.0,
            ":policy": request.policy_revision,
            ":rule": request.rule,
            ":rule_hash": request.rule_hash,
            ":approvers": request.approvers.max(1),
            ":status": if passed.is_some() { "auto_approved" } else { "pending" },
            ":now": request.now,
            ":decision_expires_at": request.decision_expires_at,
            ":use_ttl": request.use_ttl,
            ":used": used,
            ":decided_by": passed.as_ref().map(Passed::by),
            ":decided_via": passed.map(|passed| passed.via().name()),
            ":reason": passed.as_ref().and_then(Passed::reason),
            ":attempt": u32::from(passed.is_some()),
            ":execution": passed.map(|_| "started"),
            ":grant": passed.as_ref().and_then(Passed::grant).map(|grant| grant.id.as_str()),
        })?;
    for decider in &request.deciders {
        connection
            .prepare_cached("INSERT OR IGNORE INTO approval_deciders (approval_id, actor) VALUES (?1, ?2)")?
            .execute([id.as_str(), decider])?;
    }
    let created = required(connection, &id)?;
    let (kind, more) = match passed {
        None => ("approval_request", json!({"rule": request.rule, "rule_hash": request.rule_hash})),
        Some(Passed::Grant(grant)) => {
            ("approval_auto_approve", json!({"grant": grant.id, "uses": grant.uses}))
        }
        Some(Passed::Itself { by, reason }) => ("approval_auto_approve", json!({"by": by, "reason": reason})),
    };
    let by = By { actor: &request.requester, via: DecidedVia::System, now: request.now };
    note(connection, &created, kind, by, more)?;
    Ok(created)
}
