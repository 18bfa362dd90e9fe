//! What has to reach the ledger, also where it cannot be written for a while: a full disk loses no number.
//!
//! Invariant: until it is written, the hold stands in the ledger and counts, so that nothing is spent on its account
//! twice. What is written late is written once: a settlement whose hold is gone already is an error that ends it. So much
//! waits at most, and what finds no room is told and left: its hold becomes `held` usage when this process ends.

use super::Origin;
use crate::event::Event;
use hudson_schema::ledger::LedgerError;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The first pause before it is tried again, which doubles each time, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// How often it is tried before it is told again that it fails.
const TOLD_EVERY: u32 = 60;

/// Does it; and where the ledger cannot be written, again in a task of its own, until it can or the proxy ends.
pub(super) async fn persist<A, F>(origin: &Arc<Origin>, what: &'static str, mut attempt: A)
where
    A: FnMut() -> F + Send + 'static,
    F: Future<Output = Result<(), LedgerError>> + Send,
{
    let Err(error) = attempt().await else { return };
    report(origin, what, &error);
    let Ok(room) = origin.shared.late.clone().try_acquire_owned() else { return };
    if !error.may_pass() {
        return;
    }
    let origin = origin.clone();
    let tasks = origin.shared.tasks.clone();
    tasks.spawn(async move {
        let (_room, mut pause, mut failures) = (room, FIRST, 0_u32);
        loop {
            let last = tokio::select! {
                () = sleep(pause) => false,
                () = origin.shared.abort.cancelled() => true,
            };
            match attempt().await {
                Ok(()) => return,
                Err(error) if last || !error.may_pass() => return report(&origin, what, &error),
                Err(error) => {
                    pause = LONGEST.min(pause * 2);
                    failures = failures.saturating_add(1);
                    if failures.is_multiple_of(TOLD_EVERY) {
                        report(&origin, what, &error);
                    }
                }
            }
        }
    });
}

fn report(origin: &Origin, what: &'static str, error: &LedgerError) {
    origin.shared.events.emit(Event::LedgerFailed { what, error: error.to_string() });
}
