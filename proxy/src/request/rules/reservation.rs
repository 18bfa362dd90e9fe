//! What a request was counted for, until it is known how it ended.
//!
//! Invariant: it ends once. Dropped before the request could leave, it is given back as the rules say; dropped later, it
//! stays counted.

use super::super::Origin;
use super::super::persist::persist;
use hudson_schema::ledger::CounterReservation;
use std::sync::Arc;

/// How a request ended, as far as counters go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum End {
    /// Provably nothing of it has left.
    NotSent,
    /// The upstream failed: an answer of 500 or above, or none.
    UpstreamError,
    /// It was answered, or may have been.
    Sent,
}

/// A reservation of counters.
pub(in super::super) struct Reservation {
    held: Option<Held>,
    /// Whether the request may have left.
    sent: bool,
}

struct Held {
    origin: Arc<Origin>,
    id: CounterReservation,
    /// What is given back where nothing has left.
    unsent: Vec<usize>,
    /// What is given back where the upstream failed.
    failed: Vec<usize>,
}

impl Reservation {
    /// Of a request that nothing counts.
    pub(in super::super) fn nothing() -> Self {
        Self { held: None, sent: false }
    }

    pub(super) fn new(
        origin: Arc<Origin>,
        id: CounterReservation,
        unsent: Vec<usize>,
        failed: Vec<usize>,
    ) -> Self {
        Self { held: Some(Held { origin, id, unsent, failed }), sent: false }
    }

    /// Says that the request may leave from here on.
    pub(in super::super) fn leaves(&mut self) {
        self.sent = true;
    }

    /// Ends it. What is given back is given back when this returns, so that the same request can follow at once.
    pub(in super::super) async fn settle(mut self, end: End) {
        let Some(held) = self.held.take() else { return };
        let back = held.back(end);
        match back.is_empty() {
            true => held.settle_later(back),
            false => held.settle(back).await,
        }
    }
}

impl Held {
    fn back(&self, end: End) -> Vec<usize> {
        match end {
            End::NotSent => self.unsent.clone(),
            End::UpstreamError => self.failed.clone(),
            End::Sent => Vec::new(),
        }
    }

    async fn settle(self, back: Vec<usize>) {
        let (ledger, id) = (self.origin.shared.ledger.clone(), self.id);
        persist(&self.origin, "settling what rules have counted", move || {
            let (ledger, id, back) = (ledger.clone(), id.clone(), back.clone());
            async move { ledger.counter_settle(&id, &back).await.map(drop) }
        })
        .await;
    }

    fn settle_later(self, back: Vec<usize>) {
        let tasks = self.origin.shared.tasks.clone();
        tasks.spawn(async move { self.settle(back).await });
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let back = held.back(if self.sent { End::Sent } else { End::NotSent });
        held.settle_later(back);
    }
}
