//! `hudson bottle list`: bottles with files and bottles on record, with what they used.

use super::super::output::{self, Cell};
use super::{Context, ledger, on_disk, on_record, watch};
use crate::cli::WatchArgs;
use anyhow::Result;
use hudson_schema::BottleName;
use hudson_schema::config::load_bottle;
use hudson_schema::ledger::{SharedLedger, UsageColumn, UsageQuery, UsageSum};
use serde::Serialize;
use std::collections::BTreeMap;

/// One bottle. What its files say is unknown where they cannot be read.
#[derive(Debug, Serialize)]
pub(in super::super) struct Row {
    bottle: BottleName,
    parents: Vec<BottleName>,
    routes: usize,
    live_runs: usize,
    requests: u64,
    total: u64,
    charged: u64,
    /// Whether it has files; without them it is known from the ledger alone.
    configured: bool,
    /// What is wrong with its files.
    fault: Option<String>,
}

/// Lists bottles.
pub(super) async fn execute(context: &Context, arguments: WatchArgs) -> Result<u8> {
    watch::show(context, arguments, async || page(context).await).await
}

async fn page(context: &Context) -> Result<String> {
    let ledger = ledger::open(context)?;
    let rows = rows(context, ledger.as_ref()).await?;
    if context.json {
        return output::json_line(&rows);
    }
    if rows.is_empty() {
        return Ok(format!("no bottles in {}\n", context.home.path().display()));
    }
    let headings = ["BOTTLE", "PARENTS", "ROUTES", "LIVE RUNS", "REQUESTS", "TOTAL", "CHARGED", "FILES"];
    let cells = rows.iter().map(|row| -> Vec<Cell> {
        let parents: Vec<&str> = row.parents.iter().map(BottleName::as_str).collect();
        let files = match (&row.fault, row.configured) {
            (Some(_), _) => "faulty: see `hudson check`",
            (None, true) => "ok",
            (None, false) => "none",
        };
        vec![
            row.bottle.as_str().into(),
            parents.join(" → ").into(),
            row.routes.into(),
            row.live_runs.into(),
            row.requests.into(),
            row.total.into(),
            row.charged.into(),
            files.into(),
        ]
    });
    Ok(output::table_text(&headings, cells.collect()))
}

/// Every bottle.
pub(in super::super) async fn rows(context: &Context, ledger: Option<&SharedLedger>) -> Result<Vec<Row>> {
    let configured = on_disk(&context.home)?;
    let mut names = configured.clone();
    names.extend(on_record(ledger).await?);
    let mut live: BTreeMap<BottleName, usize> = BTreeMap::new();
    let mut used: BTreeMap<String, UsageSum> = BTreeMap::new();
    if let Some(ledger) = ledger {
        for run in ledger.run_list(true).await? {
            *live.entry(run.bottle).or_default() += 1;
        }
        for sum in
            ledger.usage_sum(UsageQuery { by: vec![UsageColumn::Bottle], ..UsageQuery::default() }).await?
        {
            used.insert(sum.group.first().cloned().unwrap_or_default(), sum);
        }
    }
    let row = |name: BottleName| {
        let (parents, routes, fault) = match load_bottle(&context.home, &name, None) {
            Ok(bottle) => (bottle.parents, bottle.routes.routes.len(), None),
            Err(error) => (Vec::new(), 0, Some(error.to_string())),
        };
        let sum = used.get(name.as_str());
        Row {
            parents,
            routes,
            live_runs: live.get(&name).copied().unwrap_or_default(),
            requests: sum.map_or(0, |sum| sum.requests),
            total: sum.map_or(0, |sum| sum.usage.total),
            charged: sum.map_or(0, |sum| sum.charged),
            configured: configured.contains(&name),
            fault,
            bottle: name,
        }
    };
    Ok(names.into_iter().map(row).collect())
}
