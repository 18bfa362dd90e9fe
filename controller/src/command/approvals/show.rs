//! `hudson approvals show`: one approval and every step of it.

use super::super::output::{self, Cell};
use super::words::state;
use super::{Context, find, object, reading};
use crate::approvals::operator::known;
use crate::cli::ApprovalRef;
use crate::exit;
use crate::instance::now;
use anyhow::Result;
use hudson_schema::ledger::{Approval, ApprovalEvent, SharedLedger};
use hudson_schema::prompt;
use serde_json::{Value, json};

/// Shows one.
pub(super) async fn execute(context: &Context, id: &ApprovalRef) -> Result<u8> {
    let ledger = reading(context, id)?;
    let approval = find::approval(&*ledger, id).await?;
    if context.json {
        output::json(&whole(&ledger, &approval).await?)?;
        return Ok(exit::OK);
    }
    let events = ledger.approval_events(&approval.id).await?;
    output::text(&(page(&approval) + "\n" + &steps(&events)))?;
    Ok(exit::OK)
}

/// An approval with its steps, as JSON.
pub(in super::super) async fn whole(ledger: &SharedLedger, approval: &Approval) -> Result<Value> {
    let mut whole = object(approval);
    let events = ledger.approval_events(&approval.id).await?;
    if let Some(members) = whole.as_object_mut() {
        members.insert("events".to_owned(), events.iter().map(event).collect());
    }
    Ok(whole)
}

/// The fixed template, and how far it has got.
pub(super) fn page(approval: &Approval) -> String {
    let now = now();
    let mut lines = prompt::lines(approval, now);
    lines.push(("state", state(approval, now)));
    if let Some(claimed) = &approval.claimed_by {
        lines.push(("claimed", format!("{} (proves nothing)", prompt::quoted(claimed))));
    }
    if let Some(execution) = approval.execution {
        let detail = approval.execution_detail.as_deref().map(prompt::quoted).unwrap_or_default();
        lines.push(("action", format!("{execution} {detail}").trim_end().to_owned()));
    }
    if approval.dedupe_count > 0 {
        lines.push(("asked again", format!("{} times", approval.dedupe_count)));
    }
    lines.iter().map(|(label, value)| output::field(&format!("{label:<14}"), value)).collect()
}

/// A step, its data as what it is.
fn event(event: &ApprovalEvent) -> Value {
    let mut object = json!(event);
    if let Some(members) = object.as_object_mut() {
        members.insert("data".to_owned(), serde_json::from_str(&event.data).unwrap_or_default());
    }
    object
}

fn steps(events: &[ApprovalEvent]) -> String {
    let rows = events.iter().map(|event| -> Vec<Cell> {
        vec![
            output::instant(event.ts).into(),
            event.kind.as_str().into(),
            known(&event.actor).into(),
            event.via.name().into(),
            event.data.as_str().into(),
        ]
    });
    output::table_text(&["AT", "STEP", "BY", "VIA", "DATA"], rows.collect())
}
