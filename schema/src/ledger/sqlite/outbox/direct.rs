//! Who is told: each notification that has no channel yet gets one row for each that it is for. Whoever claims knows the
//! settings, and so does this.

use super::super::fail::Fail;
use super::{What, insert};
use crate::ledger::notification::{NotifyClaim, NotifyRules};
use crate::{BottleName, Scope, ScopeKind};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Deserialize;

/// What begins an approval's way.
const REQUESTED: &str = "approval_requested";
/// What is told together.
pub(super) const WAITING: &str = "approvals_waiting";
/// In which notifications are counted, in milliseconds.
const HOUR: i64 = 3600 * 1000;
/// Notifications in one transaction; the next claim goes on.
const MOST: u32 = 256;

/// What has no channel yet.
struct New {
    id: String,
    kind: String,
    payload: String,
    created_at: i64,
    next_at: i64,
}

/// What of its text says who is told.
#[derive(Deserialize)]
struct Of {
    bottle: Option<BottleName>,
    approval: Option<OfApproval>,
}

#[derive(Deserialize)]
struct OfApproval {
    id: String,
}

/// One row for each channel takes the place of the one without; nothing does where nobody is to be told.
pub(super) fn direct(connection: &Connection, claim: &NotifyClaim) -> Result<(), Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT id, kind, payload, created_at, next_at FROM notify_outbox
         WHERE channel = '' AND delivered_at IS NULL AND failed_at IS NULL ORDER BY created_at, id LIMIT ?1",
    )?;
    let new: Vec<New> = statement.query_map([MOST], new)?.collect::<rusqlite::Result<_>>()?;
    for one in &new {
        for channel in told(connection, claim, one)? {
            row(connection, one, &channel)?;
        }
        connection
            .prepare_cached("DELETE FROM notify_outbox WHERE id = ?1 AND channel = ''")?
            .execute([&one.id])?;
    }
    Ok(())
}

/// The channels that a notification is for.
fn told(connection: &Connection, claim: &NotifyClaim, new: &New) -> Result<Vec<String>, Fail> {
    let NotifyRules { first_success, per_hour } = claim.rules;
    let everybody = match first_success {
        // The next one is for who finds that this one fails.
        true => claim.channels.iter().take(1).cloned().collect(),
        false => claim.channels.clone(),
    };
    let of: Option<Of> = match new.kind.starts_with("approval_") {
        true => serde_json::from_str(&new.payload).ok(),
        false => None,
    };
    let Some(Of { bottle: Some(bottle), approval: Some(OfApproval { id }) }) = of else {
        return Ok(everybody);
    };
    if new.kind != REQUESTED {
        return match is_withheld(connection, &id)? {
            true => Ok(Vec::new()),
            false if first_success => asked(connection, &id, &claim.channels),
            false => Ok(everybody),
        };
    }
    if everybody.is_empty() {
        return Ok(everybody);
    }
    match count(connection, &bottle, per_hour, claim.now)? {
        Count::Told => Ok(everybody),
        Count::Summed(first) => {
            withhold(connection, &id, claim.now)?;
            if first {
                sum(connection, &bottle, &everybody, claim.now)?;
            }
            Ok(Vec::new())
        }
    }
}

/// What the count says of one more.
enum Count {
    Told,
    /// It is too much; whether it is the first that is.
    Summed(bool),
}

fn count(connection: &Connection, bottle: &BottleName, per_hour: u32, now: i64) -> Result<Count, Fail> {
    let known = connection
        .prepare_cached("SELECT since, told, summed FROM notify_quotas WHERE bottle = ?1")?
        .query_row([bottle.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, bool>(2)?))
        })
        .optional()?;
    // A clock that was put back begins anew, or it would be silent for as long.
    let current = known.filter(|(since, ..)| (0..HOUR).contains(&now.saturating_sub(*since)));
    let (since, told, summed) = current.unwrap_or((now, 0, false));
    let fits = told < per_hour;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO notify_quotas (bottle, since, told, summed) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![bottle.as_str(), since, told.saturating_add(u32::from(fits)), summed || !fits])?;
    Ok(if fits { Count::Told } else { Count::Summed(!summed) })
}

fn withhold(connection: &Connection, approval: &str, now: i64) -> Result<(), Fail> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO notify_withheld (approval_id, at) VALUES (?1, ?2)")?
        .execute(params![approval, now])?;
    Ok(())
}

fn is_withheld(connection: &Connection, approval: &str) -> Result<bool, Fail> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM notify_withheld WHERE approval_id = ?1")?
        .exists([approval])?)
}

/// Tells once of all that wait, in the place of those that are too many.
fn sum(connection: &Connection, bottle: &BottleName, channels: &[String], now: i64) -> Result<(), Fail> {
    let waiting: u64 = connection
        .prepare_cached(
            "SELECT count(*) FROM approvals WHERE bottle = ?1 AND status = 'pending' AND decision_expires_at > ?2",
        )?
        .query_row(params![bottle.as_str(), now], |row| row.get::<_, i64>(0))?
        .unsigned_abs();
    let scope = Scope::new(ScopeKind::Bottle, bottle.as_str());
    for channel in channels {
        let what = What { waiting: Some(waiting), ..What::default() };
        insert(connection, WAITING, &scope, what, channel, now)?;
    }
    Ok(())
}

/// The channels that were asked, or are about to be: what becomes of the request is for them.
fn asked(connection: &Connection, approval: &str, channels: &[String]) -> Result<Vec<String>, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT channel FROM notify_outbox
         WHERE kind = 'approval_requested' AND payload ->> '$.approval.id' = ?1 AND failed_at IS NULL",
    )?;
    let asked: Vec<String> =
        statement.query_map([approval], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(channels.iter().filter(|channel| asked.contains(channel)).cloned().collect())
}

fn row(connection: &Connection, new: &New, channel: &str) -> Result<(), Fail> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO notify_outbox (id, channel, kind, payload, created_at, next_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![new.id, channel, new.kind, new.payload, new.created_at, new.next_at])?;
    Ok(())
}

fn new(row: &Row<'_>) -> rusqlite::Result<New> {
    Ok(New {
        id: row.get(0)?,
        kind: row.get(1)?,
        payload: row.get(2)?,
        created_at: row.get(3)?,
        next_at: row.get(4)?,
    })
}
