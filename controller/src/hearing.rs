//! Hearing what people answer by the channels: every press of a button and every signed decision comes through here.
//!
//! Invariants: who answers is what the channel says, never what the answer says of itself; what is refused changes
//! nothing, is told to whoever did it, and is in the audit, as far as a flood of it fills nothing.

mod limiter;
mod refusal;
pub mod telegram;

use crate::events::EventLog;
use crate::instance::now;
use crate::notify::{ButtonKey, Channels, Pressed};
use hudson_proxy::dial::Dialer;
use hudson_schema::ledger::{
    Answered, Approval, ApprovalAnswer, ApprovalId, Decided, DecidedVia, Decision, Fingerprint, LedgerError,
    RefusedAnswer, SharedLedger, Verdict,
};
pub(crate) use limiter::Limiter;
pub use refusal::Refusal;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

/// How long an answer is remembered, in milliseconds: longer than any service sends one again.
const REMEMBERED: i64 = 48 * 3600 * 1000;

/// Hears for one process.
pub struct Hearing {
    /// The channels of the settings in force.
    pub channels: Arc<Channels>,
    /// The way to services that are asked.
    pub dialer: Dialer,
    /// Where it is written what is wrong.
    pub events: Arc<EventLog>,
    /// Where it is decided.
    pub ledger: SharedLedger,
    // A std mutex: never held over an await.
    limiter: Mutex<Limiter>,
}

/// A button that somebody pressed.
pub struct Press<'a> {
    /// The channel, as the ledger knows it.
    pub channel: &'a str,
    /// What its buttons are marked with.
    pub key: Option<&'a ButtonKey>,
    /// How it came.
    pub via: DecidedVia,
    /// Who pressed, as the channel says.
    pub actor: &'a str,
    /// Whether they are one of those who may decide.
    pub may_decide: bool,
    /// The message that it stands on, where the channel says so.
    pub message: Option<&'a str>,
    /// What it carries.
    pub data: Option<&'a str>,
    /// What tells this press from every other.
    pub nonce: String,
}

/// A decision that was proved to be a channel's.
pub struct Call<'a> {
    /// How it came.
    pub via: DecidedVia,
    /// Whose it is, as the channel says.
    pub actor: &'a str,
    /// What it says.
    pub verdict: Verdict,
    /// About what.
    pub id: &'a ApprovalId,
    /// What was shown.
    pub fingerprint: Fingerprint,
    /// What tells it from every other.
    pub nonce: String,
    /// Why.
    pub reason: Option<String>,
    /// What it calls its author.
    pub claimed_by: Option<String>,
}

/// What an answer has done.
#[derive(Debug)]
pub struct Done {
    /// The approval.
    pub approval: Approval,
    /// How many more must say so.
    pub missing: u32,
}

impl Hearing {
    /// Hears answers to what these channels have told.
    pub fn new(
        channels: Arc<Channels>,
        dialer: Dialer,
        events: Arc<EventLog>,
        ledger: SharedLedger,
    ) -> Arc<Self> {
        Arc::new(Self { channels, dialer, events, ledger, limiter: Mutex::default() })
    }

    /// Decides by a button, where that is whose it must be, where it must be, and what it must be.
    pub async fn press(&self, press: Press<'_>) -> Result<Done, Refusal> {
        let pressed: Option<Pressed> = press.data.and_then(|data| data.parse().ok());
        let id = pressed.as_ref().map(|pressed| pressed.id.clone());
        let result = self.try_press(&press, pressed).await;
        if let Err(refusal) = &result {
            self.refused(press.via, press.actor, id, refusal).await;
        }
        result
    }

