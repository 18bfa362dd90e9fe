//! Delivering what the ledger's outbox holds, in the controller and in each `hudson run` that has its own proxy. Each
//! notification is claimed in the ledger before it is sent, so that two processes do not send it twice; what a process
//! that died had claimed is taken over when the claim's time is over.
//!
//! Invariant: nobody waits for a delivery, neither requests nor enforcement; a failure is tried again at the channel's
//! times and then given up, aloud. No message keeps its buttons once there is nothing to decide.

mod button;
mod channel;
mod deliver;
pub mod discord;
mod letter;
pub mod ntfy;
mod send;
pub mod sign;
pub mod slack;
pub mod telegram;
pub mod webhook;

use crate::events::EventLog;
use crate::instance::now;
use crate::runs::Runs;
pub use button::{ButtonKey, Pressed};
pub use channel::{Channel, Chat, Service, channels};
use hudson_proxy::dial::Dialer;
use hudson_schema::config::{NotifyStrategy, Settings};
use hudson_schema::ledger::{LedgerError, NotifyClaim, NotifyRules, SharedLedger, Verdict};
pub use letter::{Letter, over};
pub use send::{Call, Fault, send};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

/// Deliveries at once.
const IN_FLIGHT: usize = 10;
/// How long one may take, from the name's look-up to the answer's head.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a claim holds: a delivery, a change of what was delivered, and what the ledger may take to hear of it.
const LEASE: Duration = Duration::from_secs(15);
/// How often the outbox is looked at when nothing tells of a change.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How soon it is looked at again when another process was faster, or the ledger failed.
const REST: Duration = Duration::from_millis(200);
/// The longest wait for deliveries at the end of the process.
const LAST: Duration = Duration::from_secs(6);

/// What a chat is told.
pub enum Words<'a> {
    /// Something to read.
    Say(&'a Letter),
    /// A question, with what each of its buttons carries.
    Ask(&'a Letter, &'a [(Verdict, String)]),
    /// What takes the place of a message and its buttons.
    Change(&'a str, &'a Letter),
}

/// What stands on a button.
fn label(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "Approve",
        Verdict::Deny => "Deny",
    }
}

/// The channels of the settings in force.
pub struct Channels {
    runs: Arc<Runs>,
    // A std mutex: never held over an await.
    current: Mutex<Current>,
}

/// The channels, and the settings that they are from.
struct Current {
    settings: Arc<Settings>,
    channels: Arc<Vec<Channel>>,
}

impl Channels {
    /// These channels, which are those of the settings that `runs` has, and those of later settings.
    pub fn new(runs: Arc<Runs>, channels: Vec<Channel>) -> Arc<Self> {
        let current = Current { settings: runs.settings(), channels: Arc::new(channels) };
        Arc::new(Self { runs, current: Mutex::new(current) })
    }

    /// Those in force. What cannot be used was refused when the settings were read.
    pub fn get(&self) -> Arc<Vec<Channel>> {
        let settings = self.runs.settings();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current.settings, &settings)
            && let Ok(channels) = channels(&settings)
        {
            *current = Current { settings, channels: Arc::new(channels) };
        }
        current.channels.clone()
    }

    /// Who is told of what.
    fn rules(&self) -> NotifyRules {
        let approvals = &self.runs.settings().approvals;
        NotifyRules {
            first_success: approvals.strategy == NotifyStrategy::FirstSuccess,
            per_hour: approvals.notifications_per_hour,
        }
    }
}

/// Delivers for one process.
pub struct Deliverer {
    ledger: SharedLedger,
    channels: Arc<Channels>,
    events: Arc<EventLog>,
    dialer: Dialer,
    places: Arc<Semaphore>,
    /// Rings when a place has become free.
    freed: Notify,
}

impl Deliverer {
    /// A deliverer to these channels.
    pub fn new(
        ledger: SharedLedger,
        channels: Arc<Channels>,
        events: Arc<EventLog>,
        dialer: Dialer,
    ) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(IN_FLIGHT));
        Arc::new(Self { ledger, channels, events, dialer, places, freed: Notify::new() })
    }

    /// Delivers for as long as the process lives.
    pub async fn run(self: Arc<Self>) {
        let mut changes = self.ledger.changes();
        loop {
            // The deliveries themselves go on beside this.
            let wait = match self.pass().await {
                Ok(wait) => wait,
                Err(error) => {
                    self.ledger_failed("reading the notifications", &error);
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
        let next = self.ledger.notify_next(&names(&self.channels.get())).await;
        next.is_ok_and(|next| next.is_some_and(|at| at <= now()))
    }

    /// Claims what is due and sends it off; how long nothing else is to be done.
    async fn pass(self: &Arc<Self>) -> Result<Duration, LedgerError> {
        let channels = self.channels.get();
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
        let claim = NotifyClaim {
            channels: names,
            most: places.len(),
            lease: milliseconds(LEASE),
            rules: self.channels.rules(),
            now: now(),
        };
        let claimed = self.ledger.notify_claim(claim).await?;
        let wait = if claimed.is_empty() { REST } else { Duration::ZERO };
        for (notification, place) in claimed.into_iter().zip(places) {
            let (deliverer, channels) = (self.clone(), channels.clone());
            tokio::spawn(async move { deliverer.deliver(&channels, notification, place).await });
        }
        Ok(wait)
    }

    fn ledger_failed(&self, what: &str, error: &LedgerError) {
        self.events.write("ledger_failed", json!({"what": what, "error": error.to_string()}));
    }
}

fn names(channels: &[Channel]) -> Vec<String> {
    channels.iter().map(|channel| channel.name.clone()).collect()
}

fn milliseconds(period: Duration) -> i64 {
    i64::try_from(period.as_millis()).unwrap_or(i64::MAX)
}
