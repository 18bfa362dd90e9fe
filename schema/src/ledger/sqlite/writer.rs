//! The one connection that writes. What is queued is committed together; each command stands in a savepoint of its own,
//! so that one that fails takes no other with it, and is answered only when it is durable.
//!
//! Whoever asks while nobody writes, commits at once, on its own thread: a transaction costs less than waking another
//! thread for it. What would have to wait, for somebody else's commit or another process's, is left to a thread that may.
//! Invariant: a command that was queued runs, also when nobody waits for its answer any more.

use super::checkpoint::{self, Checkpoints, Commits};
use super::fail::{Fail, again, failure, sql};
use super::orphans::Orphans;
use super::owners::Owner;
use super::retry::retry;
use super::{HoldId, LedgerError, Measures, holds};
use rusqlite::Connection;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::{oneshot, watch};

/// Commands in one transaction.
const BATCH: usize = 64;

/// Answers a command once it is known whether its transaction was committed.
type Answer = Box<dyn FnOnce(Result<(), &rusqlite::Error>) + Send>;
/// Runs a command on a connection, or on why there is no transaction.
type Command = Box<dyn FnOnce(Result<&Connection, &rusqlite::Error>) -> Ran + Send>;

/// What a command came to.
struct Ran {
    /// Whether to keep what it did.
    keep: bool,
    /// Whether who watches is told at once; otherwise the next poll does.
    urgent: bool,
    answer: Answer,
}

/// The way to the ledger's writing connection.
pub(super) struct Writer {
    path: PathBuf,
    owner: Arc<str>,
    desk: Arc<Desk>,
    measures: Arc<Measures>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Claims an owner for this process's holds and starts the thread.
    pub(super) fn start(
        path: &Path,
        owners_dir: &Path,
        connection: Connection,
        changes: Arc<watch::Sender<u64>>,
        measures: Arc<Measures>,
    ) -> Result<Self, LedgerError> {
        let owner = Owner::claim(owners_dir)?;
        let recorded = retry(|| connection.execute_batch("BEGIN IMMEDIATE"))
            .and_then(|()| owner.record(&connection))
            .and_then(|()| connection.execute_batch("COMMIT"));
        recorded.map_err(|error| sql(path, error))?;

        let id = owner.id();
        let orphans = Arc::new(Orphans::default());
        let work = Work { connection, owner, orphans: orphans.clone(), changes };
        let desk = Arc::new(Desk {
            commits: Commits::default(),
            queue: Mutex::default(),
            work: Mutex::new(work),
            orphans,
            call: Mutex::new(Call::Rest),
            bell: Condvar::new(),
        });
        let (clerk, checkpoints) = (desk.clone(), Checkpoints::new(path));
        let thread = std::thread::Builder::new()
            .name("hudson-ledger".to_owned())
            .spawn(move || clerk.serve(checkpoints))
            .map_err(|error| LedgerError::Io {
                path: path.to_owned(),
                what: "cannot start the ledger's thread",
                error: Box::new(error),
            })?;
        Ok(Self { path: path.to_owned(), owner: id, desk, measures, thread: Some(thread) })
    }

    /// Whose holds this process places.
    pub(super) fn owner(&self) -> Arc<str> {
        self.owner.clone()
    }

    /// Gives back a hold that nobody waits for.
    pub(super) fn give_back(&self) -> impl Fn(HoldId) + Send + 'static {
        let desk = self.desk.clone();
        move |hold| {
            desk.orphans.put_back(vec![hold]);
            desk.ring(Call::Work);
        }
    }

    /// Runs `body` in a transaction, and tells who watches at once where `urgent` says so of its result.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Connection) -> Result<T, Fail> + Send + 'static,
        urgent: impl FnOnce(&T) -> bool + Send + 'static,
    ) -> Result<T, LedgerError> {
        let asked = Instant::now();
        let (sender, answer) = oneshot::channel();
        let path = self.path.clone();
        self.desk.push(Box::new(move |connection| {
            let result = match connection {
                Ok(connection) => body(connection),
                Err(why) => Err(Fail::Sql(again(why))),
            };
            let (keep, urgent) = (result.is_ok(), result.as_ref().is_ok_and(urgent));
            let answer: Answer = Box::new(move |committed| {
                let result = match committed {
                    Ok(()) => result,
                    Err(why) => result.and_then(|_| Err(Fail::Sql(again(why)))),
                };
                let _ = sender.send(result.map_err(|fail| fail.of(&path)));
            });
            Ran { keep, urgent, answer }
        }));
        self.desk.work_at_once();
        let result = answer.await.map_err(|_| LedgerError::Closed).flatten();
        self.measures.commits.add(asked.elapsed());
        self.measures.noted(result)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread commits what is queued and ends.
        self.desk.ring(Call::Close);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where commands are queued and worked off.
struct Desk {
    queue: Mutex<VecDeque<Command>>,
    work: Mutex<Work>,
    commits: Commits,
    orphans: Arc<Orphans>,
    call: Mutex<Call>,
    bell: Condvar,
}

/// What the thread is asked to do, in the order of precedence.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Call {
    Rest,
    Work,
    Close,
}

