//! `hudson usage`: what the ledger recorded, summed by columns or row by row.

use super::output::{self, Cell};
use super::{Context, bottle, ledger};
use crate::cli::{UsageArgs, UsageBy};
use crate::exit::{self, Exit};
use anyhow::Result;
use hudson_schema::ledger::{SharedLedger, UsageColumn, UsageQuery, UsageRecord, UsageSum};
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};

/// Prints usage.
pub(super) async fn execute(context: &Context, arguments: UsageArgs) -> Result<u8> {
    match read(context, arguments).await? {
        None if context.json => output::json(&json!([]))?,
        None => output::text(&ledger::nothing_yet(context))?,
        Some(read) if context.json => output::json(&read.object())?,
        Some(Read::Rows(rows)) => print_rows(rows)?,
        Some(Read::Sums(by, sums)) => print_sums(&by, sums)?,
    }
    Ok(exit::OK)
}

/// The same as JSON.
pub(super) async fn object(context: &Context, arguments: UsageArgs) -> Result<Value> {
    Ok(read(context, arguments).await?.map_or_else(|| json!([]), |read| read.object()))
}

/// What was asked for.
enum Read {
    Rows(Vec<UsageRecord>),
    Sums(Vec<UsageBy>, Vec<UsageSum>),
}

impl Read {
    fn object(&self) -> Value {
        match self {
            Self::Rows(rows) => json!(rows),
            Self::Sums(by, sums) => sums.iter().map(|sum| object_of(by, sum)).collect(),
        }
    }
}

/// Reads it; `None` when nothing has been recorded yet.
async fn read(context: &Context, arguments: UsageArgs) -> Result<Option<Read>> {
    let since = arguments.since.as_deref().map(since).transpose()?;
    let by = distinct(&arguments.by);
    let Some(ledger) = ledger::open(context)? else { return Ok(None) };
    refuse_unknown(context, &ledger, &arguments).await?;
    let query = UsageQuery {
        run: arguments.run,
        bottle: arguments.bottle,
        since,
        by: by.iter().map(|by| column(*by)).collect(),
    };
    Ok(Some(match arguments.rows {
        true => Read::Rows(ledger.usage_list(query).await?),
        false => Read::Sums(by, ledger.usage_sum(query).await?),
    }))
}

/// A misspelt name must not look like a bottle that used nothing.
async fn refuse_unknown(context: &Context, ledger: &SharedLedger, arguments: &UsageArgs) -> Result<()> {
    if let Some(id) = &arguments.run
        && ledger.run_fetch(id).await?.is_none()
    {
        return Err(Exit::not_found(format!(
            "the ledger has no run {id}; `hudson usage --by run` lists them"
        ))
        .into());
    }
    if let Some(name) = &arguments.bottle {
        bottle::refuse_unknown(context, Some(ledger), name).await?;
    }
    Ok(())
}

fn print_rows(rows: Vec<UsageRecord>) -> Result<()> {
    let headings = [
        "STARTED",
        "BOTTLE",
        "AGENT",
        "PROVIDER",
        "MODEL",
        "INPUT",
        "OUTPUT",
        "CACHE READ",
        "CACHE WRITE",
        "TOTAL",
        "CHARGED",
        "QUALITY",
        "RUN",
    ];
    let cells = rows.into_iter().map(|row| {
        vec![
            output::instant(row.started_at).into(),
            row.bottle.as_str().into(),
            row.agent.as_ref().map_or("", |agent| agent.as_str()).into(),
            row.provider.as_str().into(),
            row.model.unwrap_or_default().into(),
            row.usage.input.into(),
            row.usage.output.into(),
            row.usage.cache_read.into(),
            row.usage.cache_write.into(),
            row.usage.total.into(),
            row.charged.into(),
            row.quality.name().into(),
            row.run_id.as_str().into(),
        ]
    });
    output::table(&headings, cells.collect())
}

