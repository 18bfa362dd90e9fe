//! One delivery: what is sent to which service, and what becomes of the notification.
//!
//! Invariant: whoever has sent a question looks at the approval again once its message is on record, and whoever tells
//! of a decision looks for that message once the decision is: whichever comes first, the buttons go.

use super::channel::{Channel, Chat, Service};
use super::letter::{self, Errand};
use super::send::{Answer, Fault, send};
use super::{Deliverer, TIMEOUT, Words, milliseconds};
use crate::instance::now;
use hudson_schema::ledger::{
    Approval, ApprovalId, ApprovalStatus, LedgerError, Notification, NotifyEnd, Tier, Verdict,
};
use serde_json::json;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// How often a service may ask to be left alone for a while, beside the attempts that failed.
const PATIENCE: usize = 10;
/// The shortest time that it is left alone.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

impl Deliverer {
    pub(super) async fn deliver(
        &self,
        channels: &[Channel],
        notification: Notification,
        place: OwnedSemaphorePermit,
    ) {
        let Some(index) = channels.iter().position(|channel| channel.name == notification.channel) else {
            return;
        };
        let Some(channel) = channels.get(index) else { return };
        let sent = match &channel.service {
            Service::Webhook(webhook) => {
                let sent = send(&self.dialer, webhook.call(&notification, now()), TIMEOUT).await;
                sent.and_then(|answer| webhook.read(&answer)).map_err(|fault| webhook.hide(fault))
            }
            Service::Chat(chat) => self.chat(channel, chat, &notification).await,
        };
        let next = match self.channels.rules().first_success {
            true => channels.get(index + 1).map(|next| next.name.as_str()),
            false => None,
        };
        let end = ended(&channel.retry, &notification, sent.err(), next, now());
        match self.ledger.notify_finish(&notification, end.clone(), now()).await {
            Ok(true) => self.tell(&notification, &end),
            // Somebody else has it, or it is over.
            Ok(false) => {}
            // It stays claimed for a while, and is then sent again.
            Err(error) => self.ledger_failed("a notification's end", &error),
        }
        drop(place);
        self.freed.notify_one();
    }

    async fn chat(&self, channel: &Channel, chat: &Chat, notification: &Notification) -> Result<(), Fault> {
        match letter::errand(notification).map_err(Fault::Never)? {
            Errand::Nothing => Ok(()),
            Errand::Say(letter) => self.words(chat, &Words::Say(&letter)).await.map(drop),
            Errand::Ask(id) => self.ask(channel, chat, &id).await,
            Errand::Change(id) => self.change(channel, chat, &id).await,
        }
    }

    /// Asks, unless that has become pointless, or was done by a process that died before it could say so.
    async fn ask(&self, channel: &Channel, chat: &Chat, id: &ApprovalId) -> Result<(), Fault> {
        let shown =
            self.ledger.notify_message_fetch(id, &channel.name).await.map_err(|error| unknown(&error))?;
        if shown.is_some() {
            return self.settle(channel, chat, id).await;
        }
        let Some(approval) = self.approval(id).await? else { return Ok(()) };
        match approval.status {
            ApprovalStatus::Pending => {}
            ApprovalStatus::Expired if approval.decided_by.is_none() => {
                return Err(Fault::Never("its time ran out before anybody could be told".to_owned()));
            }
            _ => return Ok(()),
        }
        let buttons = buttons(channel, chat, &approval);
        let letter = letter::asks(&approval, !buttons.is_empty(), now());
        let Some(message) = self.words(chat, &Words::Ask(&letter, &buttons)).await? else { return Ok(()) };
        let known = self.ledger.notify_message_set(id, &channel.name, &message, now()).await;
        known.map_err(|error| unknown(&error))?;
        self.settle(channel, chat, id).await
    }

    /// Changes a message that asks, if there is nothing to ask any more.
    async fn settle(&self, channel: &Channel, chat: &Chat, id: &ApprovalId) -> Result<(), Fault> {
        match self.approval(id).await? {
            Some(approval) if approval.status != ApprovalStatus::Pending => {
                self.change(channel, chat, id).await
            }
            _ => Ok(()),
        }
    }

    /// Changes what asked to what has become of it. What was not shown is not changed.
    async fn change(&self, channel: &Channel, chat: &Chat, id: &ApprovalId) -> Result<(), Fault> {
        let message = self.ledger.notify_message_fetch(id, &channel.name).await;
        let Some(message) = message.map_err(|error| unknown(&error))? else { return Ok(()) };
        let Some(approval) = self.approval(id).await? else { return Ok(()) };
        let letter = letter::over(&approval, now());
        self.words(chat, &Words::Change(&message, &letter)).await.map(drop)
    }

    async fn words(&self, chat: &Chat, words: &Words<'_>) -> Result<Option<String>, Fault> {
        let answer: Answer = send(&self.dialer, chat.call(words)?, TIMEOUT).await?;
        chat.read(words, &answer)
    }

    async fn approval(&self, id: &ApprovalId) -> Result<Option<Approval>, Fault> {
        self.ledger.approval_fetch(id, now()).await.map_err(|error| unknown(&error))
    }

    fn tell(&self, notification: &Notification, end: &NotifyEnd) {
        let Notification { id, channel, kind, attempt, .. } = notification;
        match end {
            NotifyEnd::Delivered => {}
            NotifyEnd::Again { at, error } => self.events.write(
                "notify_deferred",
                json!({"id": id, "channel": channel, "kind": kind, "attempt": attempt, "error": error,
                       "next_at": jiff::Timestamp::from_millisecond(*at).map(|at| at.to_string()).ok()}),
            ),
            NotifyEnd::Failed { error } => self.events.write(
                "notify_failed",
                json!({"id": id, "channel": channel, "kind": kind, "attempt": attempt, "error": error}),
            ),
            NotifyEnd::HandedOver { error, to } => self.events.write(
                "notify_failed",
                json!({"id": id, "channel": channel, "kind": kind, "attempt": attempt, "error": error,
                       "instead": to}),
            ),
        }
    }
}

