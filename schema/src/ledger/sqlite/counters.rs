//! Counters of rules. All counters of a request are one transaction: whatever comes at once, none passes its limit, and no
//! judgement stands on a number that has moved on.
//!
//! Invariant: what is reserved is counted from the beginning. Only its owner gives it back, once; when that is dead, it is
//! used.

use super::fail::Fail;
use super::runs;
use super::{Counter, CounterOutcome, CounterRequest, CounterReservation};
use crate::{RunId, ScopeKind};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

/// How long the windows that have ended are kept: a clock may go back, and people may look.
const KEPT: i64 = 2 * 24 * 3600 * 1000;

/// See [`super::Ledger::counter_reserve`].
pub(super) fn reserve(
    connection: &Connection,
    owner: &str,
    request: &CounterRequest,
) -> Result<CounterOutcome, Fail> {
    runs::require_live(connection, &request.run)?;
    for bound in &request.bounds {
        let used = used(connection, &request.run, &bound.counter)?;
        if used < bound.at_least || used > bound.at_most {
            return Ok(CounterOutcome::Changed);
        }
    }
    let id = Uuid::now_v7().to_string();
    for (index, step) in request.steps.iter().enumerate() {
        let key = scope_key(connection, &request.run, step.counter.scope)?;
        let used = used_of(connection, &key, &step.counter)?;
        // Another step of the same request may have added to it.
        let after = used.saturating_add(step.add.max(0));
        if step.limit.is_some_and(|limit| after > limit) {
            give_back(connection, &id, None)?;
            return Ok(CounterOutcome::Limited { step: index, used });
        }
        add(connection, &id, owner, index, &key, &step.counter, after - used, request.now)?;
    }
    Ok(CounterOutcome::Reserved(CounterReservation(id)))
}

/// See [`super::Ledger::counter_settle`].
pub(super) fn settle(connection: &Connection, id: &CounterReservation, back: &[usize]) -> Result<bool, Fail> {
    let mut ended = 0;
    for step in back {
        ended += give_back(connection, &id.0, Some(*step))?;
    }
    let mut statement = connection.prepare_cached("DELETE FROM counter_reservations WHERE id = ?1")?;
    ended += statement.execute([&id.0])?;
    Ok(ended > 0)
}

/// See [`super::Ledger::counter_fetch`].
pub(super) fn fetch(connection: &Connection, run: &RunId, counters: &[Counter]) -> Result<Vec<i64>, Fail> {
    counters.iter().map(|counter| used(connection, run, counter)).collect()
}

/// Has what a dead owner reserved stay used.
pub(super) fn keep(connection: &Connection, owner: &str) -> Result<(), Fail> {
    connection.prepare_cached("DELETE FROM counter_reservations WHERE owner = ?1")?.execute([owner])?;
    Ok(())
}

fn used(connection: &Connection, run: &RunId, counter: &Counter) -> Result<i64, Fail> {
    let key = scope_key(connection, run, counter.scope)?;
    used_of(connection, &key, counter)
}

fn used_of(connection: &Connection, key: &str, counter: &Counter) -> Result<i64, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT used FROM counters
         WHERE scope = ?1 AND scope_key = ?2 AND name = ?3 AND window_start = ?4 AND window_end = ?5",
    )?;
    let Counter { scope, name, window_start, window_end } = counter;
    let used =
        statement.query_row(params![scope.name(), key, name, window_start, window_end], |row| row.get(0));
    Ok(used.optional()?.unwrap_or(0))
}

#[allow(clippy::too_many_arguments, reason = "the columns of one row")]
fn add(
    connection: &Connection,
    id: &str,
    owner: &str,
    step: usize,
    key: &str,
    counter: &Counter,
    added: i64,
    now: i64,
) -> Result<(), Fail> {
    let Counter { scope, name, window_start, window_end } = counter;
    let place = params![scope.name(), key, name, window_start, window_end, added];
    let added_to = connection
        .prepare_cached(
            "UPDATE counters SET used = used + ?6
             WHERE scope = ?1 AND scope_key = ?2 AND name = ?3 AND window_start = ?4 AND window_end = ?5",
        )?
        .execute(place)?;
    if added_to == 0 {
        // A window begins, and with it old ones are forgotten: that happens as seldom as it has to.
        sweep(connection, now)?;
        connection
            .prepare_cached(
                "INSERT INTO counters (scope, scope_key, name, window_start, window_end, used)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(place)?;
    }
    connection
        .prepare_cached(
            "INSERT INTO counter_reservations
               (id, step, owner, scope, scope_key, name, window_start, window_end, added)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            id,
            i64::try_from(step).unwrap_or(i64::MAX),
            owner,
            scope.name(),
            key,
            name,
            window_start,
            window_end,
            added
        ])?;
    Ok(())
}

/// Takes back what a step has added, or all steps have; in its own window, whatever window is now. How many there were.
fn give_back(connection: &Connection, id: &str, step: Option<usize>) -> Result<usize, Fail> {
    let step = step.map(|step| i64::try_from(step).unwrap_or(i64::MAX));
    let mut statement = connection.prepare_cached(
        "DELETE FROM counter_reservations WHERE id = ?1 AND (?2 IS NULL OR step = ?2)
         RETURNING scope, scope_key, name, window_start, window_end, added",
    )?;
    let rows = statement
        .query_map(params![id, step], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, i64>(3)?,
                row.get::<_, i64>(4)?,
                row.get::<_, i64>(5)?,
            ))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut taken = connection.prepare_cached(
        "UPDATE counters SET used = max(used - ?6, 0)
         WHERE scope = ?1 AND scope_key = ?2 AND name = ?3 AND window_start = ?4 AND window_end = ?5",
    )?;
    for (scope, key, name, start, end, added) in &rows {
        taken.execute(params![scope, key, name, start, end, added])?;
    }
    Ok(rows.len())
}

fn sweep(connection: &Connection, now: i64) -> Result<(), Fail> {
    let before = now.saturating_sub(KEPT);
    for table in ["counters", "counter_reservations"] {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE window_end < ?1"))?
            .execute([before])?;
    }
    Ok(())
}

/// The run's own name for a scope. Agents without a name count together.
fn scope_key(connection: &Connection, run: &RunId, scope: ScopeKind) -> Result<String, Fail> {
    if scope == ScopeKind::Global {
        return Ok(String::new());
    }
    let mut statement =
        connection.prepare_cached("SELECT scope_key FROM run_scopes WHERE run_id = ?1 AND scope = ?2")?;
    let key = statement.query_row(params![run.as_str(), scope.name()], |row| row.get(0));
    Ok(key.optional()?.unwrap_or_default())
}
