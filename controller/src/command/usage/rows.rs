//! Usage row by row.

use super::output::{self, Cell};
use anyhow::Result;
use hudson_schema::ledger::{SharedLedger, UsageQuery, UsageRecord};

/// The rows; none without a ledger.
pub(super) async fn read(ledger: Option<&SharedLedger>, query: UsageQuery) -> Result<Vec<UsageRecord>> {
    match ledger {
        Some(ledger) => Ok(ledger.usage_list(query).await?),
        None => Ok(Vec::new()),
    }
}

/// What people want to see of each.
pub(super) fn table(rows: Vec<UsageRecord>) -> String {
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
    output::table_text(&headings, cells.collect())
}

/// Everything of each, under the names that JSON has.
pub(super) fn csv(rows: Vec<UsageRecord>) -> Result<()> {
    let headings = [
        "id",
        "run_id",
        "bottle",
        "agent",
        "parent",
        "provider",
        "host",
        "model",
        "response_id",
        "input",
        "output",
        "cache_read",
        "cache_write",
        "reasoning",
        "total",
        "charged",
        "quality",
        "status",
        "stream",
        "started_at",
        "finished_at",
    ];
    super::csv::print(&headings, rows.into_iter().map(cells))
}

fn cells(row: UsageRecord) -> Vec<Cell> {
    vec![
        row.id.to_string().into(),
        row.run_id.as_str().into(),
        row.bottle.as_str().into(),
        row.agent.as_ref().map_or("", |agent| agent.as_str()).into(),
        row.parent.unwrap_or_default().into(),
        row.provider.as_str().into(),
        row.host.into(),
        row.model.unwrap_or_default().into(),
        row.response_id.unwrap_or_default().into(),
        row.usage.input.into(),
        row.usage.output.into(),
        row.usage.cache_read.into(),
        row.usage.cache_write.into(),
        row.usage.reasoning.into(),
        row.usage.total.into(),
        row.charged.into(),
        row.quality.name().into(),
        u64::from(row.status).into(),
        row.stream.to_string().into(),
        output::precise_instant(row.started_at).into(),
        output::precise_instant(row.finished_at).into(),
    ]
}
