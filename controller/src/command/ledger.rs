//! The ledger as commands see it: those that only read find it there or not yet, and never make it; an order makes it.

use super::Context;
use crate::approvals::place;
use crate::instance;
use anyhow::Result;
use hudson_schema::ledger::SharedLedger;
use hudson_schema::ledger::sqlite::SqliteLedger;
use std::io::ErrorKind;
use std::sync::Arc;

/// Opens the ledger for reading; `None` when nothing has been recorded yet.
pub(super) fn open(context: &Context) -> Result<Option<SharedLedger>> {
    if let Some(ledger) = &context.ledger {
        return Ok(Some(ledger.clone()));
    }
    let path = context.home.ledger();
    match std::fs::metadata(&path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        // An empty file is what is left of a process that died before it wrote anything.
        Ok(found) if found.is_file() && found.len() == 0 => Ok(None),
        _ => Ok(Some(Arc::new(SqliteLedger::open_read_only(&path)?))),
    }
}

/// Opens the ledger for an order, made if it is missing. Nobody gives one from inside of a bottle.
pub(super) fn open_to_write(context: &Context) -> Result<SharedLedger> {
    place::refuse_bottle(i32::try_from(std::process::id())?)?;
    if let Some(ledger) = &context.ledger {
        return Ok(ledger.clone());
    }
    instance::make_home(&context.home)?;
    crate::settings::ledger(&context.home, &crate::settings::read(&context.home)?)
}

/// Who gives an order, for the audit.
pub(super) fn actor() -> String {
    format!("operator:{}", rustix::process::getuid().as_raw())
}

/// The words for a home without a ledger.
pub(super) fn nothing_yet(context: &Context) -> String {
    format!("nothing recorded yet in {}\n", context.home.path().display())
}