fn print_sums(by: &[UsageBy], sums: Vec<UsageSum>) -> Result<()> {
    let mut headings: Vec<String> = by.iter().map(|by| name(*by).to_uppercase()).collect();
    headings.extend(
        ["REQUESTS", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITE", "TOTAL", "CHARGED", "NOT EXACT"]
            .map(str::to_owned),
    );
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let cells = sums.into_iter().map(|sum| {
        let mut row: Vec<Cell> = sum.group.into_iter().map(Cell::from).collect();
        let usage = sum.usage;
        let numbers = [
            sum.requests,
            usage.input,
            usage.output,
            usage.cache_read,
            usage.cache_write,
            usage.total,
            sum.charged,
            sum.inexact,
        ];
        row.extend(numbers.map(Cell::from));
        row
    });
    output::table(&headings, cells.collect())
}

fn object_of(by: &[UsageBy], sum: &UsageSum) -> Value {
    let mut object = Map::new();
    for (by, value) in by.iter().zip(&sum.group) {
        let value = if value.is_empty() { Value::Null } else { Value::from(value.as_str()) };
        object.insert(name(*by).to_owned(), value);
    }
    let usage = sum.usage;
    let numbers = [
        ("requests", sum.requests),
        ("inexact", sum.inexact),
        ("input", usage.input),
        ("output", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("reasoning", usage.reasoning),
        ("total", usage.total),
        ("charged", sum.charged),
    ];
    object.extend(numbers.map(|(name, number)| (name.to_owned(), Value::from(number))));
    Value::Object(object)
}

/// Each column once: grouping twice by the same says nothing more, and JSON has each key once.
fn distinct(by: &[UsageBy]) -> Vec<UsageBy> {
    let mut kept = Vec::new();
    for by in by {
        if !kept.contains(by) {
            kept.push(*by);
        }
    }
    kept
}

fn column(by: UsageBy) -> UsageColumn {
    match by {
        UsageBy::Agent => UsageColumn::Agent,
        UsageBy::Bottle => UsageColumn::Bottle,
        UsageBy::Day => UsageColumn::Day,
        UsageBy::Model => UsageColumn::Model,
        UsageBy::Provider => UsageColumn::Provider,
        UsageBy::Run => UsageColumn::Run,
    }
}

fn name(by: UsageBy) -> &'static str {
    match by {
        UsageBy::Agent => "agent",
        UsageBy::Bottle => "bottle",
        UsageBy::Day => "day",
        UsageBy::Model => "model",
        UsageBy::Provider => "provider",
        UsageBy::Run => "run",
    }
}

/// A day (its beginning in UTC, as `--by day` counts) or an instant, in unix milliseconds.
fn since(text: &str) -> Result<i64> {
    let instant = text.parse::<Timestamp>().ok().or_else(|| {
        // A date and nothing else: jiff would take the date out of a longer text.
        let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text)?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    });
    match instant {
        Some(instant) => Ok(instant.as_millisecond()),
        None => Err(Exit::usage(format!(
            "--since {text:?} is neither a day such as 2026-11-01 nor an instant such as 2026-11-01T09:30:00Z"
        ))
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::Usage;

    #[test]
    fn since_takes_days_and_instants() {
        assert_eq!(since("1970-01-02").unwrap(), 86_400_000);
        assert_eq!(since("1970-01-01T01:00:00+01:00").unwrap(), 0);
        for bad in ["", "yesterday", "2026-13-01", "2026-11-01T09:30", "2026-11-01 x"] {
            let error = since(bad).unwrap_err();
            assert_eq!(exit::code_of(&error), exit::USAGE, "{bad}: {error}");
        }
    }

    #[test]
    fn a_sum_names_its_group() {
        let sum = UsageSum {
            group: vec!["ci".to_owned(), String::new()],
            requests: 2,
            inexact: 1,
            usage: Usage { input: 3, output: 4, total: 7, ..Usage::default() },
            charged: 8,
        };
        let object = object_of(&[UsageBy::Bottle, UsageBy::Agent], &sum);
        assert_eq!(object.get("bottle").unwrap(), "ci");
        assert!(object.get("agent").unwrap().is_null());
        assert_eq!(object.get("total").unwrap(), 7);
        assert_eq!(distinct(&[UsageBy::Day, UsageBy::Run, UsageBy::Day]), [UsageBy::Day, UsageBy::Run]);
    }
}
