//! What every process of Hudson that serves has, whatever it serves: home, ledger, events, its own addresses.
//!
//! Invariant: the holds of owners that died are looked for by all of them, so that no proxy waits for a controller to
//! find room that nobody takes.

use crate::events::EventLog;
use crate::instance::now;
use anyhow::Result;
use hudson_proxy::OwnListeners;
use hudson_schema::config::Settings;
use hudson_schema::home::Home;
use hudson_schema::ledger::SharedLedger;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How often the holds of owners that died are looked for.
const REAP_EVERY: Duration = Duration::from_secs(10);

/// One process.
#[derive(Clone)]
pub struct Process {
    /// Its home.
    pub home: Home,
    /// Its ledger.
    pub ledger: SharedLedger,
    /// Its events.
    pub events: Arc<EventLog>,
    /// Where it listens, which no bottle may reach through it.
    pub own: OwnListeners,
}

impl Process {
    /// Opens the ledger, and reaps holds from then on.
    pub async fn start(home: Home, settings: &Settings, events: EventLog) -> Result<Self> {
        let ledger = crate::settings::ledger(&home, settings)?;
        ledger.holds_reap(now()).await?;
        let process = Self { home, ledger, events: Arc::new(events), own: OwnListeners::default() };
        tokio::spawn(process.clone().reap());
        Ok(process)
    }

    /// Writes what is left of the event log.
    pub async fn flush(&self) {
        let events = self.events.clone();
        // A panic there would be a log that cannot be written, which stops nothing.
        let _ = tokio::task::spawn_blocking(move || events.flush()).await;
    }

    async fn reap(self) {
        loop {
            tokio::time::sleep(REAP_EVERY).await;
            if let Err(error) = self.ledger.holds_reap(now()).await {
                self.events
                    .write("ledger_failed", json!({"what": "reaping holds", "error": error.to_string()}));
            }
        }
    }
}
