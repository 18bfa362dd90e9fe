//! `hudson approvals watch`: what waits for a decision, as it comes, and how it ends.
//!
//! Invariant: each is printed once when it is there, and once when it has been decided or its time is over.

use super::super::{output, watch};
use super::words::{short, state, times};
use super::{Context, ledger, object};
use crate::exit;
use crate::instance::now;
use anyhow::Result;
use hudson_schema::BottleName;
use hudson_schema::ledger::{Approval, ApprovalId, ApprovalQuery, ApprovalStatus, Ledger, SharedLedger};
use hudson_schema::prompt::{cleaned, digest};
use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::time::Duration;

/// How often it is looked where nothing tells of a change: time ends some.
const LOOK: Duration = Duration::from_secs(1);
/// Characters of an agent's word in a line.
const CUT: usize = 60;

/// Prints what comes until nobody reads any more.
pub(super) async fn execute(context: &Context, bottle: Option<&BottleName>) -> Result<u8> {
    let mut signals = watch::Signals::new()?;
    let mut changes = watch::Changes::default();
    let mut known = BTreeSet::new();
    let mut open: Option<SharedLedger> = None;
    loop {
        if open.is_none() {
            open = ledger::open(context)?;
        }
        if let Some(ledger) = &open {
            for approval in news(&**ledger, bottle, &mut known).await? {
                print(context, &approval)?;
            }
        }
        let next = tokio::time::timeout(LOOK, changes.next(context));
        let ended = tokio::select! {
            ended = signals.next() => ended,
            _ = next => false,
        };
        if ended || !watch::is_read() {
            return Ok(exit::OK);
        }
    }
}

/// What is pending and not known yet, and what is known and not pending any more, in the order of asking.
async fn news(
    ledger: &dyn Ledger,
    bottle: Option<&BottleName>,
    known: &mut BTreeSet<ApprovalId>,
) -> Result<Vec<Approval>> {
    let now = now();
    let query = ApprovalQuery {
        status: Some(ApprovalStatus::Pending),
        bottle: bottle.cloned(),
        before: None,
        most: usize::MAX,
        now,
    };
    let pending = ledger.approval_list(query).await?;
    let there: BTreeSet<ApprovalId> = pending.iter().map(|approval| approval.id.clone()).collect();
    let mut news: Vec<Approval> = Vec::new();
    for ended in known.difference(&there) {
        news.extend(ledger.approval_fetch(ended, now).await?);
    }
    news.extend(pending.into_iter().filter(|approval| !known.contains(&approval.id)));
    news.sort_by_key(|approval| approval.seq);
    *known = there;
    Ok(news)
}

fn print(context: &Context, approval: &Approval) -> Result<()> {
    if context.json {
        return output::json(&object(approval));
    }
    let id = approval.id.as_str();
    let id = if std::io::stdout().is_terminal() { short(id) } else { id.to_owned() };
    let now = now();
    let told = match approval.status {
        ApprovalStatus::Pending => format!(
            "{id}  {}  bottle {}: {} «{}» on «{}», digest {}, {}",
            approval.tier,
            approval.bottle,
            approval.kind,
            cleaned(&approval.action, CUT),
            cleaned(&approval.target, CUT),
            digest(&approval.fingerprint),
            times(approval, now)
        ),
        _ => format!("{id}  {}", state(approval, now)),
    };
    output::text(&(told + "\n"))
}
