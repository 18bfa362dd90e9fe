//! Delivering what the ledger's outbox holds, in the controller and in each `hudson run` that has its own proxy. Each
//! notification is claimed in the ledger before it is sent, so that two processes do not send it twice; what a process
//! that died had claimed is taken over when the claim's time is over.
//!
//! Invariant: nobody waits for a delivery, neither requests nor enforcement; a failure is tried again at the channel's
//! times and then given up, aloud.

mod channel;
mod webhook;

use crate::events::EventLog;
use crate::instance::now;
use crate::runs::Runs;
pub use channel::{Channel, channels};
use hudson_proxy::dial::Dialer;
use hudson_schema::config::Settings;
use hudson_schema::ledger::{LedgerError, Notification, NotifyClaim, NotifyEnd, SharedLedger};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Deliveries at once.
const IN_FLIGHT: usize = 10;
/// How long one may take, from the name's look-up to the answer's head.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a claim holds: a delivery, and what the ledger may take to hear of its end.
const LEASE: Duration = Duration::from_secs(15);
/// How often the outbox is looked at when nothing tells of a change.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How soon it is looked at again when another process was faster, or the ledger failed.
const REST: Duration = Duration::from_millis(200);
/// The longest wait for deliveries at the end of the process.
const LAST: Duration = Duration::from_secs(6);

/// Delivers for one process.
pub struct Deliverer {
    ledger: SharedLedger,
    runs: Arc<Runs>,
    events: Arc<EventLog>,
    dialer: Dialer,
    // A std mutex: never held over an await.
    current: Mutex<Current>,
    places: Arc<Semaphore>,
    /// Rings when a place has become free.
    freed: Notify,
}

/// The channels, and the settings that they are from.
struct Current {
    settings: Arc<Settings>,
    channels: Arc<Vec<Channel>>,
}

impl Deliverer {
    /// A deliverer to these channels, which are those of the settings that `runs` has, and to those of later settings.
    pub fn new(
        ledger: SharedLedger,
        runs: Arc<Runs>,
        events: Arc<EventLog>,
        dialer: Dialer,
        channels: Vec<Channel>,
    ) -> Arc<Self> {
        let current = Current { settings: runs.settings(), channels: Arc::new(channels) };
        Arc::new(Self {
            ledger,
            runs,
            events,
            dialer,
            current: Mutex::new(current),
            places: Arc::new(Semaphore::new(IN_FLIGHT)),
            freed: Notify::new(),
        })
    }

    /// Delivers for as long as the process lives.
    pub async fn run(self: Arc<Self>) {
        let mut changes = self.ledger.changes();
        loop {
            // The deliveries themselves go on beside this.
            let wait = match self.pass().await {
                Ok(wait) => wait,
                Err(error) => {
                    let told = json!({"what": "reading the notifications", "error": error.to_string()});
                    self.events.write("ledger_failed", told);
                    LOOK_EVERY
                }
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = self.freed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Waits until nothing is due and nothing in flight; at most for so long, and not for a receiver that hangs.
    pub async fn finish(&self, limit: Duration) {
        let quiet = async {
            while self.places.available_permits() < IN_FLIGHT || self.is_due().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // What is left is in the outbox.
        let _ = tokio::time::timeout(limit.min(LAST), quiet).await;
    }

    async fn is_due(&self) -> bool {
        let next = self.ledger.notify_next(&names(&self.channels())).await;
        next.is_ok_and(|next| next.is_some_and(|at| at <= now()))
    }

    /// Claims what is due and sends it off; how long nothing else is to be done.
    async fn pass(self: &Arc<Self>) -> Result<Duration, LedgerError> {
        let channels = self.channels();
        let names = names(&channels);
        let wait = match self.ledger.notify_next(&names).await? {
            None => return Ok(LOOK_EVERY),
            Some(at) => at.saturating_sub(now()),
        };
        if let Ok(wait @ 1..) = u64::try_from(wait) {
            return Ok(LOOK_EVERY.min(Duration::from_millis(wait)));
        }
        let mut places = Vec::new();
        while let Ok(place) = self.places.clone().try_acquire_owned() {
            places.push(place);
        }
        if places.is_empty() {
            // Whoever frees one rings.
            return Ok(LOOK_EVERY);
        }
        let claim =
            NotifyClaim { channels: names, most: places.len(), lease: milliseconds(LEASE), now: now() };
        let claimed = self.ledger.notify_claim(claim).await?;
        let wait = if claimed.is_empty() { REST } else { Duration::ZERO };
        for (notification, place) in claimed.into_iter().zip(places) {
            let (deliverer, channels) = (self.clone(), channels.clone());
            tokio::spawn(async move { deliverer.deliver(&channels, notification, place).await });
        }
        Ok(wait)
    }

    async fn deliver(&self, channels: &[Channel], notification: Notification, place: OwnedSemaphorePermit) {
        let Some(channel) = channels.iter().find(|channel| channel.name == notification.channel) else {
            return;
        };
        let sent = tokio::time::timeout(TIMEOUT, channel.webhook.post(&self.dialer, &notification));
        let error = match sent.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(format!("no answer within {} s", TIMEOUT.as_secs())),
        };
        let end = ended(&channel.retry, notification.attempt, error, now());
        match self.ledger.notify_finish(&notification, end.clone(), now()).await {
            Ok(true) => self.tell(&notification, &end),
            // Somebody else has it, or it is over.
            Ok(false) => {}
            // It stays claimed for a while, and is then sent again.
            Err(error) => self
                .events
                .write("ledger_failed", json!({"what": "a notification's end", "error": error.to_string()})),
        }
        drop(place);
        self.freed.notify_one();
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
        }
    }

    /// The channels of the settings in force. What cannot be used was refused when the settings were read.
    fn channels(&self) -> Arc<Vec<Channel>> {
        let settings = self.runs.settings();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current.settings, &settings)
            && let Ok(channels) = channels(&settings)
        {
            *current = Current { settings, channels: Arc::new(channels) };
        }
        current.channels.clone()
    }
}

fn names(channels: &[Channel]) -> Vec<String> {
    channels.iter().map(|channel| channel.name.clone()).collect()
}

/// What an attempt came to: after each of the first ones that fail there is another, as long as the channel says.
fn ended(retry: &[Duration], attempt: u32, error: Option<String>, now: i64) -> NotifyEnd {
    let Some(error) = error else { return NotifyEnd::Delivered };
    let failed_before = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    match retry.get(failed_before) {
        Some(wait) => NotifyEnd::Again { at: now.saturating_add(milliseconds(*wait)), error },
        None => NotifyEnd::Failed { error },
    }
}

fn milliseconds(period: Duration) -> i64 {
    i64::try_from(period.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_again_after_each_period_and_then_given_up() {
        let retry = [60, 300, 1800].map(Duration::from_secs);
        let error = || Some("answered 500".to_owned());
        for (attempt, wait) in [(1, 60_000), (2, 300_000), (3, 1_800_000)] {
            let expected = NotifyEnd::Again { at: 7 + wait, error: "answered 500".to_owned() };
            assert_eq!(ended(&retry, attempt, error(), 7), expected);
        }
        for (retry, attempt) in [(&retry[..], 4), (&retry[..], 9), (&[], 1)] {
            let expected = NotifyEnd::Failed { error: "answered 500".to_owned() };
            assert_eq!(ended(retry, attempt, error(), 7), expected);
        }
        assert_eq!(ended(&retry, 4, None, 7), NotifyEnd::Delivered);
    }
}
