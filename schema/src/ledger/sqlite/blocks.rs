//! Scopes that are stopped. A block is made once per limit and window, in the transaction that found the crossing,
//! with a planned enforcement for the run that found it. It stands only against runs that its limit governs: under
//! `precedence: nearest` a run with a budget of its own goes on whatever a wider scope has spent.

use super::audit::{self, HUDSON};
use super::fail::Fail;
use super::rows::{limit, parsed, policy, scope, tokens};
use super::{
    AskedLimit, Block, BlockBudget, BlockOrder, LimitInForce, Resumption, budgets, enforcements, outbox, runs,
};
use crate::{Policy, RunId, Scope, ScopeKind};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::cmp::Reverse;

/// A block and where it is.
pub(super) struct BlockRow {
    pub(super) id: i64,
    /// How far its scope is from the run; 0 is the run itself.
    rank: i64,
    pub(super) block: Block,
}

/// The blocks against a run, the most severe first, of those the nearest. Blocks that have ended for good are deleted:
/// those of a past window, and those of a limit that now governs with more tokens.
pub(super) fn standing(
    connection: &Connection,
    run: &RunId,
    governing: &[AskedLimit],
    now: i64,
) -> Result<Vec<BlockRow>, Fail> {
    let mut standing = Vec::new();
    for mut row in against(connection, run)? {
        let raised = governing.iter().find(|asked| is_of(&row.block, asked));
        let raised = raised.is_some_and(|asked| is_below(&row.block, asked.limit.tokens));
        if has_lapsed(&row.block, now) || (raised && is_free(connection, &row.block)?) {
            lift(connection, &row, HUDSON, now)?;
        } else if let Some(policy) = stands(&row.block, governing) {
            row.block.policy = policy;
            standing.push(row);
        }
    }
    Ok(in_order(standing))
}

/// See [`super::Ledger::block_fetch`].
pub(super) fn fetch(
    connection: &Connection,
    run: &RunId,
    governing: &[AskedLimit],
    now: i64,
) -> Result<Vec<Block>, Fail> {
    Ok(found(connection, run, governing, now)?.into_iter().map(|row| row.block).collect())
}

/// See [`super::Ledger::block_plan`].
pub(super) fn plan(
    connection: &Connection,
    run: &RunId,
    governing: &[AskedLimit],
    now: i64,
) -> Result<Option<Block>, Fail> {
    let row = found(connection, run, governing, now)?.into_iter().next();
    if let Some(row) = &row {
        enforcements::plan(connection, run, row, now)?;
    }
    Ok(row.map(|row| row.block))
}

/// See [`super::Ledger::block_list`].
pub(super) fn list(connection: &Connection) -> Result<Vec<Block>, Fail> {
    Ok(all(connection)?.into_iter().map(|row| row.block).collect())
}

/// See [`super::Ledger::block_reconsider`].
pub(super) fn reconsider(connection: &Connection, limits: &[LimitInForce], now: i64) -> Result<(), Fail> {
    for row in all(connection)? {
        if ends(connection, &row.block, limits, now)? {
            lift(connection, &row, HUDSON, now)?;
        }
    }
    Ok(())
}

