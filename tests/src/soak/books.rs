//! The ledger as any reader may read it: the documented tables, read-only.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OpenFlags};

/// One usage row.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    pub(super) bottle: String,
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) response_id: Option<String>,
    pub(super) output: u64,
    pub(super) total: u64,
    pub(super) charged: u64,
    pub(super) quality: String,
    pub(super) started_at: i64,
    pub(super) finished_at: i64,
}

/// One hold, with the process that owns it where that is on record.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) model: String,
    pub(super) input: u64,
    pub(super) placed_at: i64,
    pub(super) process: Option<u32>,
}

/// What is committed, by scope, key and provider.
pub(super) type Totals = HashMap<(String, String, String), u64>;

pub(super) fn open(home: &Path) -> Result<Connection> {
    let ledger = Connection::open_with_flags(home.join("bot-bottle.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    ledger.busy_timeout(Duration::from_secs(5))?;
    Ok(ledger)
}

/// Every usage row in the order in which they were settled.
pub(super) fn charges(ledger: &Connection) -> Result<Vec<Charge>> {
    let mut statement = ledger.prepare(
        "SELECT bottle, provider, ifnull(model, ''), response_id, output, total, charged, quality, started_at, finished_at
         FROM usage ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Charge {
            bottle: row.get(0)?,
            provider: row.get(1)?,
            model: row.get(2)?,
            response_id: row.get(3)?,
            output: row.get::<_, i64>(4)?.unsigned_abs(),
            total: row.get::<_, i64>(5)?.unsigned_abs(),
            charged: row.get::<_, i64>(6)?.unsigned_abs(),
            quality: row.get(7)?,
            started_at: row.get(8)?,
            finished_at: row.get(9)?,
        })
    });
    rows.and_then(Iterator::collect).context("the documented columns of `usage`")
}

/// The holds that stand.
pub(super) fn holds(ledger: &Connection) -> Result<Vec<Hold>> {
    let mut statement = ledger.prepare_cached(
        "SELECT ifnull(holds.model, ''), holds.input, holds.placed_at, owners.pid
         FROM holds LEFT JOIN owners ON owners.id = holds.owner",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Hold {
            model: row.get(0)?,
            input: row.get::<_, i64>(1)?.unsigned_abs(),
            placed_at: row.get(2)?,
            process: row.get(3)?,
        })
    });
    rows.and_then(Iterator::collect).context("the documented columns of `holds`")
}

/// The kept sums of everything committed since ever.
pub(super) fn totals(ledger: &Connection) -> Result<Totals> {
    let mut statement = ledger
        .prepare_cached("SELECT scope, scope_key, provider, charged FROM totals WHERE window_start = 0")?;
    let rows = statement.query_map([], |row| {
        Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get::<_, i64>(3)?.unsigned_abs()))
    });
    rows.and_then(Iterator::collect).context("the documented columns of `totals`")
}

/// When the limit of a bottle was set last, in unix milliseconds: just before that was committed.
pub(super) fn set_at(ledger: &Connection, bottle: &str) -> Result<i64> {
    let query = "SELECT max(set_at) FROM budget_overrides WHERE scope = 'bottle' AND scope_key = ?1";
    Ok(ledger.query_row(query, [bottle], |row| row.get(0))?)
}

/// Whether the whole host is stopped.
pub(super) fn all_stopped(ledger: &Connection) -> Result<bool> {
    Ok(ledger.query_row("SELECT count(*) > 0 FROM blocks WHERE scope = 'global'", [], |row| row.get(0))?)
}
