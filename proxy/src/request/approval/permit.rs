//! A use of an approval: given back where provably nothing was sent, else ended by what came of it.
//!
//! Invariant: each use ends exactly once. One that is dropped before anything was sent is given back; one that is
//! dropped after that may have happened, and says so.

use super::super::persist::persist;
use super::super::{Origin, clock};
use crate::run::Opening;
use http::StatusCode;
use hudson_schema::ledger::{Approval, ApprovalUse, ExecutionEnd};
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

    /// A host that is on no route may be dialled meanwhile.
    pub(in super::super) fn open(&mut self, opening: Opening) {
        self.opening = Some(opening);
    }

    /// All of another's.
    pub(in super::super) fn extend(&mut self, others: Self) {
        self.permits.extend(others.permits);
        self.opening = self.opening.take().or(others.opening);
    }

    /// From here on something may be sent.
    pub(in super::super) fn sending(&mut self) {
        self.permits.iter_mut().for_each(|permit| permit.sent = true);
    }

    /// Nothing was sent, or nobody knows.
    pub(in super::super) async fn unsent(self, provably: bool) {
        for mut permit in self.permits {
            match provably || permit.back_on_error {
                true => permit.give_back().await,
                false => permit.finish(ExecutionEnd::Unknown, "no answer came".to_owned()),
            }
        }
    }

    /// The head of an answer came.
    pub(in super::super) async fn answered(self, status: StatusCode) {
        for mut permit in self.permits {
            if status.is_server_error() && permit.back_on_error {
                permit.give_back().await;
                continue;
            }
            let end = match status {
                status if status.is_server_error() => ExecutionEnd::Unknown,
                status if status.is_client_error() => ExecutionEnd::Failed,
                _ => ExecutionEnd::Executed,
            };
            permit.finish(end, format!("HTTP {}", status.as_u16()));
        }
    }

    /// It was answered in a protocol that says for itself how it ended.
    #[allow(dead_code, reason = "MCP's answers")]
    pub(in super::super) async fn finished(self, end: ExecutionEnd, detail: &str) {
        for mut permit in self.permits {
            match end != ExecutionEnd::Executed && permit.back_on_error {
                true => permit.give_back().await,
                false => permit.finish(end, detail.to_owned()),
            }
        }
    }

    /// Gives all back: provably nothing was sent.
    #[allow(dead_code, reason = "MCP's answers")]
    pub(in super::super) async fn give_back(self) {
        for permit in self.permits {
            permit.give_back().await;
        }
    }
}