impl Desk {
    fn push(&self, command: Command) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(command);
    }

    fn next_batch(&self) -> Vec<Command> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let length = queue.len().min(BATCH);
        queue.drain(..length).collect()
    }

    fn put_back(&self, batch: Vec<Command>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        for command in batch.into_iter().rev() {
            queue.push_front(command);
        }
    }

    fn is_idle(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty() && !self.orphans.any()
    }

    fn ring(&self, call: Call) {
        let mut asked = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        *asked = call.max(*asked);
        self.bell.notify_one();
    }

    /// Commits what is queued, where that needs no waiting; rings for the thread where something is left.
    fn work_at_once(&self) {
        let mut due = false;
        // Who finds it taken, or left by somebody who panicked, leaves it to the thread.
        if let Ok(work) = self.work.try_lock() {
            let batch = self.next_batch();
            if batch.is_empty() {
                // Somebody else has done it already.
            } else if work.begin() {
                work.commit(batch);
                due = self.commits.add();
            } else {
                self.put_back(batch);
            }
        }
        // Also what somebody queued who found the work taken.
        if due || !self.is_idle() {
            self.ring(Call::Work);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(|poisoned| {
            let work = poisoned.into_inner();
            // Whatever was under way is not kept.
            let _ = work.connection.execute_batch("ROLLBACK");
            work
        })
    }

    /// The thread's work, until it is told to close.
    fn serve(&self, mut checkpoints: Checkpoints) {
        loop {
            let call = self.wait();
            while !self.is_idle() {
                let batch = self.next_batch();
                // Whoever waits for a command that panics is told that the ledger is closed; others must not wait for
                // ever.
                let _ = catch_unwind(AssertUnwindSafe(|| self.lock().commit_waiting(batch)));
                self.commits.add();
            }
            if call == Call::Close {
                break;
            }
            // Best effort: the next one copies what this one does not.
            checkpoints.run_when_due(&self.commits, || drop(checkpoint::copy(&self.lock().connection)));
        }
        let work = self.lock();
        // Best effort: an owner that stays on record is found dead by its lock.
        let _ = retry(|| work.owner.forget(&work.connection));
    }

    fn wait(&self) -> Call {
        let asked = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asked =
            self.bell.wait_while(asked, |asked| *asked == Call::Rest).unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *asked, Call::Rest)
    }
}

/// What it takes to commit. The owner's lock is let go only after the last commit.
struct Work {
    connection: Connection,
    owner: Owner,
    orphans: Arc<Orphans>,
    changes: Arc<watch::Sender<u64>>,
}

impl Work {
    /// Begins a transaction, unless somebody has to be waited for.
    fn begin(&self) -> bool {
        // Whatever an error is, the thread meets it again, and says so.
        self.execute("BEGIN IMMEDIATE").is_ok()
    }

    /// The same, waiting for as long as it takes.
    fn commit_waiting(&self, batch: Vec<Command>) {
        match retry(|| self.execute("BEGIN IMMEDIATE")) {
            Ok(()) => self.commit(batch),
            Err(error) => {
                for command in batch {
                    (command(Err(&error)).answer)(Err(&error));
                }
            }
        }
    }

    /// Commits a batch in the transaction that was begun, and what a failing disk leaves of it in more.
    fn commit(&self, batch: Vec<Command>) {
        let before = self.connection.total_changes();
        let mut urgent = false;
        let mut commands = batch.into_iter();
        loop {
            let orphans = self.orphans.take();
            for hold in &orphans {
                // One that cannot be deleted now is put back below, for the same reason that the commit fails.
                let _ = holds::release(&self.connection, hold);
            }
            // Alone, a command needs no savepoint: what fails is all there is.
            let alone = commands.len() == 1 && orphans.is_empty();
            let mut answers = Vec::with_capacity(commands.len());
            let mut kept = false;
            for command in commands.by_ref() {
                let ran = self.step(command, alone);
                kept |= ran.keep;
                urgent |= ran.urgent;
                answers.push(ran.answer);
                // A full disk or a failed write ends the whole transaction, not only the savepoint.
                if self.connection.is_autocommit() {
                    break;
                }
            }
            let committed = if alone && !kept { self.roll_back() } else { self.end() };
            if committed.is_err() {
                self.orphans.put_back(orphans);
            }
            for answer in answers {
                answer(committed.as_ref().copied());
            }
            if commands.len() == 0 {
                break;
            }
            if let Err(error) = retry(|| self.execute("BEGIN IMMEDIATE")) {
                for command in commands {
                    (command(Err(&error)).answer)(Err(&error));
                }
                break;
            }
        }
        // Who answers a change by a command that finds nothing to do must not be woken by it again.
        if urgent && self.connection.total_changes() != before {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    fn step(&self, command: Command, alone: bool) -> Ran {
        // Outside of a transaction a savepoint would be one of its own, and commit by itself.
        if self.connection.is_autocommit() {
            return command(Err(&given_up()));
        }
        if alone {
            return command(Ok(&self.connection));
        }
        if let Err(error) = self.execute("SAVEPOINT command") {
            return command(Err(&error));
        }
        let ran = command(Ok(&self.connection));
        if !ran.keep && !self.connection.is_autocommit() && self.execute("ROLLBACK TO command").is_err() {
            // What failed must not be kept, so nothing is.
            let _ = self.execute("ROLLBACK");
        }
        if !self.connection.is_autocommit() {
            let _ = self.execute("RELEASE command");
        }
        ran
    }

    fn end(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() {
            return Err(given_up());
        }
        self.execute("COMMIT").inspect_err(|_| {
            let _ = self.execute("ROLLBACK");
        })
    }

    /// Ends a transaction of which nothing is kept: its command has failed, and says why.
    fn roll_back(&self) -> rusqlite::Result<()> {
        if !self.connection.is_autocommit() {
            let _ = self.execute("ROLLBACK");
        }
        Ok(())
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute(()).map(drop)
    }
}

fn given_up() -> rusqlite::Error {
    failure("given up with another command that met a failing disk".to_owned())
}
