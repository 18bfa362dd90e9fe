//! Blocks: nothing passes for a run that is cut off, frozen or killed.

use super::{block_refusal, clock};
use crate::event::Event;
use crate::run::Run;
use crate::shared::Shared;
use hudson_schema::{Refusal, RefusalCode};

/// The refusal that stands against a run, if one does. A ledger that cannot be asked blocks too.
pub(crate) async fn block(shared: &Shared, run: &Run) -> Result<(), Refusal> {
    match run.block(&shared.ledger, clock()).await {
        Ok(None) => Ok(()),
        Ok(Some(block)) => Err(block_refusal(&block, &run.policy().clock)),
        Err(error) => {
            shared.events.emit(Event::LedgerFailed { what: "reading blocks", error: error.to_string() });
            Err(Refusal::new(RefusalCode::LedgerUnavailable, "The ledger cannot be read."))
        }
    }
}

/// Waits for a block against a run: for what goes on without requests at which it would be found.
pub(crate) async fn until_blocked(shared: &Shared, run: &Run) -> Refusal {
    let mut changes = shared.ledger.changes();
    loop {
        changes.mark_unchanged();
        // A block that another process has placed stands here from when this one knows the limit it is of.
        let policy = run.policy();
        if let Err(refusal) = block(shared, run).await {
            return refusal;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                return Refusal::new(RefusalCode::LedgerUnavailable, "The ledger was closed.");
            },
            _ = run.policy_after(&policy) => {}
        }
    }
}
