//! Waiting for decisions: one task of a process looks at what is waited for when the ledger changes, and wakes those whose
//! approval is decided. However many wait, the ledger is asked once for each approval.
//!
//! Invariant: no decision is missed: who waits is entered before it looks, and whoever is woken looks for itself. Waits
//! are by the monotonic clock; what has expired is by the wall clock.

use crate::instance::now;
use hudson_schema::ledger::{Approval, ApprovalId, ApprovalStatus, LedgerError, SharedLedger};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How soon it is looked again after the ledger could not be read.
const REST: Duration = Duration::from_millis(100);

/// Those who wait in this process.
pub struct Waiting {
    ledger: SharedLedger,
    // A std mutex: map operations, never over an await.
    watched: Mutex<HashMap<ApprovalId, (watch::Sender<()>, usize)>>,
}

/// One who waits; gone when dropped.
struct Place<'a> {
    waiting: &'a Waiting,
    id: ApprovalId,
    woken: watch::Receiver<()>,
}

impl Waiting {
    /// Nobody yet. The task that wakes lives as long as the ledger.
    pub fn new(ledger: SharedLedger) -> Arc<Self> {
        let waiting = Arc::new(Self { ledger, watched: Mutex::default() });
        tokio::spawn(waking(Arc::downgrade(&waiting), waiting.ledger.changes()));
        waiting
    }

    /// The approval once it is decided, or as it is at `until`; `None` when there is none. What is decided in the last
    /// moment is a decision.
    pub async fn wait(&self, id: &ApprovalId, until: Instant) -> Result<Option<Approval>, LedgerError> {
        let mut place = self.enter(id);
        loop {
            let Some(found) = self.ledger.approval_fetch(id, now()).await? else { return Ok(None) };
            if found.status != ApprovalStatus::Pending || Instant::now() >= until {
                return Ok(Some(found));
            }
            let left = u64::try_from(found.decision_expires_at.saturating_sub(now())).unwrap_or_default();
            let expiry = Instant::now() + Duration::from_millis(left.saturating_add(1));
            tokio::select! {
                woken = place.woken.changed() => if woken.is_err() { return Ok(Some(found)) },
                () = sleep_until(until.min(expiry)) => {}
            }
        }
    }

    fn enter(&self, id: &ApprovalId) -> Place<'_> {
        let mut watched = self.lock();
        let (sender, count) = watched.entry(id.clone()).or_insert_with(|| (watch::Sender::new(()), 0));
        *count += 1;
        Place { waiting: self, id: id.clone(), woken: sender.subscribe() }
    }

    /// Wakes those whose approval is not pending any more.
    async fn look(&self) -> Result<(), LedgerError> {
        let ids: Vec<ApprovalId> = self.lock().keys().cloned().collect();
        for id in ids {
            let found = self.ledger.approval_fetch(&id, now()).await?;
            if found.is_none_or(|found| found.status != ApprovalStatus::Pending)
                && let Some((sender, _)) = self.lock().get(&id)
            {
                sender.send_replace(());
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ApprovalId, (watch::Sender<()>, usize)>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut watched = self.waiting.lock();
        if let Some((_, count)) = watched.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                watched.remove(&self.id);
            }
        }
    }
}

async fn waking(waiting: std::sync::Weak<Waiting>, mut changes: watch::Receiver<u64>) {
    while changes.changed().await.is_ok() {
        loop {
            let Some(waiting) = waiting.upgrade() else { return };
            match waiting.look().await {
                Ok(()) => break,
                Err(_) => tokio::time::sleep(REST).await,
            }
        }
    }
}
