//! The ledger as commands that only read see it: there or not yet, never made, never written.

use super::Context;
use anyhow::Result;
use hudson_schema::ledger::SharedLedger;
use hudson_schema::ledger::sqlite::SqliteLedger;
use std::io::ErrorKind;
use std::sync::Arc;

/// Opens the ledger for reading; `None` when nothing has been recorded yet.
pub(super) fn open(context: &Context) -> Result<Option<SharedLedger>> {
    let path = context.home.ledger();
    match std::fs::metadata(&path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        // An empty file is what is left of a process that died before it wrote anything.
        Ok(found) if found.is_file() && found.len() == 0 => Ok(None),
        _ => Ok(Some(Arc::new(SqliteLedger::open_read_only(&path)?))),
    }
}

/// The words for a home without a ledger.
pub(super) fn nothing_yet(context: &Context) -> String {
    format!("nothing recorded yet in {}\n", context.home.path().display())
}
