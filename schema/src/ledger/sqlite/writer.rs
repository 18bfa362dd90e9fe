//! The one thread that writes. What is queued is committed together; each command stands in a savepoint of its own,
//! so that one that fails takes no other with it, and is answered only when it is durable.

use super::fail::{Fail, again, failure, sql};
use super::owners::Owner;
use super::retry::retry;
use super::{HoldId, HoldOutcome, LedgerError, holds};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that may wait; the senders wait beyond.
const QUEUE: usize = 1024;
/// Commands in one transaction.
const BATCH: usize = 64;

/// Answers a command once it is known whether its transaction was committed.
type Answer = Box<dyn FnOnce(Result<(), &rusqlite::Error>)>;
/// Runs a command on a connection, or on why there is no transaction; and whether to keep what it did.
type Command = Box<dyn FnOnce(Result<&Connection, &rusqlite::Error>) -> (bool, Answer) + Send>;

/// The way to the writing thread.
pub(super) struct Writer {
    path: PathBuf,
    owner: Arc<str>,
    orphans: Arc<Orphans>,
    queue: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Claims an owner for this process's holds and starts the thread.
    pub(super) fn start(
        path: &Path,
        owners_dir: &Path,
        connection: Connection,
        changes: Arc<watch::Sender<u64>>,
    ) -> Result<Self, LedgerError> {
        let owner = Owner::claim(owners_dir)?;
        let recorded = retry(|| connection.execute_batch("BEGIN IMMEDIATE"))
            .and_then(|()| owner.record(&connection))
            .and_then(|()| connection.execute_batch("COMMIT"));
        recorded.map_err(|error| sql(path, error))?;

        let (queue, commands) = mpsc::channel(QUEUE);
        let orphans = Arc::new(Orphans { holds: Mutex::default(), queue: queue.downgrade() });
        let id = owner.id();
        let work = Work { connection, owner, orphans: orphans.clone(), changes };
        let thread = std::thread::Builder::new()
            .name("hudson-ledger".to_owned())
            .spawn(move || work.run(commands))
            .map_err(|error| LedgerError::Io {
                path: path.to_owned(),
                what: "cannot start the ledger's thread",
                error: Box::new(error),
            })?;
        Ok(Self { path: path.to_owned(), owner: id, orphans, queue: Some(queue), thread: Some(thread) })
    }

    /// Whose holds this process places.
    pub(super) fn owner(&self) -> Arc<str> {
        self.owner.clone()
    }

    /// Where holds go whose asker is gone.
    pub(super) fn orphans(&self) -> Arc<Orphans> {
        self.orphans.clone()
    }

