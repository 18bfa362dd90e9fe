//! `hudson approvals audit`: the audit's rows about approvals and grants.

use super::super::audit;
use super::super::output;
use super::{Context, ledger};
use crate::cli::AuditCommand;
use crate::exit;
use anyhow::Result;
use hudson_schema::ledger::{AuditRecord, Ledger};

/// Rows that are read at a time, from the end.
const PAGE: i64 = 1000;

/// Prints the last ones, or follows the chain.
pub(super) async fn execute(context: &Context, lines: u32, verify: bool) -> Result<u8> {
    if verify {
        return audit::execute(context, AuditCommand::Verify { head: None }).await;
    }
    let Some(ledger) = ledger::open(context)? else {
        if !context.json {
            output::text(&ledger::nothing_yet(context))?;
        }
        return Ok(exit::OK);
    };
    let rows = last(&*ledger, usize::try_from(lines)?).await?;
    let clock = crate::settings::read(&context.home)?.clock()?;
    match rows.is_empty() && !context.json {
        true => output::text("nobody has asked for an approval\n")?,
        false => audit::print(context, &clock, &rows)?,
    }
    Ok(exit::OK)
}

async fn last(ledger: &dyn Ledger, most: usize) -> Result<Vec<AuditRecord>> {
    let mut found: Vec<AuditRecord> = Vec::new();
    let mut end = ledger.audit_last().await?;
    while end > 0 && found.len() < most {
        let after = end.saturating_sub(PAGE).max(0);
        let page = ledger.audit_list(after, usize::try_from(end - after)?).await?;
        let ours = |row: &AuditRecord| row.kind.starts_with("approval_") || row.kind.starts_with("grant_");
        let mut page: Vec<_> = page.into_iter().filter(ours).collect();
        page.append(&mut found);
        found = page;
        end = after;
    }
    let over = found.len().saturating_sub(most);
    Ok(found.split_off(over))
}
