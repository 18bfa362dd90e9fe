//! From an id as it is written to the one approval or grant that is meant.
//!
//! Invariant: a beginning that two have names neither.

use crate::cli::ApprovalRef;
use crate::exit::Exit;
use crate::instance::now;
use anyhow::Result;
use hudson_schema::ledger::{Approval, ApprovalQuery, Grant, GrantQuery, Ledger};

/// Rows that are read at a time.
const PAGE: usize = 1000;

/// The approval that is meant.
pub(super) async fn approval(ledger: &dyn Ledger, id: &ApprovalRef) -> Result<Approval> {
    let text = match id {
        ApprovalRef::Whole(whole) => {
            return ledger.approval_fetch(whole, now()).await?.ok_or_else(|| unknown(id).into());
        }
        ApprovalRef::Beginning(text) => text,
    };
    let mut found: Option<Approval> = None;
    let mut before = None;
    loop {
        let query = ApprovalQuery { before, most: PAGE, now: now(), ..ApprovalQuery::default() };
        let page = ledger.approval_list(query).await?;
        before = page.last().map(|last| last.seq);
        for approval in page {
            if !approval.id.as_str().starts_with(text) {
                continue;
            }
            if let Some(other) = found.replace(approval) {
                return Err(ambiguous(text, "approvals", other.id.as_str()).into());
            }
        }
        if before.is_none() {
            return found.ok_or_else(|| unknown(id).into());
        }
    }
}

/// The grant that is meant.
pub(super) async fn grant(ledger: &dyn Ledger, text: &str) -> Result<Grant> {
    let grants = ledger.grant_list(GrantQuery { bottle: None, ended: true, now: now() }).await?;
    let mut found = grants.into_iter().filter(|grant| grant.id.as_str().starts_with(text));
    match (found.next(), found.next()) {
        (Some(grant), None) => Ok(grant),
        (Some(grant), Some(_)) => Err(ambiguous(text, "grants", grant.id.as_str()).into()),
        (None, _) => Err(Exit::not_found(format!(
            "there is no grant {text}; `hudson approvals grants --all` lists them"
        ))
        .into()),
    }
}

/// There is none.
pub(super) fn unknown(id: &ApprovalRef) -> Exit {
    let text = match id {
        ApprovalRef::Whole(id) => id.as_str(),
        ApprovalRef::Beginning(text) => text,
    };
    Exit::not_found(format!("there is no approval {text}; `hudson approvals list --all` lists them"))
}

fn ambiguous(text: &str, what: &str, one: &str) -> Exit {
    Exit::usage(format!("several {what} begin with {text}, {one} among them; write more of the id"))
}
