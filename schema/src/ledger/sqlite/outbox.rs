//! The outbox. A notification is written in the transaction of what it tells, without a channel: who writes (a proxy that
//! settles, `hudson bottle cutoff`) need not know the settings. Who delivers knows them, and its first claim makes one
//! row for each channel of it. A claim is a row whose `next_at` was moved: a crash leaves it due again.

mod direct;

use super::channels;
use super::fail::Fail;
use super::rows::parsed_option;
use super::{
    AskedLimit, Block, Enforcement, Notification, NotifyClaim, NotifyEnd, NotifyFailure, NotifyState, budgets,
};
use crate::{BottleName, Policy, Provider, Scope, ScopeKind};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// Who is told when nobody has said yet who is.
const NOBODY: &str = "";
/// How long a channel may be unknown to those who deliver before what is for it is given up, in milliseconds. Shorter
/// could be a process whose settings are older than those of another.
const ABANDONED: i64 = 24 * 3600 * 1000;
/// How long what is over is kept, in milliseconds.
const KEPT: i64 = 30 * 24 * 3600 * 1000;

/// What is sent: the fields that apply.
#[derive(Serialize)]
struct Payload<'a> {
    schema: &'a str,
    event: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bottle: Option<BottleName>,
    scope: &'a Scope,
    #[serde(flatten)]
    what: What<'a>,
    created_at: String,
}

#[derive(Default, Serialize)]
struct What<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a Provider>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Policy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<&'a Value>,
    /// How many approvals of the bottle wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
}

/// Tells of a threshold that was passed.
pub(super) fn warning(
    connection: &Connection,
    asked: &AskedLimit,
    spent: u64,
    percent: u8,
    now: i64,
) -> Result<(), Fail> {
    let limit = &asked.limit;
    let what = What {
        provider: Some(&limit.provider),
        limit: Some(limit.tokens),
        spent: Some(spent),
        percent: Some(percent),
        policy: Some(limit.policy),
        cause: None,
        resets_at: asked.window_end.map(instant),
        approval: None,
        waiting: None,
    };
    insert(connection, "budget_warning", &limit.scope, what, NOBODY, now)
}

/// Tells of a scope that is stopped.
pub(super) fn stopped(connection: &Connection, block: &Block) -> Result<(), Fail> {
    insert(connection, "bottle_stopped", &block.scope, of(block), NOBODY, block.since)
}

/// Tells of a scope that is stopped no more, by this block at least.
pub(super) fn resumed(connection: &Connection, block: &Block, now: i64) -> Result<(), Fail> {
    insert(connection, "bottle_resumed", &block.scope, of(block), NOBODY, now)
}

/// Tells of what could not be done about a run: a person has to.
pub(super) fn failed(connection: &Connection, row: &Enforcement, now: i64) -> Result<(), Fail> {
    let cause = format!("the {} of this bottle failed: {}", row.action, row.detail);
    let what = What { cause: Some(&cause), ..What::default() };
    let scope = Scope::new(ScopeKind::Run, row.run_id.as_str());
    insert(connection, "enforcement_failed", &scope, what, NOBODY, now)
}

/// Tells of an approval of a bottle.
pub(super) fn approval(
    connection: &Connection,
    event: &str,
    bottle: &BottleName,
    told: &Value,
    now: i64,
) -> Result<(), Fail> {
    let what = What { approval: Some(told), ..What::default() };
    insert(connection, event, &Scope::new(ScopeKind::Bottle, bottle.as_str()), what, NOBODY, now)
}

fn of(block: &Block) -> What<'_> {
    let budget = block.budget.as_ref();
    What {
        provider: budget.map(|budget| &budget.provider),
        limit: budget.map(|budget| budget.limit),
        spent: budget.map(|budget| budget.spent),
        percent: None,
        policy: Some(block.policy),
        cause: Some(&block.cause),
        resets_at: budget.and_then(|budget| budget.window_end).map(instant),
        approval: None,
        waiting: None,
    }
}

