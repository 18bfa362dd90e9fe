//! `hudson audit`: what was decided and charged, in order, and whether anybody has touched it since.
//!
//! Invariant: it only reads, in pages, so that a ledger that is written to meanwhile, and one of any length, can be
//! looked at.

use super::output::{self, Cell};
use super::{Context, ledger};
use crate::cli::AuditCommand;
use crate::exit;
use anyhow::Result;
use hudson_schema::budget::WindowClock;
use hudson_schema::ledger::audit::Chain;
use hudson_schema::ledger::{AuditRecord, SharedLedger};
use serde::Serialize;
use std::time::Duration;

/// Rows that are read at a time.
const PAGE: usize = 1000;
/// How often `tail --follow` looks where nothing tells of a change.
const LOOK: Duration = Duration::from_secs(1);

/// Runs `hudson audit …`.
pub(super) async fn execute(context: &Context, command: AuditCommand) -> Result<u8> {
    let Some(ledger) = ledger::open(context)? else {
        return match command {
            AuditCommand::Verify { head: Some(_) } => {
                Err(exit::Exit::not_found(ledger::nothing_yet(context)).into())
            }
            _ => output::text(&ledger::nothing_yet(context)).map(|()| exit::OK),
        };
    };
    match command {
        AuditCommand::Tail { lines, follow } => tail(context, &ledger, lines, follow).await,
        AuditCommand::Verify { head } => verify(context, &ledger, head.as_deref()).await,
        AuditCommand::Export => export(&ledger).await,
    }
}

async fn tail(context: &Context, ledger: &SharedLedger, lines: u32, follow: bool) -> Result<u8> {
    let settings = crate::settings::read(&context.home)?;
    let clock = settings.clock()?;
    let last = ledger.audit_last().await?;
    let mut seen = last.saturating_sub(i64::from(lines)).max(0);
    let mut changes = ledger.changes();
    loop {
        loop {
            let rows = ledger.audit_list(seen, PAGE).await?;
            let Some(last) = rows.last() else { break };
            seen = last.seq;
            print(context, &clock, &rows)?;
        }
        if !follow {
            return Ok(exit::OK);
        }
        tokio::select! {
            changed = tokio::time::timeout(LOOK, changes.changed()) => drop(changed),
            _ = tokio::signal::ctrl_c() => return Ok(exit::OK),
        }
    }
}

pub(super) fn print(context: &Context, clock: &WindowClock, rows: &[AuditRecord]) -> Result<()> {
    if context.json {
        return rows.iter().try_for_each(output::json);
    }
    let cells = rows.iter().map(|row| -> Vec<Cell> {
        vec![
            u64::try_from(row.seq).unwrap_or_default().into(),
            clock.display(row.ts).into(),
            row.kind.as_str().into(),
            row.actor.as_str().into(),
            row.bottle.clone().unwrap_or_default().into(),
            row.data.as_str().into(),
        ]
    });
    output::table(&["SEQ", "AT", "KIND", "ACTOR", "BOTTLE", "DATA"], cells.collect())
}

/// What `verify` found.
#[derive(Debug, Serialize)]
struct Verdict {
    sound: bool,
    /// Rows that follow from each other.
    rows: i64,
    /// The hash of the last of them.
    head: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

async fn verify(context: &Context, ledger: &SharedLedger, head: Option<&str>) -> Result<u8> {
    let mut chain = Chain::default();
    let mut fault = None;
    let mut met = head.is_none();
    // Rows that come meanwhile are not waited for.
    let last = ledger.audit_last().await?;
    while fault.is_none() && chain.rows() < last {
        let rows = ledger.audit_list(chain.rows(), PAGE).await?;
        if rows.is_empty() {
            fault = Some(format!("rows behind {} are gone", chain.rows()));
        }
        for row in &rows {
            if let Err(broken) = chain.follow(row) {
                fault = Some(broken.to_string());
                break;
            }
            met = met || head.is_some_and(|head| chain.head().to_string().eq_ignore_ascii_case(head));
        }
    }
    if fault.is_none() && !met {
        fault = Some(
            "no row has the hash that was given: rows at the end were removed, or all were replaced".into(),
        );
    }
    let verdict =
        Verdict { sound: fault.is_none(), rows: chain.rows(), head: chain.head().to_string(), fault };
    if context.json {
        output::json(&verdict)?;
    } else {
        output::text(&match &verdict.fault {
            None => format!(
                "{} rows follow from each other; the last one's hash is {}\n",
                verdict.rows, verdict.head
            ),
            Some(fault) => format!("BROKEN: {fault} ({} rows follow from each other)\n", verdict.rows),
        })?;
    }
    Ok(if verdict.sound { exit::OK } else { exit::FAILED })
}

async fn export(ledger: &SharedLedger) -> Result<u8> {
    let mut seen = 0;
    loop {
        let rows = ledger.audit_list(seen, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(exit::OK) };
        seen = last.seq;
        let mut text = String::new();
        for row in &rows {
            text.push_str(&serde_json::to_string(row)?);
            text.push('\n');
        }
        output::text(&text)?;
    }
}
