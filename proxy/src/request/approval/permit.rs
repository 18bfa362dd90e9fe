//! A use of an approval: given back where provably nothing was sent, else ended by what came of it.
//!
//! Invariant: each use ends exactly once. One that is dropped before anything was sent is given back; one that is
//! dropped after that may have happened, and says so.

use super::super::forward::{self, Unsent};
use super::super::persist::persist;
use super::super::rules::{End, Reservation};
use super::super::{Origin, clock};
use crate::run::Opening;
use http::Response;
use hudson_schema::ledger::{Approval, ApprovalUse, ExecutionEnd};
use hyper::body::Incoming;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A request may be sent, once.
#[must_use]
pub(in super::super) struct Permit {
    origin: Arc<Origin>,
    used: Option<ApprovalUse>,
    /// Whether something may have been sent.
    sent: bool,
    /// Whether an upstream that fails gives it back, too.
    back_on_error: bool,
}

/// Every permit that one request needs.
#[derive(Default)]
#[must_use]
pub(in super::super) struct Permits {
    permits: Vec<Permit>,
    /// What was counted for it.
    reserved: Vec<Reservation>,
    /// What was opened for it, until it is answered.
    opening: Option<Opening>,
}

impl Permit {
    pub(super) fn new(origin: Arc<Origin>, approval: &Approval, back_on_error: bool) -> Self {
        Self { origin, used: Some(approval.latest_use()), sent: false, back_on_error }
    }

    /// Gives it back: provably nothing was sent.
    pub(in super::super) async fn give_back(mut self) {
        if let Some(given) = self.roll_back() {
            let _ = given.await;
        }
    }

    /// Rolls it back in a task of its own: who waits for this may be gone before it is done.
    fn roll_back(&mut self) -> Option<oneshot::Receiver<()>> {
        let used = self.used.take()?;
        let (done, given) = oneshot::channel();
        let origin = self.origin.clone();
        self.origin.shared.tasks.spawn(async move {
            let (ledger, at) = (origin.shared.ledger.clone(), clock());
            persist(&origin, "giving an approval back", move || {
                let (ledger, used) = (ledger.clone(), used.clone());
                async move { ledger.approval_rollback(&used, at).await.map(drop) }
            })
            .await;
            let _ = done.send(());
        });
        Some(given)
    }

    fn finish(&mut self, end: ExecutionEnd, detail: String) {
        let Some(used) = self.used.take() else { return };
        let origin = self.origin.clone();
        self.origin.shared.tasks.spawn(async move {
            let (ledger, at) = (origin.shared.ledger.clone(), clock());
            persist(&origin, "ending the use of an approval", move || {
                let (ledger, used, detail) = (ledger.clone(), used.clone(), detail.clone());
                async move { ledger.approval_finish(&used, end, &detail, at).await.map(drop) }
            })
            .await;
        });
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        match self.sent {
            false => drop(self.roll_back()),
            true => self.finish(ExecutionEnd::Unknown, "the client left before an answer came".to_owned()),
        }
    }
}

impl Permits {
    /// One more.
    pub(in super::super) fn push(&mut self, permit: Permit) {
        self.permits.push(permit);
    }

    /// What was counted for it ends with it.
    pub(in super::super) fn count(&mut self, reserved: Reservation) {
        self.reserved.push(reserved);
    }

    /// A host that is on no route may be dialled meanwhile.
    pub(in super::super) fn open(&mut self, opening: Opening) {
        self.opening = Some(opening);
    }

    /// From here on something may be sent.
    pub(in super::super) fn sending(&mut self) {
        self.permits.iter_mut().for_each(|permit| permit.sent = true);
        self.reserved.iter_mut().for_each(Reservation::leaves);
    }

    /// The head of an answer came, or none did.
    pub(in super::super) async fn answered(self, answer: &Result<Response<Incoming>, Unsent>) {
        let end = forward::end_of(answer);
        let (execution, detail) = match answer {
            Ok(response) => {
                let status = response.status();
                let execution = match status {
                    status if status.is_server_error() => ExecutionEnd::Unknown,
                    status if status.is_client_error() => ExecutionEnd::Failed,
                    _ => ExecutionEnd::Executed,
                };
                (execution, format!("HTTP {}", status.as_u16()))
            }
            Err(_) => (ExecutionEnd::Unknown, "no answer came".to_owned()),
        };
        self.ended(end, execution, &detail).await;
    }

    /// It has ended so. What is given back is given back when this returns, so that the same request can follow at once.
    pub(in super::super) async fn ended(self, end: End, execution: ExecutionEnd, detail: &str) {
        for mut permit in self.permits {
            match end == End::NotSent || (end == End::UpstreamError && permit.back_on_error) {
                true => permit.give_back().await,
                false => permit.finish(execution, detail.to_owned()),
            }
        }
        for reserved in self.reserved {
            reserved.settle(end).await;
        }
    }

    /// Gives all back: provably nothing was sent.
    pub(in super::super) async fn give_back(self) {
        self.ended(End::NotSent, ExecutionEnd::Unknown, "").await;
    }
}
