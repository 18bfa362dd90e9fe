//! Waiting for decisions: one look at the ledger for all who wait, at each of its changes.
//!
//! Invariant: a decision that was made before the wait is over is an answer, however late it is seen: what ends a wait
//! is what the ledger says then.

use crate::shared::now;
use hudson_schema::ledger::{Approval, ApprovalId, ApprovalStatus, LedgerError, SharedLedger};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long after a look the next one comes at the earliest: a ledger that is busy with other things is not asked at
/// each of them.
const PAUSE: Duration = Duration::from_millis(10);
/// When it is looked again although nothing has changed: a look may have failed, and who waited may be gone.
const AGAIN: Duration = Duration::from_millis(500);

/// Everybody in this process who waits.
#[derive(Clone)]
pub struct Waiting {
    ledger: SharedLedger,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What is waited for, and what it has become.
    waited: HashMap<ApprovalId, watch::Sender<bool>>,
    /// Whether somebody looks.
    looking: bool,
}

impl Waiting {
    /// Nobody yet.
    pub fn new(ledger: SharedLedger) -> Self {
        Self { ledger, state: Arc::default() }
    }

    /// Waits until it is decided, or has ended in another way, or `until`; what it is then. `None` when there is none.
    pub async fn settled(&self, id: &ApprovalId, until: Instant) -> Result<Option<Approval>, LedgerError> {
        let mut moved = self.subscribe(id);
        loop {
            moved.mark_unchanged();
            let over = Instant::now() >= until;
            let Some(found) = self.ledger.approval_fetch(id, now()).await? else { return Ok(None) };
            if over || found.status != ApprovalStatus::Pending {
                return Ok(Some(found));
            }
            // Time runs out without anybody's doing.
            let left = found.decision_expires_at.saturating_sub(now()).max(1);
            let left = Duration::from_millis(u64::try_from(left).unwrap_or(1));
            let expires = Instant::now().checked_add(left).unwrap_or(until);
            tokio::select! {
                // Without a sender nobody looks, which does not happen while this one is here.
                _ = moved.changed() => {}
                () = sleep_until(until.min(expires)) => {}
            }
        }
    }

    /// Joins those who wait, before the ledger is asked for the first time: no decision comes in between.
    fn subscribe(&self, id: &ApprovalId) -> watch::Receiver<bool> {
        let mut state = self.lock();
        let moved = state.waited.entry(id.clone()).or_insert_with(|| watch::Sender::new(false)).subscribe();
        if !state.looking {
            state.looking = true;
            let (waiting, changes) = (self.clone(), self.ledger.changes());
            tokio::spawn(async move { waiting.look(changes).await });
        }
        moved
    }

    async fn look(&self, mut changes: watch::Receiver<u64>) {
        loop {
            changes.mark_unchanged();
            let Some(ids) = self.waited() else { return };
            for id in ids {
                // What cannot be read now is looked at again soon, changed or not.
                if let Ok(found) = self.ledger.approval_fetch(&id, now()).await
                    && found.is_none_or(|found| found.status != ApprovalStatus::Pending)
                {
                    self.wake(&id);
                }
            }
            if let Ok(Err(_)) = timeout(AGAIN, changes.changed()).await {
                // The ledger is closed, which who waits is told when they ask it once more.
                sleep(AGAIN).await;
            }
            sleep(PAUSE).await;
        }
    }

    /// What is waited for; nobody looks any more when it is nothing.
    fn waited(&self) -> Option<Vec<ApprovalId>> {
        let mut state = self.lock();
        state.waited.retain(|_, moved| moved.receiver_count() > 0);
        state.looking = !state.waited.is_empty();
        state.looking.then(|| state.waited.keys().cloned().collect())
    }

    fn wake(&self, id: &ApprovalId) {
        if let Some(moved) = self.lock().waited.get(id) {
            moved.send_replace(true);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