fn insert(
    connection: &Connection,
    event: &str,
    scope: &Scope,
    what: What<'_>,
    channel: &str,
    now: i64,
) -> Result<(), Fail> {
    let id = Uuid::now_v7().to_string();
    let bottle = bottle(connection, scope)?;
    let payload = Payload { schema: "1", event, id: &id, bottle, scope, what, created_at: instant(now) };
    let payload = serde_json::to_string(&payload).map_err(|error| Fail::Other(Box::new(error)))?;
    connection
        .prepare_cached(
            "INSERT INTO notify_outbox (id, channel, kind, payload, created_at, next_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        )?
        .execute(params![id, channel, event, payload, now])?;
    Ok(())
}

/// The bottle that a scope is of, or in.
fn bottle(connection: &Connection, scope: &Scope) -> Result<Option<BottleName>, Fail> {
    if scope.kind != ScopeKind::Run {
        return Ok(budgets::bottle(scope).and_then(|name| name.parse().ok()));
    }
    let mut statement = connection.prepare_cached("SELECT bottle FROM runs WHERE id = ?1")?;
    Ok(statement.query_row([&scope.key], |row| parsed_option(row, "bottle")).optional()?.flatten())
}

/// RFC 3339, in UTC.
pub(super) fn instant(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| format!("{at} ms"), |instant| instant.to_string())
}

/// See [`super::Ledger::notify_next`].
pub(super) fn next(connection: &Connection, channels: &[String]) -> Result<Option<i64>, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT min(CASE WHEN channel = '' OR channel IN (SELECT value FROM json_each(:channels)) THEN next_at
                    ELSE max(next_at, created_at + :abandoned) END)
         FROM notify_outbox WHERE delivered_at IS NULL AND failed_at IS NULL",
    )?;
    let asked = named_params! {":channels": listed(channels)?, ":abandoned": ABANDONED};
    Ok(statement.query_row(asked, |row| row.get(0))?)
}

/// See [`super::Ledger::notify_claim`].
pub(super) fn claim(connection: &Connection, claim: &NotifyClaim) -> Result<Vec<Notification>, Fail> {
    let channels = listed(&claim.channels)?;
    tidy(connection, &channels, claim.now)?;
    direct::direct(connection, claim)?;
    let mut statement = connection.prepare_cached(
        "UPDATE notify_outbox SET attempts = attempts + 1, next_at = :until
         WHERE (id, channel) IN
           (SELECT id, channel FROM notify_outbox
            WHERE delivered_at IS NULL AND failed_at IS NULL AND next_at <= :now
              AND channel IN (SELECT value FROM json_each(:channels))
            ORDER BY created_at, id, channel LIMIT :most)
         RETURNING id, channel, kind, payload, attempts",
    )?;
    let asked = named_params! {
        ":until": claim.now.saturating_add(claim.lease),
        ":now": claim.now,
        ":channels": channels,
        ":most": i64::try_from(claim.most).unwrap_or(i64::MAX),
    };
    let mut claimed =
        statement.query_map(asked, notification)?.collect::<rusqlite::Result<Vec<Notification>>>()?;
    // The ids are in the order in which they were made; rows come back in any.
    claimed.sort_by(|one, other| (&one.id, &one.channel).cmp(&(&other.id, &other.channel)));
    Ok(claimed)
}

/// Gives up what is for channels that are gone, and forgets what has long been over.
fn tidy(connection: &Connection, channels: &str, now: i64) -> Result<(), Fail> {
    connection
        .prepare_cached(
            "UPDATE notify_outbox SET failed_at = ?2, error = 'the settings have no such channel any more'
             WHERE delivered_at IS NULL AND failed_at IS NULL AND next_at <= ?2 AND created_at <= ?3
               AND channel <> '' AND channel NOT IN (SELECT value FROM json_each(?1))",
        )?
        .execute(params![channels, now, now.saturating_sub(ABANDONED)])?;
    connection
        .prepare_cached("DELETE FROM notify_outbox WHERE ifnull(delivered_at, failed_at) < ?1")?
        .execute([now.saturating_sub(KEPT)])?;
    channels::tidy(connection, now.saturating_sub(KEPT))
}

