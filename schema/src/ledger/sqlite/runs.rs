//! Runs and the scopes they are charged to. The scopes are fixed at launch: a bottle that gets another parent later
//! does not move what its runs have used.

use super::audit::{self, HUDSON, Launch};
use super::fail::Fail;
use super::rows::{parse, parsed, parsed_option};
use super::{NewRun, RunRecord, blocks, owners};
use crate::{BottleName, RunId, Scope, ScopeKind};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;
use std::path::Path;

/// See [`super::Ledger::run_insert`]. `owner` is this process.
pub(super) fn insert(connection: &Connection, run: &NewRun, owner: &str) -> Result<(), Fail> {
    let launch = serde_json::to_string(&run.launch).map_err(|error| Fail::Other(Box::new(error)))?;
    let inserted = connection.execute(
        "INSERT INTO runs (id, bottle, agent, parent, credential_hash, launch, started_at, supervisor)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING",
        params![
            run.id.as_str(),
            run.bottle.as_str(),
            run.agent.as_ref().map(|agent| agent.as_str()),
            chain(&run.parents),
            run.credential_hash,
            launch,
            run.started_at,
            run.supervised.then_some(owner)
        ],
    )?;
    if inserted == 0 {
        return Err(Fail::Other(format!("there is a run {} already", run.id).into()));
    }
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO run_scopes (run_id, scope, scope_key, rank) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (rank, scope) in (0_i64..).zip(scopes(run)) {
        statement.execute(params![run.id.as_str(), scope.kind.name(), scope.key, rank])?;
    }
    let launch = Launch { run: &run.id, agent: run.agent.as_ref(), parents: &run.parents };
    audit::append(connection, run.started_at, "run_start", HUDSON, Some(run.bottle.as_str()), &launch)
}

/// Every scope of a run, the most specific first. A parent's budget counts "the parent and every bottle below it", so
/// a bottle's own runs count in its parent scope as well.
fn scopes(run: &NewRun) -> Vec<Scope> {
    let mut scopes = vec![Scope::new(ScopeKind::Run, run.id.as_str())];
    scopes.extend(run.agent.as_ref().map(|agent| Scope::new(ScopeKind::Agent, agent.as_str())));
    scopes.push(Scope::new(ScopeKind::Bottle, run.bottle.as_str()));
    scopes.push(Scope::new(ScopeKind::Parent, run.bottle.as_str()));
    scopes.extend(run.parents.iter().map(|parent| Scope::new(ScopeKind::Parent, parent.as_str())));
    scopes.push(Scope::global());
    scopes
}

/// See [`super::Ledger::run_fetch`].
pub(super) fn fetch(connection: &Connection, id: &RunId) -> Result<Option<RunRecord>, Fail> {
    let mut statement = connection.prepare_cached("SELECT * FROM runs WHERE id = ?1")?;
    Ok(statement.query_row([id.as_str()], record).optional()?)
}

/// See [`super::Ledger::run_list`].
pub(super) fn list(connection: &Connection, live: bool) -> Result<Vec<RunRecord>, Fail> {
    let mut statement = connection.prepare_cached(match live {
        true => "SELECT * FROM runs WHERE finished_at IS NULL ORDER BY started_at DESC, rowid DESC",
        false => "SELECT * FROM runs ORDER BY started_at DESC, rowid DESC",
    })?;
    let runs = statement.query_map((), record)?.collect::<rusqlite::Result<_>>()?;
    Ok(runs)
}

/// See [`super::Ledger::run_orphans`]. `own` is this process, which lives.
pub(super) fn orphans(connection: &Connection, dir: &Path, own: &str) -> Result<Vec<RunRecord>, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT *, supervisor FROM runs WHERE finished_at IS NULL AND supervisor <> ?1 ORDER BY started_at",
    )?;
    let supervised = statement
        .query_map([own], |row| Ok((row.get("supervisor")?, record(row)?)))?
        .collect::<rusqlite::Result<Vec<(String, RunRecord)>>>()?;
    let mut orphans = Vec::new();
    for (supervisor, run) in supervised {
        if !owners::lives(dir, &supervisor)? {
            orphans.push(run);
        }
    }
    Ok(orphans)
}

/// See [`super::Ledger::run_rotate`].
pub(super) fn rotate(
    connection: &Connection,
    id: &RunId,
    credential_hash: [u8; 32],
    now: i64,
) -> Result<(), Fail> {
    require_live(connection, id)?;
    connection
        .prepare_cached("UPDATE runs SET credential_hash = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), credential_hash])?;
    audit::append_of_run(connection, now, "run_rotate", id, json!({}))
}

/// See [`super::Ledger::run_finish`]. The first end wins.
pub(super) fn finish(
    connection: &Connection,
    id: &RunId,
    finished_at: i64,
    exit_code: Option<i32>,
) -> Result<(), Fail> {
    let finished = connection.execute(
        "UPDATE runs SET finished_at = ?2, exit_code = ?3 WHERE id = ?1 AND finished_at IS NULL",
        params![id.as_str(), finished_at, exit_code],
    )?;
    match finished {
        0 if fetch(connection, id)?.is_none() => Err(Fail::Missing("run", id.to_string())),
        0 => Ok(()),
        _ => {
            audit::append_of_run(connection, finished_at, "run_finish", id, json!({"exit_code": exit_code}))?;
            // What was ordered for this run alone has nothing left to stop.
            blocks::forget(connection, id, finished_at)
        }
    }
}

/// An error unless the run is there and has not ended.
pub(super) fn require_live(connection: &Connection, id: &RunId) -> Result<(), Fail> {
    match is_live(connection, id)? {
        true => Ok(()),
        false => Err(Fail::Missing("live run", id.to_string())),
    }
}

/// Whether the run is there and has not ended.
pub(super) fn is_live(connection: &Connection, id: &RunId) -> Result<bool, Fail> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM runs WHERE id = ?1 AND finished_at IS NULL")?;
    Ok(statement.exists([id.as_str()])?)
}

/// The runs of a scope that have not ended.
pub(super) fn live_of(connection: &Connection, scope: &Scope) -> Result<Vec<RunId>, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT runs.id FROM run_scopes JOIN runs ON runs.id = run_scopes.run_id
         WHERE run_scopes.scope = ?1 AND run_scopes.scope_key = ?2 AND runs.finished_at IS NULL",
    )?;
    let key = params![scope.kind.name(), scope.key];
    let runs = statement.query_map(key, |row| parsed(row, "id"))?.collect::<rusqlite::Result<_>>()?;
    Ok(runs)
}

fn chain(parents: &[BottleName]) -> Option<String> {
    let names: Vec<_> = parents.iter().map(BottleName::as_str).collect();
    (!names.is_empty()).then(|| names.join("/"))
}

fn record(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    let parents = row.get::<_, Option<String>>("parent")?.unwrap_or_default();
    let parents = parents.split('/').filter(|name| !name.is_empty());
    Ok(RunRecord {
        id: parsed(row, "id")?,
        bottle: parsed(row, "bottle")?,
        agent: parsed_option(row, "agent")?,
        parents: parents.map(|name| parse(row, "parent", name)).collect::<rusqlite::Result<_>>()?,
        credential_hash: row.get("credential_hash")?,
        launch: parsed(row, "launch")?,
        started_at: row.get("started_at")?,
        finished_at: row.get("finished_at")?,
        exit_code: row.get("exit_code")?,
    })
}
