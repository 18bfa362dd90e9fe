//! Work that is read again by its provider's id: charged where its creation was not, and once.
//!
//! Invariant: a row that has the provider's final numbers is never changed by a retrieval; one that has not takes them,
//! in the window of its hold.

use super::fail::Fail;
use super::holds::HoldRow;
use super::settle::{self, Charge, Outcome};
use super::{Retrieval, Retrieved, Settled, warnings};
use crate::Quality;
use rusqlite::{Connection, OptionalExtension, params};

/// See [`super::Ledger::usage_retrieve`].
pub(super) fn retrieve(connection: &Connection, retrieval: &Retrieval) -> Result<Retrieved, Fail> {
    let created = known(connection, &retrieval.host, &retrieval.response_id)?;
    let (status, stream) =
        created.as_ref().map_or((retrieval.status, false), |charge| (charge.status, charge.stream));
    let outcome = Outcome {
        usage: retrieval.usage,
        charged: retrieval.weights.charged(&retrieval.usage),
        quality: Quality::Exact,
        model: retrieval.model.as_deref(),
        response_id: Some(&retrieval.response_id),
        status,
        stream,
        finished_at: retrieval.now,
    };
    let run = match created {
        Some(charge) if charge.quality == Quality::Exact => return Ok(Retrieved::Known),
        Some(charge) => {
            settle::overwrite(connection, &charge, &outcome)?;
            charge.run
        }
        None => {
            settle::insert(connection, &stand_in(retrieval), &outcome)?;
            retrieval.run.clone()
        }
    };
    // What another run's limits are is not known here; its next request finds them crossed.
    let limits = if run == retrieval.run { retrieval.limits.as_slice() } else { &[] };
    Ok(Retrieved::Charged(Settled {
        crossings: settle::crossed(connection, &run, limits, retrieval.now)?,
        warnings: warnings::give(connection, limits, &retrieval.warn_at, retrieval.now)?,
    }))
}

/// Takes back what a retrieval charged for work whose own request is charged now.
pub(super) fn withdraw(connection: &Connection, host: &str, response_id: &str, now: i64) -> Result<(), Fail> {
    let mut statement = connection.prepare_cached("SELECT * FROM usage WHERE hold_id = ?1")?;
    let charge = statement.query_row(params![key(host, response_id)], Charge::read).optional()?;
    charge.map_or(Ok(()), |charge| settle::withdraw(connection, &charge, now))
}

/// The newest charge for this id on this host.
fn known(connection: &Connection, host: &str, response_id: &str) -> Result<Option<Charge>, Fail> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM usage WHERE host = ?1 AND response_id = ?2 ORDER BY id DESC LIMIT 1",
    )?;
    Ok(statement.query_row(params![host, response_id], Charge::read).optional()?)
}

/// In place of the hold that was never placed: its id lets the work be charged once.
fn stand_in(retrieval: &Retrieval) -> HoldRow {
    HoldRow {
        id: key(&retrieval.host, &retrieval.response_id),
        run: retrieval.run.clone(),
        provider: retrieval.provider.clone(),
        tokens: 0,
        host: retrieval.host.clone(),
        model: None,
        stream: false,
        input: 0,
        output: 0,
        placed_at: retrieval.now,
    }
}

/// No host has a space in it, and no hold's id.
fn key(host: &str, response_id: &str) -> String {
    format!("retrieved {host} {response_id}")
}
