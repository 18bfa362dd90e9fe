//! Reading usage: rows as they are, and sums by any columns. Sums are of raw numbers; nothing is weighed again.

use super::fail::Fail;
use super::rows::{amount, parsed, parsed_option};
use super::{UsageColumn, UsageQuery, UsageRecord, UsageSum};
use crate::Usage;
use rusqlite::{Connection, Row, named_params};

/// The filters of a [`UsageQuery`].
const FILTER: &str = "FROM usage
    WHERE (:run IS NULL OR run_id = :run) AND (:bottle IS NULL OR bottle = :bottle)
      AND (:since IS NULL OR started_at >= :since) AND (:until IS NULL OR started_at < :until)";

/// See [`super::Ledger::usage_list`].
pub(super) fn list(connection: &Connection, query: &UsageQuery) -> Result<Vec<UsageRecord>, Fail> {
    read(connection, query, &format!("SELECT * {FILTER} ORDER BY started_at, id"), record)
}

/// See [`super::Ledger::usage_sum`]. Without columns there is one sum, also of nothing.
pub(super) fn sum(connection: &Connection, query: &UsageQuery) -> Result<Vec<UsageSum>, Fail> {
    let columns: Vec<_> = query.by.iter().map(|column| expression(*column)).collect();
    let selected: String =
        columns.iter().enumerate().map(|(index, column)| format!("{column} AS group_{index}, ")).collect();
    let groups: Vec<_> = (1..=columns.len()).map(|position| position.to_string()).collect();
    let grouped = match groups.is_empty() {
        true => String::new(),
        false => format!("GROUP BY {0} ORDER BY {0}", groups.join(", ")),
    };
    let sums: String = ["input", "output", "cache_read", "cache_write", "reasoning", "total", "charged"]
        .iter()
        .map(|column| format!(", CAST(total({column}) AS INTEGER) AS {column}"))
        .collect();
    let sql = format!(
        "SELECT {selected} count(*) AS requests, count(*) FILTER (WHERE quality <> 'exact') AS inexact {sums}
         {FILTER} {grouped}"
    );
    let width = columns.len();
    read(connection, query, &sql, |row| {
        Ok(UsageSum {
            group: (0..width).map(|index| row.get(index)).collect::<rusqlite::Result<_>>()?,
            requests: amount(row, "requests")?,
            inexact: amount(row, "inexact")?,
            usage: numbers(row)?,
            charged: amount(row, "charged")?,
        })
    })
}

/// The provider's numbers of a row.
pub(super) fn numbers(row: &Row<'_>) -> rusqlite::Result<Usage> {
    Ok(Usage {
        input: amount(row, "input")?,
        output: amount(row, "output")?,
        cache_read: amount(row, "cache_read")?,
        cache_write: amount(row, "cache_write")?,
        reasoning: amount(row, "reasoning")?,
        total: amount(row, "total")?,
    })
}

fn expression(column: UsageColumn) -> &'static str {
    match column {
        UsageColumn::Agent => "ifnull(agent, '')",
        UsageColumn::Bottle => "bottle",
        UsageColumn::Day => "date(started_at / 1000, 'unixepoch')",
        UsageColumn::Host => "host",
        UsageColumn::Model => "ifnull(model, '')",
        UsageColumn::Provider => "provider",
        UsageColumn::Quality => "quality",
        UsageColumn::Run => "run_id",
    }
}

fn read<T>(
    connection: &Connection,
    query: &UsageQuery,
    sql: &str,
    map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fail> {
    let mut statement = connection.prepare_cached(sql)?;
    let filters = named_params! {
        ":run": query.run.as_ref().map(|run| run.as_str()),
        ":bottle": query.bottle.as_ref().map(|bottle| bottle.as_str()),
        ":since": query.since,
        ":until": query.until,
    };
    let rows = statement.query_map(filters, map)?.collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}

fn record(row: &Row<'_>) -> rusqlite::Result<UsageRecord> {
    Ok(UsageRecord {
        id: row.get("id")?,
        run_id: parsed(row, "run_id")?,
        bottle: parsed(row, "bottle")?,
        agent: parsed_option(row, "agent")?,
        parent: row.get("parent")?,
        provider: parsed(row, "provider")?,
        host: row.get("host")?,
        model: row.get("model")?,
        response_id: row.get("response_id")?,
        usage: numbers(row)?,
        charged: amount(row, "charged")?,
        quality: parsed(row, "quality")?,
        status: row.get("status")?,
        stream: row.get("stream")?,
        started_at: row.get("started_at")?,
        finished_at: row.get("finished_at")?,
    })
}
