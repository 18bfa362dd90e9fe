//! From hold to usage. The hold goes and the usage comes in one transaction, with every total it counts in; a hold is
//! charged once, however often and however late it is settled.

use super::fail::Fail;
use super::holds::{self, HoldRow};
use super::rows::{amount, parsed, tokens};
use super::{AskedLimit, Crossing, Settled, Settlement, audit, blocks, retrieve, totals, warnings};
use crate::{Provider, Quality, RunId, Usage};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use serde::Serialize;

/// See [`super::Ledger::usage_settle`].
pub(super) fn settle(connection: &Connection, settlement: &Settlement) -> Result<Settled, Fail> {
    let run = match holds::take(connection, &settlement.hold.0)? {
        Some(hold) => {
            insert(connection, &hold, &Outcome::of(settlement, &hold))?;
            if let Some(id) = &settlement.response_id {
                // Read again by its id while it was still under way.
                retrieve::withdraw(connection, &hold.host, id, settlement.now)?;
            }
            hold.run
        }
        None => replace_held(connection, settlement)?,
    };
    let Settlement { limits, warn_at, now, .. } = settlement;
    Ok(Settled {
        crossings: crossed(connection, &run, limits, *now)?,
        warnings: warnings::give(connection, limits, warn_at, *now)?,
    })
}

/// The limits that are reached now, and journalled by that.
pub(super) fn crossed(
    connection: &Connection,
    run: &RunId,
    limits: &[AskedLimit],
    now: i64,
) -> Result<Vec<Crossing>, Fail> {
    let mut crossings = Vec::new();
    for asked in limits {
        let spent = totals::spent(connection, asked)?;
        if spent >= asked.limit.tokens && blocks::journal(connection, run, asked, spent, now)? {
            crossings.push(Crossing { limit: asked.clone(), spent });
        }
    }
    Ok(crossings)
}

/// Charges a hold whose end nobody saw.
pub(super) fn insert_held(connection: &Connection, hold: &HoldRow, now: i64) -> Result<(), Fail> {
    let outcome = Outcome {
        usage: estimate(hold),
        charged: hold.tokens,
        quality: Quality::Held,
        model: None,
        response_id: None,
        status: 0,
        stream: hold.stream,
        finished_at: now,
    };
    insert(connection, hold, &outcome)
}

/// What a usage row says beyond its hold.
#[derive(Serialize)]
pub(super) struct Outcome<'a> {
    #[serde(flatten)]
    pub(super) usage: Usage,
    #[serde(skip)]
    pub(super) charged: u64,
    pub(super) quality: Quality,
    pub(super) model: Option<&'a str>,
    pub(super) response_id: Option<&'a str>,
    pub(super) status: u16,
    pub(super) stream: bool,
    #[serde(skip)]
    pub(super) finished_at: i64,
}

impl<'a> Outcome<'a> {
    fn of(settlement: &'a Settlement, hold: &HoldRow) -> Self {
        let usage = settlement.usage.unwrap_or_else(|| estimate(hold));
        Self {
            usage,
            charged: charged(settlement, hold.tokens),
            quality: settlement.quality,
            model: settlement.model.as_deref(),
            response_id: settlement.response_id.as_deref(),
            status: settlement.status,
            stream: settlement.stream,
            finished_at: settlement.now,
        }
    }
}

/// What a settlement charges where `reserved` was held. Only the provider's own final numbers give some of it back:
/// what was seen of a response that ended early may not be all that was spent.
fn charged(settlement: &Settlement, reserved: u64) -> u64 {
    match settlement.usage.map(|usage| settlement.weights.charged(&usage)) {
        Some(charged) if settlement.quality == Quality::Exact => charged,
        Some(charged) => charged.max(reserved),
        None => reserved,
    }
}

fn estimate(hold: &HoldRow) -> Usage {
    let total = hold.input.saturating_add(hold.output);
    Usage { input: hold.input, output: hold.output, total, ..Usage::default() }
}

pub(super) fn insert(connection: &Connection, hold: &HoldRow, outcome: &Outcome<'_>) -> Result<(), Fail> {
    let charged = tokens(outcome.charged);
    let mut statement = connection.prepare_cached(
        "INSERT INTO usage
           (run_id, bottle, agent, parent, provider, host, model, response_id, input, output, cache_read, cache_write,
            reasoning, total, charged, quality, status, stream, started_at, finished_at, hold_id)
         SELECT id, bottle, agent, parent, :provider, :host, :model, :response_id, :input, :output, :cache_read,
            :cache_write, :reasoning, :total, :charged, :quality, :status, :stream, :started_at, :finished_at, :hold
         FROM runs WHERE id = :run",
    )?;
    let inserted = statement.execute(named_params! {
        ":run": hold.run.as_str(),
        ":provider": hold.provider.as_str(),
        ":host": hold.host,
        ":model": outcome.model.or(hold.model.as_deref()),
        ":response_id": outcome.response_id,
        ":input": tokens(outcome.usage.input),
        ":output": tokens(outcome.usage.output),
        ":cache_read": tokens(outcome.usage.cache_read),
        ":cache_write": tokens(outcome.usage.cache_write),
        ":reasoning": tokens(outcome.usage.reasoning),
        ":total": tokens(outcome.usage.total),
        ":charged": charged,
        ":quality": outcome.quality.name(),
        ":status": outcome.status,
        ":stream": outcome.stream,
        ":started_at": hold.placed_at,
        ":finished_at": outcome.finished_at,
        ":hold": hold.id,
    })?;
    if inserted == 0 {
        return Err(Fail::Missing("run", hold.run.to_string()));
    }
    let told = Told { provider: &hold.provider, host: Some(&hold.host), outcome, charged, before: None };
    audit::append_of_run(connection, outcome.finished_at, "usage_charge", &hold.run, told)?;
    totals::add(connection, &hold.run, &hold.provider, hold.placed_at, charged)
}

