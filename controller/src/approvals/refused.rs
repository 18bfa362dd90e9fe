//! Who would have decided over HTTP, and may not: told of, and written into the audit.
//!
//! Invariant: a flood of them is a few rows and a number.

use crate::events::EventLog;
use crate::hearing::Limiter;
use crate::instance::now;
use hudson_schema::BottleName;
use hudson_schema::ledger::{ApprovalId, DecidedVia, RefusedAnswer, SharedLedger};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

/// Those of a process.
pub(crate) struct RefusedDecisions {
    ledger: SharedLedger,
    events: Arc<EventLog>,
    // A std mutex: never held over an await.
    limiter: Mutex<Limiter>,
}

/// One of them.
pub(crate) struct RefusedDecision<'a> {
    /// Who, as far as it is known.
    pub(crate) actor: String,
    /// Whether that is proved.
    pub(crate) is_proved: bool,
    /// The bottle that it came from.
    pub(crate) bottle: Option<&'a BottleName>,
    /// What it was about, as it said.
    pub(crate) approval: Option<ApprovalId>,
    /// Why it was refused: a stable word.
    pub(crate) why: &'static str,
}

impl RefusedDecisions {
    /// None yet.
    pub(crate) fn new(ledger: SharedLedger, events: Arc<EventLog>) -> Self {
        Self { ledger, events, limiter: Mutex::default() }
    }

    /// Tells of one, unless there are too many.
    pub(crate) async fn tell(&self, refused: RefusedDecision<'_>) {
        let RefusedDecision { actor, is_proved, bottle, approval, why } = refused;
        let (via, now) = (DecidedVia::Api, now());
        let taken = self.limiter.lock().unwrap_or_else(PoisonError::into_inner).take(via, is_proved, now);
        let Some(more) = taken else { return };
        let told = json!({"actor": actor, "bottle": bottle, "approval": approval, "why": why, "more": more});
        self.events.write("decision_refused", told);
        let refused = RefusedAnswer { approval, actor, via, why, more, now };
        if let Err(error) = self.ledger.approval_refuse(refused).await {
            let told = json!({"what": "a refused decision", "error": error.to_string()});
            self.events.write("ledger_failed", told);
        }
    }
}