/// Whether any block would be lifted: nothing is written to find that none is.
pub(super) fn any_ends(connection: &Connection, limits: &[LimitInForce], now: i64) -> Result<bool, Fail> {
    for row in all(connection)? {
        if ends(connection, &row.block, limits, now)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the block of a crossing, and plans its enforcement for the run that found it; `false` when it was journalled
/// before, or the operator has raised the limit since it was read.
pub(super) fn journal(
    connection: &Connection,
    run: &RunId,
    asked: &AskedLimit,
    spent: u64,
    now: i64,
) -> Result<bool, Fail> {
    let AskedLimit { limit: crossed, window_start, window_end } = asked;
    let block = Block {
        scope: crossed.scope.clone(),
        policy: crossed.policy,
        cause: format!(
            "the {} budget of {} is spent: {spent} of {} tokens",
            crossed.provider, crossed.scope, crossed.tokens
        ),
        budget: Some(BlockBudget {
            provider: crossed.provider.clone(),
            limit: crossed.tokens,
            spent,
            window_start: *window_start,
            window_end: *window_end,
        }),
        since: now,
    };
    if budgets::is_raised(connection, asked)? {
        return Ok(false);
    }
    // A block that has ended, and that nobody has lifted yet, must not stand in for one that begins.
    if let Some(row) = same(connection, asked)? {
        if !has_lapsed(&row.block, now) && !is_below(&row.block, crossed.tokens) {
            return Ok(false);
        }
        replace(connection, &row, HUDSON, now)?;
    }
    let row = insert(connection, block, HUDSON)?;
    enforcements::plan(connection, run, &row, now)?;
    Ok(true)
}

/// See [`super::Ledger::block_order`].
pub(super) fn order(connection: &Connection, order: &BlockOrder) -> Result<bool, Fail> {
    let BlockOrder { scope, policy, cause, actor, now } = order;
    let block =
        Block { scope: scope.clone(), policy: *policy, cause: cause.clone(), budget: None, since: *now };
    if let Some(earlier) = ordered(connection, scope)? {
        if earlier.block.policy == *policy {
            return Ok(false);
        }
        replace(connection, &earlier, actor, *now)?;
    }
    let row = insert(connection, block, actor)?;
    for run in runs::live_of(connection, scope)? {
        enforcements::plan(connection, &run, &row, *now)?;
    }
    Ok(true)
}

/// See [`super::Ledger::block_resume`].
pub(super) fn resume(
    connection: &Connection,
    scope: &Scope,
    actor: &str,
    now: i64,
) -> Result<Vec<Block>, Fail> {
    let row = ordered(connection, scope)?;
    if let Some(row) = &row {
        lift(connection, row, actor, now)?;
    }
    Ok(row.into_iter().map(|row| row.block).collect())
}

/// See [`super::Ledger::enforcement_resume`].
pub(super) fn resume_frozen(
    connection: &Connection,
    run: &RunId,
    governing: &[AskedLimit],
    actor: &str,
    now: i64,
) -> Result<Resumption, Fail> {
    runs::require_live(connection, run)?;
    // A cutoff lets what was frozen go on: it only gets nothing out.
    let stopping = |row: &BlockRow| row.block.policy != Policy::Cutoff;
    if let Some(row) = standing(connection, run, governing, now)?.into_iter().find(stopping) {
        return Ok(Resumption::Blocked(row.block));
    }
    Ok(match enforcements::resume(connection, run, actor, now)? {
        true => Resumption::Planned,
        false => Resumption::NotFrozen,
    })
}

/// A run has ended, and with it what was ordered for it alone. Nobody is told that anything goes on.
pub(super) fn forget(connection: &Connection, run: &RunId, now: i64) -> Result<(), Fail> {
    match ordered(connection, &Scope::new(ScopeKind::Run, run.as_str()))? {
        Some(row) => replace(connection, &row, HUDSON, now),
        None => Ok(()),
    }
}

/// What an operator has ordered for a scope.
fn ordered(connection: &Connection, scope: &Scope) -> Result<Option<BlockRow>, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT *, 0 AS rank FROM blocks WHERE scope = ?1 AND scope_key = ?2 AND limit_tokens IS NULL",
    )?;
    Ok(statement.query_row(params![scope.kind.name(), scope.key], block).optional()?)
}

fn insert(connection: &Connection, block: Block, actor: &str) -> Result<BlockRow, Fail> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO blocks
           (scope, scope_key, provider, window_start, window_end, policy, cause, limit_tokens, spent, since)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let budget = block.budget.as_ref();
    let id = statement.insert(params![
        block.scope.kind.name(),
        block.scope.key,
        budget.map_or("", |budget| budget.provider.as_str()),
        budget.map_or(0, |budget| budget.window_start),
        budget.and_then(|budget| budget.window_end),
        block.policy.name(),
        block.cause,
        budget.map(|budget| limit(budget.limit)),
        budget.map(|budget| tokens(budget.spent)),
        block.since,
    ])?;
    audit::append(connection, block.since, "block_place", actor, budgets::bottle(&block.scope), &block)?;
    outbox::stopped(connection, &block)?;
    Ok(BlockRow { id, rank: 0, block })
}

/// The block on record of the same limit and window.
fn same(connection: &Connection, asked: &AskedLimit) -> Result<Option<BlockRow>, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT *, 0 AS rank FROM blocks
         WHERE scope = ?1 AND scope_key = ?2 AND provider = ?3 AND window_start = ?4",
    )?;
    let AskedLimit { limit, window_start, .. } = asked;
    let key = params![limit.scope.kind.name(), limit.scope.key, limit.provider.as_str(), window_start];
    Ok(statement.query_row(key, block).optional()?)
}

fn has_lapsed(block: &Block, now: i64) -> bool {
    block.budget.as_ref().and_then(|budget| budget.window_end).is_some_and(|end| end <= now)
}

/// Whether the limit is the one the block came from, whatever it allows today.
fn is_of(block: &Block, asked: &AskedLimit) -> bool {
    block.scope == asked.limit.scope
        && block.budget.as_ref().is_some_and(|budget| budget.provider == asked.limit.provider)
}

/// Whether so many tokens are more than the limit that was crossed. That usage is below a limit says nothing: a run's own
/// is crossed when what is left of it is less than its next request needs.
fn is_below(block: &Block, tokens: u64) -> bool {
    block.budget.as_ref().is_some_and(|budget| budget.limit < tokens)
}

