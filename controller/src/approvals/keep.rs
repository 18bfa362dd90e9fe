//! What keeps approvals going, in every process that serves: time that ran out is written down, what a stopped or ended
//! bottle has asked for is taken back, what has long been over is removed, and the grants of the operator's file are made.
//!
//! Invariants: whatever runs here may run in several processes at once, and is done once; it touches the ledger only when
//! there is something to do; no answer depends on it, for every reader takes what is overdue as over.

use super::grants_file;
use crate::events::EventLog;
use crate::instance::now;
use crate::runs::Runs;
use hudson_schema::BottleName;
use hudson_schema::ledger::{
    Approval, ApprovalCancel, ApprovalKind, ApprovalQuery, ApprovalStatus, ApprovalSweep, Block, DecidedVia,
    LedgerError, RunRecord, SharedLedger,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long changes are gathered before they are looked at.
const REST: Duration = Duration::from_millis(200);
/// How often it is looked at what time has ended, when nothing else wakes it.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How many are written down at once: others want to write, too.
const BATCH: usize = 500;
/// How often what is over is removed, and what is kept for how long, in milliseconds.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
const KEPT: i64 = 30 * 24 * 3_600_000;
/// Why nothing of a bottle without a run is decided any more.
const ENDED: &str = "the bottle's run has ended";
/// What is open at most, of a host.
const OPEN: usize = 100_000;

/// Keeps approvals going for as long as the process lives.
pub async fn run(ledger: SharedLedger, runs: Arc<Runs>, events: Arc<EventLog>) {
    let mut changes = ledger.changes();
    let mut grants = grants_file::Grants::default();
    let mut forgotten: Option<Instant> = None;
    loop {
        grants.follow(&ledger, &runs.settings(), runs.home(), &events).await;
        let forget = forgotten.is_none_or(|at| at.elapsed() >= FORGET_EVERY);
        let pass = async {
            take_back(&ledger, &runs, &events).await?;
            sweep(&ledger, &runs, forget).await
        };
        match pass.await {
            Ok(()) if forget => forgotten = Some(Instant::now()),
            Ok(()) => {}
            Err(error) => {
                events
                    .write("ledger_failed", json!({"what": "keeping approvals", "error": error.to_string()}));
            }
        }
        let mut wait = until_due(&ledger).await;
        if runs.settings().approvals.grants_file.is_some() {
            wait = wait.min(grants_file::LOOK_EVERY);
        }
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(REST).await;
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Until the next one is due, and no longer than a look takes: the wall clock may step.
async fn until_due(ledger: &SharedLedger) -> Duration {
    let due = ledger.approval_due().await.ok().flatten();
    let left = due.map(|due| u64::try_from(due.saturating_sub(now())).unwrap_or_default());
    left.map_or(LOOK_EVERY, |left| LOOK_EVERY.min(Duration::from_millis(left.saturating_add(20))))
}

/// Writes down what time has ended, and removes what has long been over.
async fn sweep(ledger: &SharedLedger, runs: &Runs, forget: bool) -> Result<(), LedgerError> {
    let window =
        runs.settings().approvals.fatigue.map_or(0, |fatigue| super::rules::milliseconds(fatigue.window.0));
    let mut forget_before = forget.then(|| now().saturating_sub(KEPT.max(window.saturating_mul(2))));
    loop {
        let is_due = ledger.approval_due().await?.is_some_and(|due| due <= now());
        if !is_due && forget_before.is_none() {
            return Ok(());
        }
        let swept = ledger.approval_expire(ApprovalSweep { most: BATCH, forget_before, now: now() }).await?;
        if swept.forgotten < BATCH {
            forget_before = None;
        }
        if swept.expired < BATCH && forget_before.is_none() {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// Takes back what bottles have asked for that are stopped, or have ended.
async fn take_back(ledger: &SharedLedger, runs: &Runs, events: &EventLog) -> Result<(), LedgerError> {
    let mut open: BTreeMap<BottleName, Vec<Approval>> = BTreeMap::new();
    for status in [ApprovalStatus::Pending, ApprovalStatus::Approved] {
        let query =
            ApprovalQuery { status: Some(status), most: OPEN, now: now(), ..ApprovalQuery::default() };
        for approval in ledger.approval_list(query).await? {
            open.entry(approval.bottle.clone()).or_default().push(approval);
        }
    }
    if open.is_empty() {
        return Ok(());
    }
    let live: BTreeSet<BottleName> = ledger.run_list(true).await?.into_iter().map(|run| run.bottle).collect();
    let mut all: Option<Vec<RunRecord>> = None;
    for (bottle, approvals) in open {
        let ending = if live.contains(&bottle) {
            stopped(ledger, runs, &bottle).await?
        } else {
            let all = match &mut all {
                Some(all) => all,
                none => none.insert(ledger.run_list(false).await?),
            };
            ended(all, &bottle)
        };
        let Some(ending) = ending else { continue };
        for approval in approvals.iter().filter(|approval| ending.ends(approval)) {
            let cancel = ApprovalCancel {
                bottle: bottle.clone(),
                id: Some(approval.id.clone()),
                actor: "hudson".to_owned(),
                via: DecidedVia::System,
                reason: ending.reason.clone(),
                now: now(),
            };
            if ledger.approval_cancel(cancel).await? > 0 {
                let told = json!({"approval": approval.id, "bottle": bottle, "reason": ending.reason});
                events.write("approval_taken_back", told);
            }
        }
    }
    Ok(())
}

/// Takes back what a bottle has asked for, if it has no live run any more: for whoever ends a run, and may have no process
/// behind that would do it.
pub async fn run_ended(ledger: &SharedLedger, bottle: &BottleName) -> Result<(), LedgerError> {
    if ledger.run_list(true).await?.iter().any(|run| run.bottle == *bottle) {
        return Ok(());
    }
    let cancel = ApprovalCancel {
        bottle: bottle.clone(),
        id: None,
        actor: "hudson".to_owned(),
        via: DecidedVia::System,
        reason: ENDED.to_owned(),
        now: now(),
    };
    ledger.approval_cancel(cancel).await.map(drop)
}

/// Why what a bottle asked for is over.
struct Ending {
    reason: String,
    /// What was asked for since then is another bottle's of the name.
    until: i64,
    /// Whether a question for more of a budget goes on: that is what would end the cutoff.
    spares_budgets: bool,
}

impl Ending {
    fn ends(&self, approval: &Approval) -> bool {
        approval.created_at <= self.until && !(self.spares_budgets && approval.kind == ApprovalKind::Budget)
    }
}

/// Whether every live run of a bottle that is known here is stopped.
async fn stopped(
    ledger: &SharedLedger,
    runs: &Runs,
    bottle: &BottleName,
) -> Result<Option<Ending>, LedgerError> {
    let mut found: Option<Block> = None;
    for run in runs.live().into_iter().filter(|run| run.bottle == *bottle) {
        let policy = run.policy();
        let blocks = ledger.block_fetch(&run.id, &policy.governing(now()), now()).await?;
        match blocks.into_iter().find(|block| block.stops(policy.cutoff, None)) {
            Some(block) => found = Some(block),
            // It still works, and what the bottle asked for may be this one's.
            None => return Ok(None),
        }
    }
    Ok(found.map(|block| Ending {
        reason: format!("the bottle is stopped: {}", block.cause),
        until: i64::MAX,
        spares_budgets: block.budget.is_some() && block.policy == hudson_schema::Policy::Cutoff,
    }))
}

/// Whether the last run of a bottle has ended. One that never had a run has not.
fn ended(all: &[RunRecord], bottle: &BottleName) -> Option<Ending> {
    let last = all.iter().filter(|run| run.bottle == *bottle).filter_map(|run| run.finished_at).max()?;
    Some(Ending { reason: ENDED.to_owned(), until: last, spares_budgets: false })
}