/// A settle that comes after the hold was charged as a whole: the row is replaced as long as it says `held`. Whose it
/// is.
fn replace_held(connection: &Connection, settlement: &Settlement) -> Result<RunId, Fail> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM usage WHERE hold_id = ?1 AND quality = 'held'")?;
    let charge = statement.query_row(params![settlement.hold.0], Charge::read).optional()?;
    let Some(charge) = charge else {
        return Err(Fail::Missing("hold", settlement.hold.to_string()));
    };
    let outcome = Outcome {
        usage: settlement.usage.unwrap_or(charge.usage),
        charged: charged(settlement, charge.charged),
        quality: settlement.quality,
        model: settlement.model.as_deref(),
        response_id: settlement.response_id.as_deref(),
        status: settlement.status,
        stream: settlement.stream,
        finished_at: settlement.now,
    };
    overwrite(connection, &charge, &outcome)?;
    Ok(charge.run)
}

/// A usage row that another may take the place of.
pub(super) struct Charge {
    id: i64,
    pub(super) run: RunId,
    pub(super) quality: Quality,
    pub(super) status: u16,
    pub(super) stream: bool,
    provider: Provider,
    started_at: i64,
    charged: u64,
    usage: Usage,
}

impl Charge {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            run: parsed(row, "run_id")?,
            quality: parsed(row, "quality")?,
            status: row.get("status")?,
            stream: row.get("stream")?,
            provider: parsed(row, "provider")?,
            started_at: row.get("started_at")?,
            charged: amount(row, "charged")?,
            usage: super::usage::numbers(row)?,
        })
    }
}

/// Puts what was learned later in a row's place; it stays in the window it was placed in.
pub(super) fn overwrite(connection: &Connection, old: &Charge, new: &Outcome<'_>) -> Result<(), Fail> {
    let charged = tokens(new.charged);
    let mut statement = connection.prepare_cached(
        "UPDATE usage SET model = ifnull(:model, model), response_id = :response_id, input = :input,
           output = :output, cache_read = :cache_read, cache_write = :cache_write, reasoning = :reasoning,
           total = :total, charged = :charged, quality = :quality, status = :status, stream = :stream,
           finished_at = :finished_at
         WHERE id = :id",
    )?;
    statement.execute(named_params! {
        ":model": new.model,
        ":response_id": new.response_id,
        ":input": tokens(new.usage.input),
        ":output": tokens(new.usage.output),
        ":cache_read": tokens(new.usage.cache_read),
        ":cache_write": tokens(new.usage.cache_write),
        ":reasoning": tokens(new.usage.reasoning),
        ":total": tokens(new.usage.total),
        ":charged": charged,
        ":quality": new.quality.name(),
        ":status": new.status,
        ":stream": new.stream,
        ":finished_at": new.finished_at,
        ":id": old.id,
    })?;
    let before = Some(Before { charged: old.charged, quality: old.quality });
    let told = Told { provider: &old.provider, host: None, outcome: new, charged, before };
    audit::append_of_run(connection, new.finished_at, "usage_replace", &old.run, told)?;
    totals::add(connection, &old.run, &old.provider, old.started_at, charged - tokens(old.charged))
}

/// Takes a row back that another one says again.
pub(super) fn withdraw(connection: &Connection, old: &Charge, now: i64) -> Result<(), Fail> {
    connection.prepare_cached("DELETE FROM usage WHERE id = ?1")?.execute(params![old.id])?;
    let told = Withdrawn { provider: &old.provider, charged: old.charged };
    audit::append_of_run(connection, now, "usage_withdraw", &old.run, told)?;
    totals::add(connection, &old.run, &old.provider, old.started_at, -tokens(old.charged))
}

/// A charge, as the audit tells it.
#[derive(Serialize)]
struct Told<'a> {
    provider: &'a Provider,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(flatten)]
    outcome: &'a Outcome<'a>,
    /// As it was kept.
    charged: i64,
    /// What it takes the place of.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Before>,
}

#[derive(Serialize)]
struct Before {
    charged: u64,
    quality: Quality,
}

#[derive(Serialize)]
struct Withdrawn<'a> {
    provider: &'a Provider,
    charged: u64,
}