/// Whether the block ends by what is in force: its window is over, or its limit was raised, or taken away.
fn ends(connection: &Connection, block: &Block, limits: &[LimitInForce], now: i64) -> Result<bool, Fail> {
    let is_its = |limit: &&LimitInForce| {
        limit.scope == block.scope
            && block.budget.as_ref().is_some_and(|budget| budget.provider == limit.provider)
    };
    let raised =
        limits.iter().filter(is_its).any(|limit| limit.tokens.is_none_or(|tokens| is_below(block, tokens)));
    Ok(has_lapsed(block, now) || (raised && is_free(connection, block)?))
}

/// Whether what the operator has set leaves a raised limit in force. A process that has not seen yet that it was lowered
/// must not lift the block that another one has made of that.
fn is_free(connection: &Connection, block: &Block) -> Result<bool, Fail> {
    let Some(budget) = &block.budget else { return Ok(false) };
    let set = budgets::set_at(connection, &block.scope, &budget.provider)?;
    Ok(set.is_none_or(|tokens| is_below(block, tokens)))
}

/// What the block does to a run with these limits, if it is one of the run's: an operator's always as it was ordered; a
/// budget's only while a limit that governs the run would have been crossed too, and then as that run's own policy says,
/// whoever found the crossing.
fn stands(block: &Block, governing: &[AskedLimit]) -> Option<Policy> {
    let Some(budget) = &block.budget else { return Some(block.policy) };
    let crossed = |asked: &&AskedLimit| {
        is_of(block, asked) && asked.window_start == budget.window_start && asked.limit.tokens <= budget.limit
    };
    governing.iter().find(crossed).map(|asked| asked.limit.policy)
}

/// What [`fetch`] finds, and where it is.
fn found(
    connection: &Connection,
    run: &RunId,
    governing: &[AskedLimit],
    now: i64,
) -> Result<Vec<BlockRow>, Fail> {
    let mut rows = Vec::new();
    for mut row in against(connection, run)?.into_iter().filter(|row| !has_lapsed(&row.block, now)) {
        if let Some(policy) = stands(&row.block, governing) {
            row.block.policy = policy;
            rows.push(row);
        }
    }
    Ok(in_order(rows))
}

fn in_order(mut rows: Vec<BlockRow>) -> Vec<BlockRow> {
    let severity = |policy| match policy {
        Policy::Cutoff => 0,
        Policy::Freeze => 1,
        Policy::Kill => 2,
    };
    rows.sort_by_key(|row| (Reverse(severity(row.block.policy)), row.rank, row.id));
    rows
}

fn against(connection: &Connection, run: &RunId) -> Result<Vec<BlockRow>, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT blocks.*, run_scopes.rank FROM run_scopes JOIN blocks USING (scope, scope_key)
         WHERE run_scopes.run_id = ?1",
    )?;
    let rows = statement.query_map([run.as_str()], block)?.collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}

fn all(connection: &Connection) -> Result<Vec<BlockRow>, Fail> {
    let mut statement = connection.prepare_cached("SELECT *, 0 AS rank FROM blocks ORDER BY id")?;
    let rows = statement.query_map((), block)?.collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}

/// Ends a block, so that what it stopped goes on.
fn lift(connection: &Connection, row: &BlockRow, actor: &str, now: i64) -> Result<(), Fail> {
    replace(connection, row, actor, now)?;
    outbox::resumed(connection, &row.block, now)
}

/// Ends a block without a word that anything goes on: another comes in its place at once, or nothing is left to go on.
fn replace(connection: &Connection, row: &BlockRow, actor: &str, now: i64) -> Result<(), Fail> {
    connection.prepare_cached("DELETE FROM blocks WHERE id = ?1")?.execute([row.id])?;
    enforcements::withdraw(connection, row.id, now)?;
    audit::append(connection, now, "block_lift", actor, budgets::bottle(&row.block.scope), &row.block)
}

fn block(row: &Row<'_>) -> rusqlite::Result<BlockRow> {
    let unsigned = |amount: i64| u64::try_from(amount).unwrap_or(0);
    let budget = match row.get::<_, Option<i64>>("limit_tokens")? {
        Some(limit) => Some(BlockBudget {
            provider: parsed(row, "provider")?,
            limit: unsigned(limit),
            spent: unsigned(row.get::<_, Option<i64>>("spent")?.unwrap_or(0)),
            window_start: row.get("window_start")?,
            window_end: row.get("window_end")?,
        }),
        None => None,
    };
    let block = Block {
        scope: scope(row)?,
        policy: policy(row)?,
        cause: row.get("cause")?,
        budget,
        since: row.get("since")?,
    };
    Ok(BlockRow { id: row.get("id")?, rank: row.get("rank")?, block })
}
