//! Findings of DLP: rows of the audit and nothing else.

use super::audit;
use super::fail::Fail;
use super::{NewFinding, NewFindings};
use rusqlite::Connection;
use serde::Serialize;

/// See [`super::Ledger::finding_insert`].
pub(super) fn insert(connection: &Connection, new: &NewFindings) -> Result<(), Fail> {
    let last = new.findings.len().saturating_sub(1);
    for (index, finding) in new.findings.iter().enumerate() {
        let more = if index == last { new.more } else { 0 };
        audit::append_of_run(connection, new.now, "dlp_finding", &new.run, Told { finding, more })?;
    }
    Ok(())
}

/// A finding, as it is told.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    finding: &'a NewFinding,
    /// How many there were beside these; at the last of them.
    #[serde(skip_serializing_if = "is_none")]
    more: usize,
}

fn is_none(more: &usize) -> bool {
    *more == 0
}
