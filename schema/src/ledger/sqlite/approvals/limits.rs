//! How often people may be asked. Only what asked them counts: not what was answered by an approval that there was, by a
//! denial that is remembered, or by a grant, and not what was refused here.

use super::super::fail::Fail;
use crate::ledger::approval::{ApprovalId, ApprovalRequest, Rate, SubmitOutcome};
use rusqlite::{Connection, OptionalExtension, params};

/// Why people are not asked about this, if so. `replaced` makes room for it.
pub(super) fn refusal(
    connection: &Connection,
    request: &ApprovalRequest,
    replaced: Option<&ApprovalId>,
) -> Result<Option<SubmitOutcome>, Fail> {
    let rules = &request.rules;
    if let Some(rate) = rules.fatigue {
        let asked = asked(connection, request, None, rate)?;
        if asked >= rate.count {
            return Ok(Some(SubmitOutcome::Fatigued { asked, window: rate.window }));
        }
    }
    let pending = pending(connection, request, replaced)?;
    if pending >= rules.max_pending {
        return Ok(Some(SubmitOutcome::TooManyPending { pending }));
    }
    let Some(rate) = rules.rate else { return Ok(None) };
    let asked = asked(connection, request, Some(&request.rate_key), rate)?;
    if asked < rate.count {
        return Ok(None);
    }
    let retry_at = room_at(connection, request, rate, asked)?;
    Ok(Some(SubmitOutcome::RateLimited { remaining: 0, window: rate.window, retry_at }))
}

/// How often the bottle has asked in the window, for one action or for any.
fn asked(
    connection: &Connection,
    request: &ApprovalRequest,
    rate_key: Option<&str>,
    rate: Rate,
) -> Result<u32, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM approvals WHERE status <> 'auto_approved' AND bottle = ?1 AND created_at > ?2
           AND (?3 IS NULL OR rate_key = ?3)",
    )?;
    let since = request.now.saturating_sub(rate.window);
    Ok(statement.query_row(params![request.bottle.as_str(), since, rate_key], |row| row.get(0))?)
}

/// When enough of those in the window have left it.
fn room_at(connection: &Connection, request: &ApprovalRequest, rate: Rate, asked: u32) -> Result<i64, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT created_at FROM approvals WHERE status <> 'auto_approved' AND bottle = ?1 AND created_at > ?2
           AND rate_key = ?3 ORDER BY created_at LIMIT 1 OFFSET ?4",
    )?;
    let (bottle, since) = (request.bottle.as_str(), request.now.saturating_sub(rate.window));
    let leaves = statement
        .query_row(params![bottle, since, request.rate_key, asked.saturating_sub(rate.count)], |row| {
            row.get(0)
        })
        .optional()?;
    // Where none is allowed at all, there is never room; a window later is soon enough to hear that again.
    Ok(leaves.unwrap_or(request.now).saturating_add(rate.window))
}

fn pending(
    connection: &Connection,
    request: &ApprovalRequest,
    replaced: Option<&ApprovalId>,
) -> Result<u32, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM approvals
         WHERE status = 'pending' AND bottle = ?1 AND decision_expires_at > ?2 AND id IS NOT ?3",
    )?;
    let asked = params![request.bottle.as_str(), request.now, replaced.map(ApprovalId::as_str)];
    Ok(statement.query_row(asked, |row| row.get(0))?)
}
