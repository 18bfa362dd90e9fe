//! `hudson report`: the edge of [`crate::report`]. Reads the ledger and the limits, and writes the page.
//!
//! Invariant: the page is put in its place whole, or the old one stays.

use super::{Context, bottle, budget, ledger, output};
use crate::cli::ReportArgs;
use crate::dashboard::sentence;
use crate::exit::{self, Exit};
use crate::instance::now;
use crate::report::{self, Budget, Part, Report, Stop, Sum, Usage};
use anyhow::{Context as _, Result};
use hudson_schema::ledger::{AuditRecord, SharedLedger, UsageColumn, UsageQuery, UsageSum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Days that are looked back where nothing else is asked for.
const DAYS: i64 = 30;
/// The longest time of which every day is drawn, also those before the first that has usage.
const LONGEST: usize = 400;
/// Rows of the audit that are read at a time.
const PAGE: usize = 1000;

/// Writes a report.
pub(super) async fn execute(context: &Context, arguments: ReportArgs) -> Result<u8> {
    let report = read(context, &arguments).await?;
    let page = report::html(&report);
    if arguments.output.as_os_str() == "-" {
        output::text(&page)?;
        return Ok(exit::OK);
    }
    write(&arguments.output, page.as_bytes())?;
    let file = arguments.output.display();
    match context.json {
        true => output::json(&json!({
            "file": arguments.output, "since": report.since, "until": report.until, "bytes": page.len(),
        }))?,
        false => output::text(&format!("{file}\n"))?,
    }
    Ok(exit::OK)
}

async fn read(context: &Context, arguments: &ReportArgs) -> Result<Report> {
    let made_at = now();
    let until = arguments.period.until.unwrap_or(made_at);
    let since = arguments.period.since.map_or_else(|| earlier(until), Ok)?;
    if since >= until {
        return Err(Exit::usage("--since is not before --until: no time is left to report").into());
    }
    let ledger = ledger::open(context)?;
    if let Some(name) = &arguments.bottle {
        bottle::refuse_unknown(context, ledger.as_ref(), name).await?;
    }
    let mut report = Report {
        home: context.home.path().display().to_string(),
        bottle: arguments.bottle.as_ref().map(ToString::to_string),
        since,
        until,
        made_at,
        ..Report::default()
    };
    match limits(context, arguments, ledger.as_ref()).await {
        Ok((warn_at, limits)) => (report.warn_at, report.budgets) = (warn_at, limits),
        // Bad files hide the limits, and nothing else.
        Err(error) => report.fault = Some(format!("{error:#}")),
    }
    if let Some(ledger) = &ledger {
        let sums = async |by: &[UsageColumn]| {
            let (since, until) = (Some(since), Some(until));
            ledger
                .usage_sum(UsageQuery {
                    bottle: arguments.bottle.clone(),
                    since,
                    until,
                    by: by.to_vec(),
                    run: None,
                })
                .await
        };
        let used = sums(&[UsageColumn::Bottle, UsageColumn::Provider, UsageColumn::Day]).await?;
        report.usage = used.into_iter().filter_map(usage).collect();
        report.qualities = parts(sums(&[UsageColumn::Quality]).await?);
        report.models = parts(sums(&[UsageColumn::Model]).await?);
        report.hosts = parts(sums(&[UsageColumn::Host]).await?);
        report.stops = stops(ledger, &report).await?;
    }
    report.days = days(&report)?;
    Ok(report)
}

/// The beginning of the first of the days that are looked back.
fn earlier(until: i64) -> Result<i64> {
    let last = day(until)?;
    let first = last.checked_sub((DAYS - 1).days()).context("--until is too early")?;
    Ok(first.to_zoned(TimeZone::UTC)?.timestamp().as_millisecond())
}

fn day(milliseconds: i64) -> Result<Date> {
    Ok(Timestamp::from_millisecond(milliseconds)?.to_zoned(TimeZone::UTC).date())
}

/// Every day of the report; of a long time, from the first that has usage.
fn days(report: &Report) -> Result<Vec<String>> {
    // What begins at the very end of it is none of it.
    let (asked, last) = (day(report.since)?, day(report.until - 1)?);
    let used = report.usage.iter().filter_map(|usage| usage.day.parse::<Date>().ok()).min();
    let length = usize::try_from((last - asked).get_days()).unwrap_or_default();
    let first = if length < LONGEST { asked } else { used.unwrap_or(last).max(asked) };
    let days = first.series(1.day()).take_while(|day| *day <= last);
    Ok(days.map(|day| day.to_string()).collect())
}

async fn limits(
    context: &Context,
    arguments: &ReportArgs,
    ledger: Option<&SharedLedger>,
) -> Result<(Option<u8>, Vec<Budget>)> {
    let settings = crate::settings::read(&context.home)?;
    let rows = budget::every_row(context, &settings, ledger, arguments.bottle.as_ref()).await?;
    let limit = |row: budget::Row| Budget {
        scope: match row.name.is_empty() {
            true => "the whole host".to_owned(),
            false => format!("{} {}", row.scope, row.name),
        },
        provider: row.provider.to_string(),
        limit: row.limit,
        spent: row.spent,
        held: row.held,
        window: row.window.to_owned(),
        resets_at: row.resets_at.as_deref().map(readable).unwrap_or_default(),
    };
    Ok((settings.warn_at.first().copied(), rows.into_iter().map(limit).collect()))
}

/// An RFC 3339 instant without the letters and zeros that nobody reads.
fn readable(instant: &str) -> String {
    let (at, zone) = (instant.get(..16).unwrap_or(instant), instant.get(19..).unwrap_or_default());
    format!("{} {}", at.replace('T', " "), if matches!(zone, "Z" | "+00:00") { "UTC" } else { zone })
}

fn sum(of: &UsageSum) -> Sum {
    Sum { tokens: of.usage.total, charged: of.charged, requests: of.requests, inexact: of.inexact }
}

fn usage(of: UsageSum) -> Option<Usage> {
    let [bottle, provider, day] = of.group.as_slice() else { return None };
    Some(Usage { bottle: bottle.clone(), provider: provider.clone(), day: day.clone(), sum: sum(&of) })
}

fn parts(sums: Vec<UsageSum>) -> Vec<Part> {
    let part = |of: UsageSum| Part { sum: sum(&of), name: of.group.into_iter().next().unwrap_or_default() };
    sums.into_iter().map(part).collect()
}

/// Blocks that were placed and lifted, and how enforcement ended, from the audit.
async fn stops(ledger: &SharedLedger, report: &Report) -> Result<Vec<Stop>> {
    let (mut stops, mut seen) = (Vec::new(), 0);
    loop {
        let rows = ledger.audit_list(seen, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(stops) };
        seen = last.seq;
        let within = |row: &&AuditRecord| (report.since..report.until).contains(&row.ts);
        let of = rows.iter().filter(within).filter(|row| concerns(row, report.bottle.as_deref()));
        stops.extend(of.map(|row| Stop {
            at: row.ts,
            bottle: row.bottle.clone().unwrap_or_default(),
            text: sentence(row),
        }));
    }
}

/// Whether a row tells of a stop, of this bottle where it is one's report.
fn concerns(row: &AuditRecord, bottle: Option<&str>) -> bool {
    let data: Value = serde_json::from_str(&row.data).unwrap_or_default();
    let told = match row.kind.as_str() {
        "enforcement_advance" => matches!(data.get("state").and_then(Value::as_str), Some("done" | "failed")),
        kind => kind.starts_with("block_"),
    };
    let scope = data.get("scope");
    let part = |key: &str| scope.and_then(|scope| scope.get(key)?.as_str());
    let its = |name| {
        row.bottle.as_deref() == Some(name)
            || part("kind") == Some("global")
            || (matches!(part("kind"), Some("bottle" | "parent")) && part("key") == Some(name))
    };
    told && bottle.is_none_or(its)
}

fn write(path: &Path, page: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".hudson-report-")
            // Less what the umask takes, as for any other file.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        file.write_all(page)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn days_are_whole_and_a_long_time_begins_with_its_usage() {
        let report = |since, until| Report { since, until, ..Report::default() };
        assert_eq!(days(&report(DAY, 3 * DAY)).unwrap(), ["1970-01-02", "1970-01-03"]);
        assert_eq!(days(&report(DAY + 5, DAY + 6)).unwrap(), ["1970-01-02"]);
        let used = Usage { day: "1999-12-30".to_owned(), ..Usage::default() };
        let long = Report { usage: vec![used], ..report(0, 10_957 * DAY) };
        assert_eq!(days(&long).unwrap(), ["1999-12-30", "1999-12-31"]);
        assert_eq!(readable("2026-12-01T00:00:00+00:00"), "2026-12-01 00:00 UTC");
        assert_eq!(readable("2026-12-01T00:00:00+02:00"), "2026-12-01 00:00 +02:00");
        assert_eq!(earlier(31 * DAY + 1).unwrap(), 2 * DAY);
    }
}
