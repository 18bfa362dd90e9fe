//! Reserving before sending. The run's blocks, what is committed, what is in flight and the new hold are one
//! transaction: whatever comes at once, the sum of what was let through never passes a limit.

use super::fail::Fail;
use super::rows::{amount, parsed, tokens};
use super::{AskedLimit, Exhausted, Hold, HoldId, HoldOutcome, HoldRequest};
use super::{blocks, enforcements, runs, totals};
use crate::budget::Mode;
use crate::{Provider, RunId, ScopeKind};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

/// What `expires_at` says, for people: no response streams longer than this.
const EXPECTED: i64 = 3600 * 1000;

/// A hold on record.
pub(super) struct HoldRow {
    pub(super) id: String,
    pub(super) run: RunId,
    pub(super) provider: Provider,
    pub(super) host: String,
    pub(super) model: Option<String>,
    pub(super) stream: bool,
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) tokens: u64,
    pub(super) placed_at: i64,
}

/// See [`super::Ledger::hold_place`].
pub(super) fn place(
    connection: &Connection,
    owner: &str,
    request: &HoldRequest,
) -> Result<HoldOutcome, Fail> {
    runs::require_live(connection, &request.run)?;
    let standing = blocks::standing(connection, &request.run, &request.governing, request.now)?;
    let provider = Some(&request.provider);
    if let Some(block) = standing.into_iter().find(|row| row.block.stops(request.cutoff, provider)) {
        // Another run may have found the crossing, or this one was launched after it.
        enforcements::plan(connection, &request.run, &block, request.now)?;
        return Ok(HoldOutcome::Blocked(block.block));
    }
    let mut rooms = Vec::with_capacity(request.limits.len());
    for asked in &request.limits {
        let spent = totals::spent(connection, asked)?;
        let limit = &asked.limit;
        let held = totals::held(connection, &limit.scope, &limit.provider, asked.window_start)?;
        rooms.push(Room { asked, spent, held });
    }
    match grant(request, &rooms) {
        Ok(output) => {
            let hold = insert(connection, owner, request, output)?;
            let left = rooms.iter().map(|room| room.left().saturating_sub(hold.tokens)).min();
            Ok(HoldOutcome::Placed(Hold { left, ..hold }))
        }
        Err(exhausted) => {
            if exhausted.crossed {
                let Exhausted { limit, spent, .. } = &exhausted;
                blocks::journal(connection, &request.run, limit, *spent, request.now)?;
            }
            Ok(HoldOutcome::Exhausted(exhausted))
        }
    }
}

/// What one limit has room for.
struct Room<'a> {
    asked: &'a AskedLimit,
    spent: u64,
    held: u64,
}

impl Room<'_> {
    fn unspent(&self) -> u64 {
        self.asked.limit.tokens.saturating_sub(self.spent)
    }

    fn left(&self) -> u64 {
        self.unspent().saturating_sub(self.held)
    }

    /// See [`Exhausted::crossed`], for a hard limit and a request that needs `need`.
    fn is_crossed(&self, request: &HoldRequest, need: u64) -> bool {
        let unspent = self.unspent();
        let limit = &self.asked.limit;
        let is_next_to_nothing = || {
            unspent < request.weights.held(request.min_output).max(1)
                || u128::from(unspent) * 100 < u128::from(limit.tokens)
        };
        unspent < need && (limit.scope.kind == ScopeKind::Run || is_next_to_nothing())
    }

    fn exhausted(&self, crossed: bool) -> Exhausted {
        Exhausted { limit: self.asked.clone(), spent: self.spent, held: self.held, crossed }
    }
}

/// The output that may be asked for, or the limit that refuses.
fn grant(request: &HoldRequest, rooms: &[Room<'_>]) -> Result<u64, Exhausted> {
    if request.mode == Mode::Soft {
        return match rooms.iter().find(|room| room.unspent() == 0) {
            Some(room) => Err(room.exhausted(true)),
            None => Ok(request.output),
        };
    }
    let weights = &request.weights;
    let least = request.min_output.min(request.output);
    // Nothing is free: a spent limit refuses also what is estimated at no tokens.
    let need = weights.held(request.input.saturating_add(least)).max(1);
    // A crossing before a request that is too large, that before what is only waited for; the tightest of those.
    let refusing = rooms.iter().filter(|room| room.left() < need);
    let first = |room: &&Room<'_>| (!room.is_crossed(request, need), room.unspent() >= need, room.left());
    if let Some(room) = refusing.min_by_key(first) {
        return Err(room.exhausted(room.is_crossed(request, need)));
    }
    let fitting = rooms.iter().map(|room| weights.fitting(room.left())).min().unwrap_or(u64::MAX);
    Ok(fitting.saturating_sub(request.input).clamp(least, request.output))
}

fn insert(connection: &Connection, owner: &str, request: &HoldRequest, output: u64) -> Result<Hold, Fail> {
    let id = Uuid::now_v7().to_string();
    let reserved = request.weights.held(request.input.saturating_add(output));
    let mut statement = connection.prepare_cached(
        "INSERT INTO holds
           (id, run_id, provider, tokens, owner, expires_at, host, model, stream, input, output, placed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    statement.execute(params![
        id,
        request.run.as_str(),
        request.provider.as_str(),
        tokens(reserved),
        owner,
        request.now.saturating_add(EXPECTED),
        request.host,
        request.model,
        request.stream,
        tokens(request.input),
        tokens(output),
        request.now,
    ])?;
    Ok(Hold { id: HoldId(id), output, tokens: reserved, left: None })
}

/// See [`super::Ledger::hold_release`]. One that is gone already is no error: the promise is that it is gone.
pub(super) fn release(connection: &Connection, hold: &HoldId) -> Result<(), Fail> {
    connection.prepare_cached("DELETE FROM holds WHERE id = ?1")?.execute([&hold.0])?;
    Ok(())
}

/// Removes a hold and returns what it was. Whoever gets it is the only one who does.
pub(super) fn take(connection: &Connection, id: &str) -> Result<Option<HoldRow>, Fail> {
    let mut statement = connection.prepare_cached("DELETE FROM holds WHERE id = ?1 RETURNING *")?;
    let hold = statement.query_row([id], |row| {
        Ok(HoldRow {
            id: row.get("id")?,
            run: parsed(row, "run_id")?,
            provider: parsed(row, "provider")?,
            host: row.get("host")?,
            model: row.get("model")?,
            stream: row.get("stream")?,
            input: amount(row, "input")?,
            output: amount(row, "output")?,
            tokens: amount(row, "tokens")?,
            placed_at: row.get("placed_at")?,
        })
    });
    Ok(hold.optional()?)
}
