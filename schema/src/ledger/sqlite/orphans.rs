//! Holds that were placed for somebody who no longer waits: nothing was sent under them, so they are given back in the
//! next transaction.

use super::{Hold, HoldId, HoldOutcome, LedgerError};
use std::sync::{Mutex, PoisonError};

/// The holds to give back.
#[derive(Default)]
pub(super) struct Orphans {
    holds: Mutex<Vec<HoldId>>,
}

impl Orphans {
    /// Those there are.
    pub(super) fn take(&self) -> Vec<HoldId> {
        std::mem::take(&mut *self.holds.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts some back.
    pub(super) fn put_back(&self, holds: Vec<HoldId>) {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).extend(holds);
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        !self.holds.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// An outcome on its way; dropped on the way, its hold is given back.
pub(super) struct Undelivered {
    outcome: Option<HoldOutcome>,
    give_back: Box<dyn Fn(HoldId) + Send>,
}

impl Undelivered {
    /// Wraps an outcome until it is delivered.
    pub(super) fn new(outcome: HoldOutcome, give_back: impl Fn(HoldId) + Send + 'static) -> Self {
        Self { outcome: Some(outcome), give_back: Box::new(give_back) }
    }

    /// Whether a hold was placed.
    pub(super) fn is_placed(&self) -> bool {
        matches!(self.outcome, Some(HoldOutcome::Placed(_)))
    }

    /// Takes the outcome: from here on the hold is the asker's to settle.
    pub(super) fn deliver(mut self) -> Result<HoldOutcome, LedgerError> {
        self.outcome.take().ok_or(LedgerError::Closed)
    }
}

impl Drop for Undelivered {
    fn drop(&mut self) {
        if let Some(HoldOutcome::Placed(Hold { id, .. })) = self.outcome.take() {
            (self.give_back)(id);
        }
    }
}
