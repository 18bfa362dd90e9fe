//! Enforcement: what the journal plans against runs is carried out, by whoever holds the run, until it is done.
//!
//! A run's supervisor (`hudson run`) acts on its own run; the controller acts on every run without one. Egress is stopped
//! by the block that the crossing wrote, in every proxy and before any of this, so that whatever fails here fails closed.
//!
//! Invariants: the actions of one run are taken one after the other, a kill before anything else; what was begun and not
//! ended, by a crash too, is done again, which each back end must stand; what fails is tried again, and said aloud.

mod back_end;
mod command;
mod container;
mod controller;
mod orphans;
mod process;

pub use back_end::{BackEnd, Lasting, Nothing};
pub use command::CommandBackEnd;
pub use container::ContainerBackEnd;
pub use controller::control;
pub use orphans::{TakenDown, take_down_orphans};
pub use process::{Life, ProcessBackEnd, descendants, state_and_parent};

use crate::instance::now;
use hudson_schema::ledger::{Action, Enforcement, EnforcementState, LedgerError, SharedLedger};
use hudson_schema::{Provider, RunId, Scope, ScopeKind};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long is waited after a failure: twice as long each time, up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// What does not succeed for so long is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(300);
/// How long what is in flight has to be settled before a bottle is frozen with it.
const SETTLES_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Sees what is done, and tells people.
pub trait Witness: Send + Sync {
    /// A row is being carried out.
    fn begins(&self, row: &Enforcement);
    /// A try has failed: it has to be said aloud.
    fn fails(&self, row: &Enforcement, why: &str);
}

/// Carries out what is planned.
pub struct Enforcer {
    ledger: SharedLedger,
    witness: Box<dyn Witness>,
    /// Runs that are being acted on.
    busy: Mutex<HashSet<RunId>>,
    /// Told when one of them is not any more.
    free: Notify,
}

impl Enforcer {
    /// One that has nothing to do yet.
    pub fn new(ledger: SharedLedger, witness: Box<dyn Witness>) -> Arc<Self> {
        Arc::new(Self { ledger, witness, busy: Mutex::default(), free: Notify::new() })
    }

    /// Has the open rows of a run carried out, unless that is under way.
    pub fn take_up(self: &Arc<Self>, run: &RunId, back_end: Arc<dyn BackEnd>) {
        let Some(busy) = self.busy(run) else { return };
        tokio::spawn(async move {
            // An error of the ledger is met again at its next change.
            let _ = busy.enforcer.carry_out(&busy.run, &*back_end).await;
        });
    }

    /// Carries out what is open of a run that has ended, after what is under way.
    pub async fn finish(self: &Arc<Self>, run: &RunId, back_end: &dyn BackEnd) -> Result<(), LedgerError> {
        let _busy = loop {
            match self.busy(run) {
                Some(busy) => break busy,
                None => self.freed().await,
            }
        };
        self.carry_out(run, back_end).await
    }

    /// The right to act on a run; `None` while another has it.
    fn busy(self: &Arc<Self>, run: &RunId) -> Option<Busy> {
        let free = self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(run.clone());
        free.then(|| Busy { enforcer: self.clone(), run: run.clone() })
    }

    /// Ends when a run has come free since the last time: what was planned for it meanwhile is to be taken up.
    pub async fn freed(&self) {
        self.free.notified().await;
    }

    /// Carries out what is open of a run, until nothing is.
    async fn carry_out(&self, run: &RunId, back_end: &dyn BackEnd) -> Result<(), LedgerError> {
        let mut failures = Failures::default();
        loop {
            let rows = self.ledger.enforcement_list(Some(run)).await?;
            let Some(row) = next(&rows) else { return Ok(()) };
            if rows.iter().any(|other| is_done(other, Action::Kill)) && row.action != Action::Kill {
                let (state, detail) = match row.action {
                    Action::Cutoff => (EnforcementState::Done, "egress is cut off; the run was killed"),
                    _ => (EnforcementState::Failed, "the run was killed"),
                };
                self.advance(row, state, detail).await?;
                continue;
            }
            if row.state == EnforcementState::Planned
                && !self.advance(row, EnforcementState::Started, "").await?
            {
                continue;
            }
            let row = Enforcement { state: EnforcementState::Started, ..row.clone() };
            if !failures.has(row.id) {
                self.witness.begins(&row);
            }
            if row.action == Action::Freeze {
                self.settled(run).await?;
            }
            match back_end.carry_out(&row).await {
                Ok(detail) => {
                    self.advance(&row, EnforcementState::Done, &detail).await?;
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    self.witness.fails(&row, &why);
                    let again = if error.is::<Lasting>() { None } else { failures.again_in(row.id) };
                    match again {
                        Some(wait) => self.wait(wait).await,
                        None => {
                            let detail = format!("given up, egress is cut off: {why}");
                            self.advance(&row, EnforcementState::Failed, &detail).await?;
                        }
                    }
                }
            }
        }
    }

    /// Waits before another try, no longer than until something else was decided: that may be a kill.
    async fn wait(&self, time: Duration) {
        let mut changes = self.ledger.changes();
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = async { tokio::time::sleep(BACK_OFF.0).await; changes.changed().await } => {}
        }
    }

    /// Waits until nothing of a run is in flight. What is left then stays held: a frozen client reads no more.
    async fn settled(&self, run: &RunId) -> Result<(), LedgerError> {
        let scope = Scope::new(ScopeKind::Run, run.as_str());
        let Ok(every) = Provider::ANY.parse() else { return Ok(()) };
        let until = Instant::now() + SETTLES_WITHIN;
        while self.ledger.budget_fetch(&scope, &every, 0).await?.held > 0 && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn advance(
        &self,
        row: &Enforcement,
        to: EnforcementState,
        detail: &str,
    ) -> Result<bool, LedgerError> {
        self.ledger.enforcement_advance(row.id, row.state, to, detail, now()).await
    }
}

/// What comes first: a kill, else what was planned first.
fn next(rows: &[Enforcement]) -> Option<&Enforcement> {
    let open = || rows.iter().filter(|row| row.is_open());
    open().find(|row| row.action == Action::Kill).or_else(|| open().next())
}

fn is_done(row: &Enforcement, action: Action) -> bool {
    row.action == action && row.state == EnforcementState::Done
}

/// A run that is being acted on; free again when dropped, by a panic too.
struct Busy {
    enforcer: Arc<Enforcer>,
    run: RunId,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.enforcer.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.run);
        self.enforcer.free.notify_one();
    }
}

/// How often each row has failed, and since when.
#[derive(Default)]
struct Failures(HashMap<i64, (Instant, Duration)>);

impl Failures {
    fn has(&self, row: i64) -> bool {
        self.0.contains_key(&row)
    }

    /// How long to wait before it is tried again; `None` when it is given up.
    fn again_in(&mut self, row: i64) -> Option<Duration> {
        let (since, wait) = self.0.entry(row).or_insert_with(|| (Instant::now(), BACK_OFF.0));
        if since.elapsed() >= GIVEN_UP_AFTER {
            return None;
        }
        let now = *wait;
        *wait = wait.saturating_mul(2).min(BACK_OFF.1);
        Some(now)
    }
}

#[cfg(test)]
mod tests;
