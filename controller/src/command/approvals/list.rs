//! `hudson approvals list`: what is open, or all of it.

use super::super::output::{self, Cell};
use super::words::{short, times};
use super::{Context, ledger};
use crate::exit;
use crate::instance::now;
use anyhow::Result;
use hudson_schema::BottleName;
use hudson_schema::ledger::{Approval, ApprovalQuery, ApprovalStatus, SharedLedger};
use hudson_schema::prompt::{cleaned, digest};
use serde_json::{Value, json};
use std::io::IsTerminal as _;

/// Characters of an agent's word in a table.
const CUT: usize = 40;

/// Which approvals are asked for.
pub(in super::super) struct Query {
    /// Only those that are this; what is open when `None`, and `all` does not say otherwise.
    pub(in super::super) status: Option<ApprovalStatus>,
    /// Only those of this bottle.
    pub(in super::super) bottle: Option<BottleName>,
    /// Also what has ended.
    pub(in super::super) all: bool,
    /// The most.
    pub(in super::super) most: u32,
}

/// Lists approvals.
pub(super) async fn execute(context: &Context, asked: &Query) -> Result<u8> {
    let found = match ledger::open(context)? {
        Some(ledger) => rows(&ledger, asked).await?,
        None => Vec::new(),
    };
    if context.json {
        output::json(&found.iter().map(object).collect::<Vec<_>>())?;
        return Ok(exit::OK);
    }
    if found.is_empty() {
        let what = match (asked.status, asked.all) {
            (Some(status), _) => format!("no approval is {status}"),
            (None, true) => "nobody has asked for an approval".to_owned(),
            (None, false) => {
                "nothing waits for a decision; `hudson approvals list --all` lists what has ended".to_owned()
            }
        };
        output::text(&(what + "\n"))?;
        return Ok(exit::OK);
    }
    output::text(&table(&found))?;
    if found.len() >= usize::try_from(asked.most)? {
        eprintln!("hudson: these are the newest {}; -n lists more", asked.most);
    }
    Ok(exit::OK)
}

/// Approvals, newest first.
pub(in super::super) async fn rows(ledger: &SharedLedger, asked: &Query) -> Result<Vec<Approval>> {
    let most = usize::try_from(asked.most)?;
    let of = |status| {
        let query = ApprovalQuery { status, bottle: asked.bottle.clone(), before: None, most, now: now() };
        ledger.approval_list(query)
    };
    if asked.status.is_some() || asked.all {
        return Ok(of(asked.status).await?);
    }
    let mut open = of(Some(ApprovalStatus::Pending)).await?;
    open.extend(of(Some(ApprovalStatus::Approved)).await?);
    open.sort_by_key(|approval| std::cmp::Reverse(approval.seq));
    open.truncate(most);
    Ok(open)
}

/// An approval as JSON.
pub(in super::super) fn object(approval: &Approval) -> Value {
    let mut object = json!(approval);
    if let Some(members) = object.as_object_mut() {
        members.insert("digest".to_owned(), json!(digest(&approval.fingerprint)));
    }
    object
}

fn table(approvals: &[Approval]) -> String {
    let now = now();
    let person = std::io::stdout().is_terminal();
    let rows = approvals.iter().map(|approval| -> Vec<Cell> {
        let id = approval.id.as_str();
        vec![
            // A person types a beginning; a script gets all of it.
            if person { short(id) } else { id.to_owned() }.into(),
            approval.status.name().into(),
            approval.tier.name().into(),
            approval.bottle.as_str().into(),
            format!("{} {}", approval.kind, cleaned(&approval.action, CUT)).into(),
            cleaned(&approval.target, CUT).into(),
            digest(&approval.fingerprint).into(),
            times(approval, now).into(),
        ]
    });
    output::table_text(
        &["ID", "STATUS", "TIER", "BOTTLE", "WHAT", "TARGET", "DIGEST", "TIME"],
        rows.collect(),
    )
}
