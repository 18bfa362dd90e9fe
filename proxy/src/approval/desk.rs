//! Where the data plane asks: a question goes into the ledger, and what comes back is an answer or a wait.
//!
//! Invariant: nothing passes that the ledger has not let through in this very call; a store that fails, a key or a
//! setup that is missing, and a limit that is reached are all no.

use super::{ApprovalSetup, Asker, Question, Waiting};
use crate::event::{Event, EventSink};
use crate::shared::now;
use arc_swap::ArcSwapOption;
use hudson_schema::ledger::{Approval, ApprovalId, BlockOrder, LedgerError, SharedLedger, SubmitOutcome};
use hudson_schema::{Policy, Scope, ScopeKind};
use std::sync::Arc;
use tokio::time::Instant;

/// The desk of a process.
pub struct Desk {
    ledger: SharedLedger,
    events: Arc<dyn EventSink>,
    setup: ArcSwapOption<ApprovalSetup>,
    waiting: Waiting,
}

/// What became of a question.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Go on, once: it has been used up for this.
    Granted(Box<Approval>),
    /// Nobody has decided yet.
    Pending(Box<Approval>),
    /// A person has said no.
    Denied(Box<Approval>),
    /// The time is over, or it was taken back. Nobody has said no.
    Over(Box<Approval>),
    /// Nobody can be asked.
    Unavailable {
        /// Why.
        why: String,
        /// Seconds after which there may be room again.
        retry_after: Option<u64>,
    },
}

impl Desk {
    /// A desk. Without a setup nobody is asked, and everything that would need it is refused.
    pub fn new(ledger: SharedLedger, events: Arc<dyn EventSink>, setup: Option<ApprovalSetup>) -> Self {
        let waiting = Waiting::new(ledger.clone());
        Self { ledger, events, setup: ArcSwapOption::from_pointee(setup), waiting }
    }

    /// Goes by other settings from now on.
    pub fn replace(&self, setup: ApprovalSetup) {
        self.setup.store(Some(Arc::new(setup)));
    }

    /// What the settings say now.
    pub fn setup(&self) -> Option<Arc<ApprovalSetup>> {
        self.setup.load_full()
    }

    /// Asks. People are asked only where nothing answers the same question already.
    pub async fn ask(&self, asker: &Asker, question: &Question) -> Answer {
        let unavailable = |why: &str| Answer::Unavailable { why: why.to_owned(), retry_after: None };
        let Some(setup) = self.setup() else { return unavailable("there is nobody to ask here") };
        let Some(request) = question.request(&setup, asker, now()) else {
            return unavailable("what would be approved cannot be told from anything else");
        };
        let outcome = match self.ledger.approval_submit(request).await {
            Ok(outcome) => outcome,
            Err(error) => return self.failed("asking for an approval", &error),
        };
        match outcome {
            SubmitOutcome::Approved(approval) => Answer::Granted(Box::new(approval)),
            SubmitOutcome::Created(approval) | SubmitOutcome::Reused(approval) => {
                Answer::Pending(Box::new(approval))
            }
            SubmitOutcome::Denied(approval) => Answer::Denied(Box::new(approval)),
            SubmitOutcome::RateLimited { retry_at, .. } => Answer::Unavailable {
                why: format!("this bottle has asked for {} too often", question.rate_key),
                retry_after: Some(seconds_until(retry_at)),
            },
            SubmitOutcome::TooManyPending { pending } => Answer::Unavailable {
                why: format!("{pending} requests of this bottle wait for a decision already"),
                retry_after: None,
            },
            SubmitOutcome::Fatigued { asked, window } => self.pause(asker, asked, window).await,
        }
    }

    /// Waits for the answer to what is pending, at most until then.
    pub async fn answer(&self, id: &ApprovalId, until: Instant) -> Settled {
        use hudson_schema::ledger::ApprovalStatus as Status;
        match self.waiting.settled(id, until).await {
            Ok(Some(approval)) => match approval.status {
                Status::Pending => Settled::Answer(Answer::Pending(Box::new(approval))),
                Status::Denied => Settled::Answer(Answer::Denied(Box::new(approval))),
                Status::Expired | Status::Revoked => Settled::Answer(Answer::Over(Box::new(approval))),
                // Another took its place, which the same question finds.
                Status::Cancelled if approval.coalesced_into.is_some() => Settled::AskAgain,
                Status::Cancelled => Settled::Answer(Answer::Over(Box::new(approval))),
                // For one who asks again; of several who wait, one.
                Status::Approved | Status::Consumed | Status::AutoApproved => Settled::AskAgain,
            },
            Ok(None) => Settled::AskAgain,
            Err(error) => Settled::Answer(self.failed("waiting for an approval", &error)),
        }
    }

    /// Stops a bottle that has people asked more than they can answer.
    async fn pause(&self, asker: &Asker, asked: u32, window: i64) -> Answer {
        let minutes = window / 60_000;
        let why = format!("this bottle has had people asked {asked} times within {minutes} minutes");
        let order = BlockOrder {
            scope: Scope::new(ScopeKind::Bottle, asker.bottle.as_str()),
            policy: Policy::Cutoff,
            cause: format!(
                "people were asked {asked} times within {minutes} minutes, which is more than is looked at"
            ),
            actor: "hudson".to_owned(),
            now: now(),
        };
        if let Err(error) = self.ledger.block_order(order).await {
            return self.failed("pausing a bottle that asks too often", &error);
        }
        Answer::Unavailable { why: format!("{why}, and is paused"), retry_after: None }
    }

    fn failed(&self, what: &'static str, error: &LedgerError) -> Answer {
        self.events.emit(Event::LedgerFailed { what, error: error.to_string() });
        Answer::Unavailable { why: "the ledger cannot be asked".to_owned(), retry_after: None }
    }
}

/// What a wait has come to.
#[derive(Clone, Debug)]
pub enum Settled {
    /// This.
    Answer(Answer),
    /// Whoever asks the same question again is told.
    AskAgain,
}

fn seconds_until(at: i64) -> u64 {
    u64::try_from(at.saturating_sub(now())).unwrap_or(0).div_ceil(1000).max(1)
}
