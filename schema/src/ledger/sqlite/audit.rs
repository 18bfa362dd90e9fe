//! Appending to the audit, in the transaction of what it tells, and reading it.

use super::audit_record::{AuditRecord, FIRST, Hash};
use super::fail::Fail;
use crate::{AgentName, BottleName, RunId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

/// Hudson itself, as an actor.
pub(super) const HUDSON: &str = "hudson";

/// Appends one row.
pub(super) fn append(
    connection: &Connection,
    ts: i64,
    kind: &str,
    actor: &str,
    bottle: Option<&str>,
    data: &impl Serialize,
) -> Result<(), Fail> {
    append_at(connection, ts, kind, actor, bottle, data).map(drop)
}

/// The same; its place.
pub(super) fn append_at(
    connection: &Connection,
    ts: i64,
    kind: &str,
    actor: &str,
    bottle: Option<&str>,
    data: &impl Serialize,
) -> Result<i64, Fail> {
    let last = connection
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row((), |row| Ok((row.get::<_, i64>(0)?, Hash(row.get(1)?))))
        .optional()?;
    let (seq, prev_hash) = last.unwrap_or((0, FIRST));
    let data = serde_json::to_string(data).map_err(|error| Fail::Other(Box::new(error)))?;
    let mut row = AuditRecord {
        seq: seq + 1,
        ts,
        kind: kind.to_owned(),
        actor: actor.to_owned(),
        bottle: bottle.map(str::to_owned),
        data,
        prev_hash,
        hash: FIRST,
    };
    row.hash = row.hashed();
    connection
        .prepare_cached(
            "INSERT INTO audit (seq, ts, kind, actor, bottle, data, prev_hash, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            row.seq,
            row.ts,
            row.kind,
            row.actor,
            row.bottle,
            row.data,
            row.prev_hash.0,
            row.hash.0
        ])?;
    Ok(row.seq)
}

/// The same about a run: its bottle, and its id and agent beside `data`.
pub(super) fn append_of_run(
    connection: &Connection,
    ts: i64,
    kind: &str,
    run: &RunId,
    data: impl Serialize,
) -> Result<(), Fail> {
    let mut statement = connection.prepare_cached("SELECT bottle, agent FROM runs WHERE id = ?1")?;
    let found = statement
        .query_row([run.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))
        .optional()?;
    let (bottle, agent) = found.unzip();
    let data = OfRun { run: run.as_str(), agent: agent.flatten(), data };
    append(connection, ts, kind, HUDSON, bottle.as_deref(), &data)
}

#[derive(Serialize)]
struct OfRun<'a, D> {
    run: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(flatten)]
    data: D,
}

/// A launch, as it is told.
#[derive(Serialize)]
pub(super) struct Launch<'a> {
    pub(super) run: &'a RunId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) agent: Option<&'a AgentName>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) parents: &'a [BottleName],
}

/// See [`super::Ledger::audit_list`].
pub(super) fn list(connection: &Connection, after: i64, most: usize) -> Result<Vec<AuditRecord>, Fail> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![after, most], record)?.collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}

/// See [`super::Ledger::audit_last`].
pub(super) fn last(connection: &Connection) -> Result<i64, Fail> {
    Ok(connection.query_row("SELECT ifnull(max(seq), 0) FROM audit", (), |row| row.get(0))?)
}

fn record(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    Ok(AuditRecord {
        seq: row.get("seq")?,
        ts: row.get("ts")?,
        kind: row.get("kind")?,
        actor: row.get("actor")?,
        bottle: row.get("bottle")?,
        data: row.get("data")?,
        prev_hash: hash(row, "prev_hash")?,
        hash: hash(row, "hash")?,
    })
}

/// A hash; one of another length was not written by us, and fits nothing.
fn hash(row: &Row<'_>, column: &str) -> rusqlite::Result<Hash> {
    let bytes: Vec<u8> = row.get(column)?;
    Ok(Hash(bytes.try_into().unwrap_or([0xff; 32])))
}