/// See [`super::Ledger::notify_finish`].
pub(super) fn finish(
    connection: &Connection,
    claimed: &Notification,
    end: &NotifyEnd,
    now: i64,
) -> Result<bool, Fail> {
    let Notification { id, channel, attempt, .. } = claimed;
    let open = "id = ?1 AND channel = ?2 AND delivered_at IS NULL AND failed_at IS NULL";
    let changed = match end {
        // However late: what has arrived is not sent again.
        NotifyEnd::Delivered => connection
            .prepare_cached(&format!("UPDATE notify_outbox SET delivered_at = ?3, error = '' WHERE {open}"))?
            .execute(params![id, channel, now])?,
        // Not when somebody else is at it since.
        NotifyEnd::Again { at, error } => connection
            .prepare_cached(&format!(
                "UPDATE notify_outbox SET next_at = ?3, error = ?4 WHERE {open} AND attempts = ?5"
            ))?
            .execute(params![id, channel, at, error, attempt])?,
        NotifyEnd::Failed { error } | NotifyEnd::HandedOver { error, .. } => connection
            .prepare_cached(&format!(
                "UPDATE notify_outbox SET failed_at = ?3, error = ?4 WHERE {open} AND attempts = ?5"
            ))?
            .execute(params![id, channel, now, error, attempt])?,
    };
    if let (1.., NotifyEnd::HandedOver { to, .. }) = (changed, end) {
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO notify_outbox (id, channel, kind, payload, created_at, next_at)
                 SELECT id, ?3, kind, payload, created_at, ?4 FROM notify_outbox WHERE id = ?1 AND channel = ?2",
            )?
            .execute(params![id, channel, to, now])?;
    }
    Ok(changed > 0)
}

/// See [`super::Ledger::notify_state`]. A ledger that an older version wrote has none.
pub(super) fn state(connection: &Connection) -> Result<NotifyState, Fail> {
    let known = "SELECT 1 FROM sqlite_schema WHERE name = 'notify_outbox'";
    if !connection.prepare_cached(known)?.exists(())? {
        return Ok(NotifyState::default());
    }
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FILTER (WHERE channel <> ''), count(*) FILTER (WHERE channel = '')
         FROM notify_outbox WHERE delivered_at IS NULL AND failed_at IS NULL",
    )?;
    let (undelivered, undirected) =
        statement.query_row((), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    let mut statement = connection.prepare_cached(
        "SELECT * FROM notify_outbox WHERE delivered_at IS NULL AND error <> ''
         ORDER BY ifnull(failed_at, created_at) DESC, id DESC LIMIT 1",
    )?;
    Ok(NotifyState {
        undelivered: undelivered.unsigned_abs(),
        undirected: undirected.unsigned_abs(),
        last_failure: statement.query_row((), failure).optional()?,
        deaf: channels::faults(connection)?,
    })
}

/// Channels as SQLite's JSON functions take them.
fn listed(channels: &[String]) -> Result<String, Fail> {
    serde_json::to_string(channels).map_err(|error| Fail::Other(Box::new(error)))
}

fn notification(row: &Row<'_>) -> rusqlite::Result<Notification> {
    Ok(Notification {
        id: row.get("id")?,
        channel: row.get("channel")?,
        kind: row.get("kind")?,
        payload: row.get("payload")?,
        attempt: row.get("attempts")?,
    })
}

fn failure(row: &Row<'_>) -> rusqlite::Result<NotifyFailure> {
    let failed_at: Option<i64> = row.get("failed_at")?;
    let next_at: i64 = row.get("next_at")?;
    Ok(NotifyFailure {
        id: row.get("id")?,
        channel: row.get("channel")?,
        event: row.get("kind")?,
        created_at: row.get("created_at")?,
        attempts: row.get("attempts")?,
        error: row.get("error")?,
        next_at: failed_at.is_none().then_some(next_at),
        failed_at,
    })
}