fn unknown(error: &LedgerError) -> Fault {
    Fault::Again(format!("the ledger could not be asked: {error}"))
}

/// The buttons of a question: what cannot be undone is not approved by one touch.
fn buttons(channel: &Channel, chat: &Chat, approval: &Approval) -> Vec<(Verdict, String)> {
    let Some(key) = chat.buttons() else { return Vec::new() };
    let verdicts: &[Verdict] = match approval.tier {
        Tier::Critical => &[Verdict::Deny],
        _ => &[Verdict::Approve, Verdict::Deny],
    };
    let data = |verdict: Verdict| key.data(&channel.name, verdict, &approval.id, &approval.fingerprint);
    verdicts.iter().map(|verdict| (*verdict, data(*verdict))).collect()
}

/// What an attempt came to: after each of the first ones that fail there is another, as long as the channel says, unless
/// it can never succeed. `next` is the channel that is told in the place of this one, if any: of a question at once,
/// because people who are asked have minutes, of anything else once this one is given up. What became of a question is
/// for those who were asked alone.
fn ended(
    retry: &[Duration],
    notification: &Notification,
    fault: Option<Fault>,
    next: Option<&str>,
    now: i64,
) -> NotifyEnd {
    let Some(fault) = fault else { return NotifyEnd::Delivered };
    let Notification { kind, attempt, .. } = notification;
    let error = fault.words().to_owned();
    let next = next.filter(|_| !letter::is_follow_up(kind)).map(str::to_owned);
    if kind == letter::REQUESTED
        && let Some(to) = next
    {
        return NotifyEnd::HandedOver { error, to };
    }
    let failed_before = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = match fault {
        Fault::Never(_) => None,
        Fault::Again(_) => retry.get(failed_before).copied(),
        Fault::After(wait, _) => {
            (failed_before < retry.len().saturating_add(PATIENCE)).then_some(wait.max(SHORTEST_WAIT))
        }
    };
    match (wait, next) {
        (Some(wait), _) => NotifyEnd::Again { at: now.saturating_add(milliseconds(wait)), error },
        (None, Some(to)) => NotifyEnd::HandedOver { error, to },
        (None, None) => NotifyEnd::Failed { error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: [Duration; 3] =
        [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(1800)];

    fn attempt(kind: &str, attempt: u32) -> Notification {
        Notification {
            id: "01a1".to_owned(),
            channel: "webhook:$HOOK".to_owned(),
            kind: kind.to_owned(),
            payload: "{}".to_owned(),
            attempt,
        }
    }

    fn again() -> Option<Fault> {
        Some(Fault::Again("answered 500".to_owned()))
    }

    #[test]
    fn it_is_tried_again_after_each_period_and_then_given_up() {
        let error = || "answered 500".to_owned();
        for (nth, wait) in [(1, 60_000), (2, 300_000), (3, 1_800_000)] {
            let expected = NotifyEnd::Again { at: 7 + wait, error: error() };
            assert_eq!(ended(&RETRY, &attempt("bottle_stopped", nth), again(), None, 7), expected);
        }
        for (retry, nth) in [(&RETRY[..], 4), (&RETRY[..], 9), (&[], 1)] {
            let expected = NotifyEnd::Failed { error: error() };
            assert_eq!(ended(retry, &attempt("bottle_stopped", nth), again(), None, 7), expected);
        }
        assert_eq!(ended(&RETRY, &attempt("bottle_stopped", 4), None, None, 7), NotifyEnd::Delivered);
    }

    #[test]
    fn a_service_that_wants_to_be_left_alone_is_and_one_that_never_takes_it_is_not_asked_again() {
        let after = || Some(Fault::After(Duration::from_secs(3), "answered 429".to_owned()));
        for nth in [1, 4, 13] {
            let expected = NotifyEnd::Again { at: 3_007, error: "answered 429".to_owned() };
            assert_eq!(ended(&RETRY, &attempt("bottle_stopped", nth), after(), None, 7), expected);
        }
        let failed = NotifyEnd::Failed { error: "answered 429".to_owned() };
        assert_eq!(ended(&RETRY, &attempt("bottle_stopped", 14), after(), None, 7), failed);
        let never = || Some(Fault::Never("answered 403".to_owned()));
        let failed = NotifyEnd::Failed { error: "answered 403".to_owned() };
        assert_eq!(ended(&RETRY, &attempt("bottle_stopped", 1), never(), None, 7), failed);
    }

    #[test]
    fn where_one_is_enough_the_next_is_told_when_it_has_to_be() {
        let over = NotifyEnd::HandedOver { error: "answered 500".to_owned(), to: "ntfy:ops".to_owned() };
        let told = |kind: &str, nth: u32| ended(&RETRY, &attempt(kind, nth), again(), Some("ntfy:ops"), 7);
        assert_eq!(told("approval_requested", 1), over, "people who are asked have minutes");
        assert!(matches!(told("bottle_stopped", 1), NotifyEnd::Again { .. }));
        assert_eq!(told("bottle_stopped", 4), over);
        assert!(matches!(told("approval_decided", 1), NotifyEnd::Again { .. }));
        assert!(matches!(told("approval_decided", 4), NotifyEnd::Failed { .. }), "nobody else was asked");
    }
}
