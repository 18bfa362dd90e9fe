//! Who watches sees every decision within 50 ms: this process's own at once, another's by polling `data_version` and
//! looking at what the audit has got since. A charge that stops nobody is none, and neither is a
//! finding, a question that is repeated, or an answer that is refused.
//! The poll runs only while somebody watches.

use super::open;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(25);

/// The counter and the thread that moves it.
pub(super) struct Changes {
    path: PathBuf,
    counter: Arc<watch::Sender<u64>>,
    polling: Arc<Mutex<bool>>,
    closed: Arc<AtomicBool>,
}

impl Changes {
    /// A counter that nobody watches yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            counter: Arc::new(watch::Sender::new(0)),
            polling: Arc::default(),
            closed: Arc::default(),
        }
    }

    /// For the writer, to move it after a commit of its own.
    pub(super) fn counter(&self) -> Arc<watch::Sender<u64>> {
        self.counter.clone()
    }

    /// Watches; starts the poll when this is the first to.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        let receiver = self.counter.subscribe();
        let mut polling = self.polling.lock().unwrap_or_else(PoisonError::into_inner);
        if !*polling {
            let poll = Poll {
                path: self.path.clone(),
                counter: self.counter.clone(),
                polling: self.polling.clone(),
                closed: self.closed.clone(),
            };
            // Without a thread own commits are still seen, and the next to watch tries again.
            let name = "hudson-changes".to_owned();
            *polling = std::thread::Builder::new().name(name).spawn(move || poll.run()).is_ok();
        }
        receiver
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

struct Poll {
    path: PathBuf,
    counter: Arc<watch::Sender<u64>>,
    polling: Arc<Mutex<bool>>,
    closed: Arc<AtomicBool>,
}

impl Poll {
    fn run(self) {
        let mut connection = None;
        let mut seen: Option<i64> = None;
        let mut told = 0;
        while self.is_wanted() {
            if connection.is_none() {
                connection = open::connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok();
            }
            let version = connection.as_ref().and_then(|connection| {
                connection.query_row("PRAGMA data_version", (), |row| row.get::<_, i64>(0)).ok()
            });
            // The first look counts as a change: something may have happened before it.
            if version.is_some() && version != seen {
                let first = seen.is_none();
                seen = version;
                // What cannot be told is taken for a decision.
                let decided = connection
                    .as_ref()
                    .is_none_or(|connection| decided(connection, &mut told).unwrap_or(true));
                if first || decided {
                    self.counter.send_modify(|count| *count = count.wrapping_add(1));
                }
            }
            std::thread::sleep(PERIOD);
        }
    }

    /// Decides under the lock, so that nobody comes to watch a poll that is about to end.
    fn is_wanted(&self) -> bool {
        let mut polling = self.polling.lock().unwrap_or_else(PoisonError::into_inner);
        *polling = self.counter.receiver_count() > 0 && !self.closed.load(Ordering::Relaxed);
        *polling
    }
}

/// Whether the audit tells of anything but charges and findings behind the row that was looked at last.
fn decided(connection: &Connection, told: &mut i64) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT ifnull(max(seq), ?1),
                count(*) FILTER (
                    WHERE kind NOT IN ('usage_charge', 'usage_replace', 'usage_withdraw', 'dlp_finding', 'approval_reuse',
                                     'approval_refuse'))
         FROM audit WHERE seq > ?1",
    )?;
    let (last, decisions) = statement.query_row([*told], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
    *told = last;
    Ok(decisions > 0)
}
