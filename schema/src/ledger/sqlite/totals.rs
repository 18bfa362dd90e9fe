//! What a budget has spent. `totals.charged` is the sum of `usage.charged` of its scope and provider since
//! `window_start`, always; a row that is asked for and missing is built from usage in the same transaction, so a
//! changed limit or window never loses or invents a token.

use super::fail::Fail;
use super::rows::amount;
use super::{AskedLimit, Balance};
use crate::{Provider, RunId, Scope, ScopeKind};
use rusqlite::{Connection, OptionalExtension, named_params, params};

/// How far back rows of past windows are kept. Longer than any window, so that no current one is thrown away.
const KEPT: i64 = 40 * 24 * 3600 * 1000;

/// What is committed under an asked limit; the row is kept from here on.
pub(super) fn spent(connection: &Connection, asked: &AskedLimit) -> Result<u64, Fail> {
    let (scope, provider) = (&asked.limit.scope, &asked.limit.provider);
    if let Some(charged) = kept(connection, scope, provider, asked.window_start)? {
        return Ok(charged);
    }
    let charged = summed(connection, scope, provider, asked.window_start)?;
    let key =
        params![scope.kind.name(), scope.key, provider.as_str(), asked.window_start, charged.cast_signed()];
    connection
        .prepare_cached(
            "INSERT INTO totals (scope, scope_key, provider, window_start, charged) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(key)?;
    // A settle adds to every window that has begun, so those long past are not dragged along for ever.
    connection
        .prepare_cached(
            "DELETE FROM totals
             WHERE scope = ?1 AND scope_key = ?2 AND provider = ?3 AND window_start > 0 AND window_start < ?4",
        )?
        .execute(params![
            scope.kind.name(),
            scope.key,
            provider.as_str(),
            asked.window_start.saturating_sub(KEPT)
        ])?;
    Ok(charged)
}

/// What is reserved by requests in flight, of the same scope, provider and window.
pub(super) fn held(
    connection: &Connection,
    scope: &Scope,
    provider: &Provider,
    window_start: i64,
) -> Result<u64, Fail> {
    // CROSS JOIN: from the few holds to their runs, never from every run of the scope to its holds.
    let mut statement = connection.prepare_cached(
        "SELECT CAST(total(holds.tokens) AS INTEGER) AS tokens
         FROM holds CROSS JOIN run_scopes USING (run_id)
         WHERE run_scopes.scope = :scope AND run_scopes.scope_key = :key
           AND (:provider = 'any' OR holds.provider = :provider) AND holds.placed_at >= :start",
    )?;
    Ok(statement.query_row(
        named_params! {
            ":scope": scope.kind.name(), ":key": scope.key, ":provider": provider.as_str(), ":start": window_start
        },
        |row| amount(row, "tokens"),
    )?)
}

/// See [`super::Ledger::budget_fetch`]: reads only, and so sums where no row is kept.
pub(super) fn balance(
    connection: &Connection,
    scope: &Scope,
    provider: &Provider,
    window_start: i64,
) -> Result<Balance, Fail> {
    let spent = match kept(connection, scope, provider, window_start)? {
        Some(charged) => charged,
        None => summed(connection, scope, provider, window_start)?,
    };
    Ok(Balance { spent, held: held(connection, scope, provider, window_start)? })
}

/// Adds to every kept total that a usage row of this run, provider and time counts in.
pub(super) fn add(
    connection: &Connection,
    run: &RunId,
    provider: &Provider,
    started_at: i64,
    charged: i64,
) -> Result<(), Fail> {
    // An overflowing sum is a floating-point number in SQLite; min and max bring it back into range.
    let mut statement = connection.prepare_cached(
        "UPDATE totals SET charged = max(0, min(charged + ?4, 9223372036854775807))
         WHERE (scope, scope_key) IN (SELECT scope, scope_key FROM run_scopes WHERE run_id = ?1)
           AND provider IN (?2, 'any') AND window_start <= ?3",
    )?;
    statement.execute(params![run.as_str(), provider.as_str(), started_at, charged])?;
    Ok(())
}

fn kept(
    connection: &Connection,
    scope: &Scope,
    provider: &Provider,
    window_start: i64,
) -> Result<Option<u64>, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT charged FROM totals WHERE scope = ?1 AND scope_key = ?2 AND provider = ?3 AND window_start = ?4",
    )?;
    let key = params![scope.kind.name(), scope.key, provider.as_str(), window_start];
    Ok(statement.query_row(key, |row| amount(row, "charged")).optional()?)
}

/// The sum itself. `total` rather than `sum`: it never overflows, and is exact for every sum below 2^53.
fn summed(
    connection: &Connection,
    scope: &Scope,
    provider: &Provider,
    window_start: i64,
) -> Result<u64, Fail> {
    let mut statement = connection.prepare_cached(match scope.kind {
        // Every run is in the global scope.
        ScopeKind::Global => {
            "SELECT CAST(total(charged) AS INTEGER) AS charged FROM usage
             WHERE started_at >= :start AND (:provider = 'any' OR provider = :provider)
               AND :scope = 'global' AND :key = ''"
        }
        _ => {
            "SELECT CAST(total(usage.charged) AS INTEGER) AS charged
             FROM run_scopes CROSS JOIN usage USING (run_id)
             WHERE run_scopes.scope = :scope AND run_scopes.scope_key = :key
               AND usage.started_at >= :start AND (:provider = 'any' OR usage.provider = :provider)"
        }
    })?;
    Ok(statement.query_row(
        named_params! {
            ":scope": scope.kind.name(), ":key": scope.key, ":provider": provider.as_str(), ":start": window_start
        },
        |row| amount(row, "charged"),
    )?)
}