    async fn try_press(&self, press: &Press<'_>, pressed: Option<Pressed>) -> Result<Done, Refusal> {
        // Whoever may not decide learns nothing of what there is.
        if !press.may_decide {
            return Err(Refusal::NotApprover);
        }
        let (Some(pressed), Some(key)) = (pressed, press.key) else { return Err(Refusal::NoButton) };
        let found = self.ledger.approval_fetch(&pressed.id, now()).await.map_err(failed)?;
        let approval = found.ok_or(Refusal::Unknown)?;
        if !key.fits(press.channel, &pressed, &approval.fingerprint) {
            return Err(Refusal::NotMade);
        }
        if let Some(message) = press.message {
            let shown = self.ledger.notify_message_fetch(&pressed.id, press.channel).await.map_err(failed)?;
            if shown.as_deref() != Some(message) {
                return Err(Refusal::OtherMessage);
            }
        }
        self.decide(Call {
            via: press.via,
            actor: press.actor,
            verdict: pressed.verdict,
            id: &pressed.id,
            fingerprint: approval.fingerprint,
            nonce: press.nonce.clone(),
            reason: None,
            claimed_by: None,
        })
        .await
    }

    /// Decides by a call whose author was proved.
    pub async fn call(&self, call: Call<'_>) -> Result<Done, Refusal> {
        let (via, actor, id) = (call.via, call.actor, call.id.clone());
        let result = self.decide(call).await;
        if let Err(refusal) = &result {
            self.refused(via, actor, Some(id), refusal).await;
        }
        result
    }

    async fn decide(&self, call: Call<'_>) -> Result<Done, Refusal> {
        let now = now();
        let decision = Decision {
            id: call.id.clone(),
            actor: call.actor.to_owned(),
            via: call.via,
            claimed_by: call.claimed_by,
            reason: call.reason,
            now,
        };
        let answer = ApprovalAnswer {
            decision,
            verdict: call.verdict,
            fingerprint: call.fingerprint,
            nonce: call.nonce,
            nonce_until: now.saturating_add(REMEMBERED),
        };
        match self.ledger.approval_answer(answer).await.map_err(failed)? {
            Answered::Decided(Decided::Made(approval)) => Ok(Done { approval, missing: 0 }),
            Answered::Decided(Decided::Awaiting { approval, missing }) => Ok(Done { approval, missing }),
            Answered::Decided(Decided::Repeated(approval) | Decided::Conflict(approval)) => {
                Err(Refusal::Over(Box::new(approval)))
            }
            Answered::Decided(Decided::Expired(approval)) => Err(Refusal::Expired(Box::new(approval))),
            Answered::Decided(Decided::Refused(why)) => Err(Refusal::Decision(why)),
            Answered::Decided(Decided::Unknown) => Err(Refusal::Unknown),
            Answered::Heard(approval) => Err(Refusal::Heard(Box::new(approval))),
            Answered::OtherRequest(_) => Err(Refusal::NotMade),
        }
    }

    /// Writes down that an answer was refused, unless there are too many of them.
    pub async fn refused(
        &self,
        via: DecidedVia,
        actor: &str,
        approval: Option<ApprovalId>,
        refusal: &Refusal,
    ) {
        // That the ledger failed cannot be written into it.
        if let Refusal::Ledger(error) = refusal {
            let told = json!({"what": "an answer to an approval", "error": error});
            return self.events.write("ledger_failed", told);
        }
        let at = now();
        let taken = {
            let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
            limiter.take(via, refusal.is_proved(), at)
        };
        let Some(more) = taken else { return };
        let told =
            json!({"via": via, "actor": actor, "approval": approval, "why": refusal.word(), "more": more});
        self.events.write("approval_answer_refused", told);
        let refused =
            RefusedAnswer { approval, actor: actor.to_owned(), via, why: refusal.word(), more, now: at };
        if let Err(error) = self.ledger.approval_refuse(refused).await {
            let told = json!({"what": "a refused answer", "error": error.to_string()});
            self.events.write("ledger_failed", told);
        }
    }
}

impl Done {
    /// What whoever answered is told.
    pub fn words(&self) -> String {
        match self.missing {
            0 => format!("{}.", self.approval.status),
            1 => "Your answer counts. One more person must approve.".to_owned(),
            more => format!("Your answer counts. {more} more people must approve."),
        }
    }
}

fn failed(error: LedgerError) -> Refusal {
    Refusal::Ledger(error.to_string())
}
