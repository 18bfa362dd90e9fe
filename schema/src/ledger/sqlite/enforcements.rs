//! What is done about a crossing, run by run. A row is planned once per run and crossing, and each of its steps is
//! taken by one process only, so that a crash is resumed and nothing is done twice.

use super::audit;
use super::blocks::BlockRow;
use super::fail::Fail;
use super::rows::{parsed, policy, scope};
use super::{Action, Enforcement, EnforcementState, outbox};
use crate::RunId;
use rusqlite::{Connection, Row, named_params, params};
use serde_json::json;

/// Plans for one run of the block's scope, once for each block, and only while the run lives.
pub(super) fn plan(connection: &Connection, run: &RunId, row: &BlockRow, now: i64) -> Result<(), Fail> {
    let block = &row.block;
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO enforcements
           (run_id, bottle, policy, scope, scope_key, cause, state, created_at, block_id, ordered)
         SELECT runs.id, runs.bottle, :policy, :scope, :key, :cause, 'planned', :now, :block, :ordered
         FROM runs JOIN run_scopes ON run_scopes.run_id = runs.id
         WHERE runs.id = :run AND runs.finished_at IS NULL
           AND run_scopes.scope = :scope AND run_scopes.scope_key = :key
           -- Once, also where the policy was changed since.
           AND NOT EXISTS (SELECT 1 FROM enforcements
                           WHERE run_id = :run AND block_id = :block AND policy <> 'resume')",
    )?;
    let planned = statement.execute(named_params! {
        ":run": run.as_str(),
        ":scope": block.scope.kind.name(),
        ":key": block.scope.key,
        ":policy": block.policy.name(),
        ":cause": block.cause,
        ":block": row.id,
        ":now": now,
        ":ordered": block.budget.is_none(),
    })?;
    match planned {
        0 => Ok(()),
        _ => {
            let told = json!({"policy": block.policy, "scope": block.scope, "cause": block.cause});
            audit::append_of_run(connection, now, "enforcement_plan", run, told)
        }
    }
}