    /// Runs `body` in a transaction. Once queued it runs, also when nobody waits for the answer any more.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Connection) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (sender, answer) = oneshot::channel();
        let path = self.path.clone();
        let command: Command = Box::new(move |connection| {
            let result = match connection {
                Ok(connection) => body(connection),
                Err(why) => Err(Fail::Sql(again(why))),
            };
            let keep = result.is_ok();
            let answer: Answer = Box::new(move |committed| {
                let result = match committed {
                    Ok(()) => result,
                    Err(why) => result.and_then(|_| Err(Fail::Sql(again(why)))),
                };
                let _ = sender.send(result.map_err(|fail| fail.of(&path)));
            });
            (keep, answer)
        });
        let queue = self.queue.as_ref().ok_or(LedgerError::Closed)?;
        queue.send(command).await.map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without a sender the thread commits what is queued and ends.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread owns. The owner's lock is let go only after the last commit.
struct Work {
    connection: Connection,
    owner: Owner,
    orphans: Arc<Orphans>,
    changes: Arc<watch::Sender<u64>>,
}

impl Work {
    fn run(self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH {
                match commands.try_recv() {
                    Ok(command) => batch.push(command),
                    Err(_) => break,
                }
            }
            let before = self.connection.total_changes();
            self.commit(batch);
            // Who answers a change by a command that finds nothing to do must not be woken by it again.
            if self.connection.total_changes() != before {
                self.changes.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
        self.commit(Vec::new());
        // Best effort: an owner that stays on record is found dead by its lock.
        let _ = retry(|| self.owner.forget(&self.connection));
    }

    /// One transaction, or more where SQLite itself gives one up half-way.
    fn commit(&self, batch: Vec<Command>) {
        let mut commands = batch.into_iter();
        loop {
            if let Err(error) = retry(|| self.connection.execute_batch("BEGIN IMMEDIATE")) {
                for command in commands {
                    let (_, answer) = command(Err(&error));
                    answer(Err(&error));
                }
                return;
            }
            let orphans = self.orphans.take();
            for hold in &orphans {
                // One that cannot be deleted now is put back below, for the same reason that the commit fails.
                let _ = holds::release(&self.connection, hold);
            }
            let mut answers = Vec::with_capacity(commands.len());
            for command in commands.by_ref() {
                answers.push(self.step(command));
                // A full disk or a failed write ends the whole transaction, not only the savepoint.
                if self.connection.is_autocommit() {
                    break;
                }
            }
            let committed = self.end();
            if committed.is_err() {
                self.orphans.put_back(orphans);
            }
            for answer in answers {
                answer(committed.as_ref().copied());
            }
            if commands.len() == 0 {
                return;
            }
        }
    }

    fn step(&self, command: Command) -> Answer {
        let savepoint =
            |sql| self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(()));
        // Outside of a transaction a savepoint would be one of its own, and commit by itself.
        if self.connection.is_autocommit() {
            return command(Err(&given_up())).1;
        }
        if let Err(error) = savepoint("SAVEPOINT command") {
            return command(Err(&error)).1;
        }
        let (keep, answer) = command(Ok(&self.connection));
        if !keep && !self.connection.is_autocommit() && savepoint("ROLLBACK TO command").is_err() {
            // What failed must not be kept, so nothing is.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        if !self.connection.is_autocommit() {
            let _ = savepoint("RELEASE command");
        }
        answer
    }

    fn end(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() {
            return Err(given_up());
        }
        self.connection.execute_batch("COMMIT").inspect_err(|_| {
            let _ = self.connection.execute_batch("ROLLBACK");
        })
    }
}

fn given_up() -> rusqlite::Error {
    failure("given up with another command that met a failing disk".to_owned())
}

/// Holds that were placed for somebody who no longer waits: nothing was sent under them, so they are given back in
/// the next transaction.
pub(super) struct Orphans {
    holds: Mutex<Vec<HoldId>>,
    queue: mpsc::WeakSender<Command>,
}

impl Orphans {
    /// Wraps an outcome until it is delivered.
    pub(super) fn guard(self: &Arc<Self>, outcome: HoldOutcome) -> Undelivered {
        Undelivered { outcome: Some(outcome), orphans: self.clone() }
    }

    fn take(&self) -> Vec<HoldId> {
        std::mem::take(&mut *self.holds.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, holds: Vec<HoldId>) {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).extend(holds);
    }
}

/// An outcome on its way; dropped on the way, its hold is given back.
pub(super) struct Undelivered {
    outcome: Option<HoldOutcome>,
    orphans: Arc<Orphans>,
}

impl Undelivered {
    /// Takes the outcome: from here on the hold is the asker's to settle.
    pub(super) fn deliver(mut self) -> Result<HoldOutcome, LedgerError> {
        self.outcome.take().ok_or(LedgerError::Closed)
    }
}

impl Drop for Undelivered {
    fn drop(&mut self) {
        if let Some(HoldOutcome::Placed(hold)) = self.outcome.take() {
            self.orphans.put_back(vec![hold.id]);
            // An empty command wakes the thread; a full queue means that it is awake.
            if let Some(queue) = self.orphans.queue.upgrade() {
                let _ = queue.try_send(Box::new(|_| (true, Box::new(|_| ()))));
            }
        }
    }
}
