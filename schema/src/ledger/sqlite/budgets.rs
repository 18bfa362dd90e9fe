//! Limits that the operator sets while Hudson runs, and what a change of limits comes to. Totals are never touched: a
//! limit is only compared with them.

use super::audit;
use super::fail::Fail;
use super::rows::{limit, parsed, scope};
use super::{AskedLimit, LimitReview, Reviewed, blocks, runs, settle, warnings};
use crate::budget::{Amount, BudgetOverride};
use crate::{Provider, RunId, Scope};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

/// See [`super::Ledger::budget_override_set`].
pub(super) fn set(connection: &Connection, overrides: &[BudgetOverride]) -> Result<(), Fail> {
    for set in overrides {
        connection
            .prepare_cached(
                "INSERT INTO budget_overrides (scope, scope_key, provider, tokens, set_at, actor)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE SET tokens = excluded.tokens, set_at = excluded.set_at, actor = excluded.actor",
            )?
            .execute(params![
                set.scope.kind.name(),
                set.scope.key,
                set.provider.as_str(),
                limit(set.tokens.0),
                set.set_at,
                set.actor,
            ])?;
        let told = json!({"scope": set.scope, "provider": set.provider, "tokens": set.tokens});
        audit::append(connection, set.set_at, "budget_set", &set.actor, bottle(&set.scope), &told)?;
    }
    Ok(())
}

/// See [`super::Ledger::budget_override_clear`].
pub(super) fn clear(
    connection: &Connection,
    of: &Scope,
    providers: &[Provider],
    actor: &str,
    now: i64,
) -> Result<Vec<BudgetOverride>, Fail> {
    let mut cleared = list(connection)?;
    cleared.retain(|set| set.scope == *of && (providers.is_empty() || providers.contains(&set.provider)));
    for set in &cleared {
        connection
            .prepare_cached(
                "DELETE FROM budget_overrides WHERE scope = ?1 AND scope_key = ?2 AND provider = ?3",
            )?
            .execute(params![set.scope.kind.name(), set.scope.key, set.provider.as_str()])?;
        let told = json!({"scope": set.scope, "provider": set.provider, "tokens": set.tokens});
        audit::append(connection, now, "budget_clear", actor, bottle(of), &told)?;
    }
    Ok(cleared)
}

/// See [`super::Ledger::budget_override_list`]. A ledger that an older version wrote has none.
pub(super) fn list(connection: &Connection) -> Result<Vec<BudgetOverride>, Fail> {
    let known = "SELECT 1 FROM sqlite_schema WHERE name = 'budget_overrides'";
    if !connection.prepare_cached(known)?.exists(())? {
        return Ok(Vec::new());
    }
    let mut statement =
        connection.prepare_cached("SELECT * FROM budget_overrides ORDER BY scope, scope_key, provider")?;
    let rows = statement.query_map((), record)?.collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}

/// Whether the operator has set more than this limit in its place. Who found it crossed has not seen that yet, and must
/// not have a run killed for it.
pub(super) fn is_raised(connection: &Connection, asked: &AskedLimit) -> Result<bool, Fail> {
    let set = set_at(connection, &asked.limit.scope, &asked.limit.provider)?;
    Ok(set.is_some_and(|tokens| tokens > asked.limit.tokens))
}

/// What the operator has set for a provider at a scope, in tokens.
pub(super) fn set_at(
    connection: &Connection,
    scope: &Scope,
    provider: &Provider,
) -> Result<Option<u64>, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT tokens FROM budget_overrides WHERE scope = ?1 AND scope_key = ?2 AND provider = ?3",
    )?;
    let key = params![scope.kind.name(), scope.key, provider.as_str()];
    let set: Option<i64> = statement.query_row(key, |row| row.get(0)).optional()?;
    Ok(set.map(|tokens| u64::try_from(tokens).unwrap_or(0)))
}

/// See [`super::Ledger::budget_review`].
pub(super) fn review(
    connection: &Connection,
    run: &RunId,
    review: &LimitReview,
    now: i64,
) -> Result<Reviewed, Fail> {
    if !runs::is_live(connection, run)? {
        return Ok(Reviewed::default());
    }
    let crossings = settle::crossed(connection, run, &review.governing, now)?;
    let warnings = warnings::give(connection, &review.governing, &review.warn_at, now)?;
    // One that another run has crossed stops this one too.
    blocks::plan(connection, run, &review.governing, now)?;
    Ok(Reviewed { crossings, warnings })
}

/// The bottle that an audit row about a scope is of.
pub(super) fn bottle(scope: &Scope) -> Option<&str> {
    matches!(scope.kind, crate::ScopeKind::Bottle | crate::ScopeKind::Parent).then_some(scope.key.as_str())
}

fn record(row: &Row<'_>) -> rusqlite::Result<BudgetOverride> {
    let tokens: i64 = row.get("tokens")?;
    Ok(BudgetOverride {
        scope: scope(row)?,
        provider: parsed(row, "provider")?,
        tokens: Amount(u64::try_from(tokens).unwrap_or(0)),
        set_at: row.get("set_at")?,
        actor: row.get("actor")?,
    })
}