/// Closes what was planned for a block that is lifted, and not begun: nobody must be killed for what no longer stands. A
/// cutoff is done with the block itself.
pub(super) fn withdraw(connection: &Connection, block: i64, now: i64) -> Result<(), Fail> {
    let mut statement = connection
        .prepare_cached("SELECT id, policy FROM enforcements WHERE block_id = ?1 AND state = 'planned'")?;
    let planned: Vec<(i64, Action)> = statement
        .query_map([block], |row| Ok((row.get("id")?, action(row)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, action) in planned {
        let (to, detail) = match action {
            Action::Cutoff => (EnforcementState::Done, "egress was cut off until the block was lifted"),
            Action::Freeze | Action::Kill => (EnforcementState::Failed, "lifted before it was carried out"),
            // What ends a freeze is not ended with what began it.
            Action::Resume => continue,
        };
        advance(connection, id, EnforcementState::Planned, to, detail, now)?;
    }
    Ok(())
}

/// Plans that what the last freeze of a run has stopped is brought back; `false` when it is not frozen.
pub(super) fn resume(connection: &Connection, run: &RunId, actor: &str, now: i64) -> Result<bool, Fail> {
    let rows = list(connection, Some(run))?;
    let frozen = super::is_frozen(&rows);
    let freeze = rows.iter().rfind(|row| row.action == Action::Freeze && row.state == EnforcementState::Done);
    let Some(freeze) = freeze.filter(|_| frozen) else { return Ok(false) };
    let planned = connection
        .prepare_cached(
            "INSERT INTO enforcements
               (run_id, bottle, policy, scope, scope_key, cause, state, created_at, block_id, ordered)
             SELECT run_id, bottle, 'resume', scope, scope_key, ?2, 'planned', ?3, block_id, 1
             FROM enforcements WHERE id = ?1
             ON CONFLICT (run_id, block_id, policy) DO UPDATE
               SET state = 'planned', detail = '', created_at = ?3, finished_at = NULL, cause = ?2
               WHERE state = 'failed'",
        )?
        .execute(params![freeze.id, format!("resumed by {actor}"), now])?;
    if planned > 0 {
        audit::append_of_run(
            connection,
            now,
            "enforcement_plan",
            run,
            json!({"policy": Action::Resume, "scope": freeze.scope, "cause": format!("resumed by {actor}")}),
        )?;
    }
    Ok(true)
}

/// See [`super::Ledger::enforcement_list`].
pub(super) fn list(connection: &Connection, run: Option<&RunId>) -> Result<Vec<Enforcement>, Fail> {
    let mut statement = connection
        .prepare_cached("SELECT * FROM enforcements WHERE ?1 IS NULL OR run_id = ?1 ORDER BY id")?;
    let rows = statement.query_map([run.map(RunId::as_str)], record)?.collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}

/// See [`super::Ledger::enforcement_open`].
pub(super) fn open(connection: &Connection) -> Result<Vec<Enforcement>, Fail> {
    let mut statement = connection
        .prepare_cached("SELECT * FROM enforcements WHERE state IN ('planned', 'started') ORDER BY id")?;
    let rows = statement.query_map((), record)?.collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}

/// See [`super::Ledger::enforcement_advance`].
pub(super) fn advance(
    connection: &Connection,
    id: i64,
    from: EnforcementState,
    to: EnforcementState,
    detail: &str,
    now: i64,
) -> Result<bool, Fail> {
    let ended = matches!(to, EnforcementState::Done | EnforcementState::Failed);
    let mut statement = connection.prepare_cached(
        "UPDATE enforcements SET state = ?3, detail = ?4, finished_at = ?5 WHERE id = ?1 AND state = ?2",
    )?;
    let advanced = statement.execute(params![id, from.name(), to.name(), detail, ended.then_some(now)])?;
    if advanced == 0
        && !connection.prepare_cached("SELECT 1 FROM enforcements WHERE id = ?1")?.exists([id])?
    {
        return Err(Fail::Missing("enforcement", id.to_string()));
    }
    if advanced > 0 {
        let mut statement = connection.prepare_cached("SELECT run_id FROM enforcements WHERE id = ?1")?;
        let run = statement.query_row([id], |row| parsed(row, "run_id"))?;
        let told = json!({"enforcement": id, "state": to, "detail": detail});
        audit::append_of_run(connection, now, "enforcement_advance", &run, told)?;
        // What was withdrawn before it was tried has not failed.
        if (from, to) == (EnforcementState::Started, EnforcementState::Failed) {
            let mut statement = connection.prepare_cached("SELECT * FROM enforcements WHERE id = ?1")?;
            outbox::failed(connection, &statement.query_row([id], record)?, now)?;
        }
    }
    Ok(advanced > 0)
}

/// The column `policy`, where more than policies stand.
fn action(row: &Row<'_>) -> rusqlite::Result<Action> {
    match row.get::<_, String>("policy")?.as_str() {
        "resume" => Ok(Action::Resume),
        _ => policy(row).map(Action::from),
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Enforcement> {
    let state = match row.get::<_, String>("state")?.as_str() {
        "planned" => EnforcementState::Planned,
        "started" => EnforcementState::Started,
        "done" => EnforcementState::Done,
        // The table allows no fifth.
        _ => EnforcementState::Failed,
    };
    Ok(Enforcement {
        id: row.get("id")?,
        run_id: parsed(row, "run_id")?,
        bottle: parsed(row, "bottle")?,
        action: action(row)?,
        scope: scope(row)?,
        cause: row.get("cause")?,
        ordered: row.get("ordered")?,
        state,
        detail: row.get("detail")?,
        created_at: row.get("created_at")?,
        finished_at: row.get("finished_at")?,
    })
}
