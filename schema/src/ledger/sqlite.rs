//! The SQLite back end.
//!
//! Invariants: one thread writes, and answers only after COMMIT; a read never waits for a write; a refused file is
//! never written to; `busy` is never an error before five seconds of it.

mod approvals;
mod audit;
mod blocks;
mod budgets;
mod changes;
mod channels;
mod checkpoint;
mod counters;
mod enforcements;
mod examine;
mod fail;
mod findings;
mod holds;
mod log;
mod open;
mod orphans;
mod outbox;
mod owners;
mod readers;
mod retrieve;
mod retry;
mod rows;
mod runs;
mod settle;
mod totals;
mod usage;
mod warnings;
mod writer;

use super::audit as audit_record;
use super::*;
use crate::budget::BudgetOverride;
use crate::{Provider, RunId, Scope};
use changes::Changes;
pub use examine::Examined;
use fail::Fail;
use orphans::Undelivered;
use readers::Readers;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use tokio::sync::watch;
use writer::Writer;

/// The ledger in one SQLite file.
///
/// Every process that shares the file must be given the same `owners_dir`, or each takes the other's holds for those
/// of a dead process (which costs no token, but counts estimates as spent until their responses settle).
pub struct SqliteLedger {
    path: PathBuf,
    owners_dir: PathBuf,
    measures: Arc<Measures>,
    // Dropped in this order: the writer last, so that the last connection is one that may tidy the log away.
    changes: Changes,
    readers: Readers,
    writer: Option<Writer>,
}

impl SqliteLedger {
    /// Opens the ledger for reading and writing; creates it, mode 0600, where there is none or an empty file.
    ///
    /// Blocks: on the file system, and for up to five seconds on other processes that are writing.
    pub fn open(path: &Path, owners_dir: &Path) -> Result<Self, LedgerError> {
        Self::open_as(path, owners_dir, "NORMAL")
    }

    /// The same, where each commit waits until the disk has it: a power cut loses none either. It costs what the disk takes.
    pub fn open_synchronous(path: &Path, owners_dir: &Path) -> Result<Self, LedgerError> {
        Self::open_as(path, owners_dir, "FULL")
    }

    fn open_as(path: &Path, owners_dir: &Path, synchronous: &str) -> Result<Self, LedgerError> {
        let connection = open::for_writing(path, synchronous)?;
        let changes = Changes::new(path);
        let measures = Arc::<Measures>::default();
        let writer = Writer::start(path, owners_dir, connection, changes.counter(), measures.clone())?;
        Ok(Self {
            path: path.to_owned(),
            owners_dir: owners_dir.to_owned(),
            measures,
            writer: Some(writer),
            changes,
            readers: Readers::new(path),
        })
    }

    /// Opens a ledger that exists for reading; every method that writes then fails.
    pub fn open_read_only(path: &Path) -> Result<Self, LedgerError> {
        open::for_reading(path)?;
        Ok(Self {
            path: path.to_owned(),
            owners_dir: PathBuf::new(),
            measures: Arc::default(),
            writer: None,
            changes: Changes::new(path),
            readers: Readers::new(path),
        })
    }

    fn writer(&self) -> Result<&Writer, LedgerError> {
        self.writer.as_ref().ok_or_else(|| LedgerError::Io {
            path: self.path.clone(),
            what: "cannot write to the ledger",
            error: "it was opened for reading only".into(),
        })
    }

    async fn write<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Connection) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.writer()?.call(body, |_| true).await
    }

    async fn read<T: Send + 'static>(
        &self,
        body: impl FnMut(&Connection) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.measures.noted(self.readers.call(body).await)
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn run_insert(&self, run: NewRun) -> Result<(), LedgerError> {
        let owner = self.writer()?.owner();
        self.write(move |connection| runs::insert(connection, &run, &owner)).await
    }

    async fn run_fetch(&self, id: &RunId) -> Result<Option<RunRecord>, LedgerError> {
        let id = id.clone();
        self.read(move |connection| runs::fetch(connection, &id)).await
    }

    async fn run_list(&self, live: bool) -> Result<Vec<RunRecord>, LedgerError> {
        self.read(move |connection| runs::list(connection, live)).await
    }

    async fn run_finish(
        &self,
        id: &RunId,
        finished_at: i64,
        exit_code: Option<i32>,
    ) -> Result<(), LedgerError> {
        let id = id.clone();
        self.write(move |connection| runs::finish(connection, &id, finished_at, exit_code)).await
    }

    async fn run_orphans(&self) -> Result<Vec<RunRecord>, LedgerError> {
        let (own, dir) = (self.writer()?.owner(), self.owners_dir.clone());
        self.read(move |connection| runs::orphans(connection, &dir, &own)).await
    }

    async fn run_rotate(&self, id: &RunId, credential_hash: [u8; 32], now: i64) -> Result<(), LedgerError> {
        let id = id.clone();
        self.write(move |connection| runs::rotate(connection, &id, credential_hash, now)).await
    }

    async fn hold_place(&self, request: HoldRequest) -> Result<HoldOutcome, LedgerError> {
        let writer = self.writer()?;
        let (owner, give_back) = (writer.owner(), writer.give_back());
        let place = move |connection: &Connection| {
            Ok(Undelivered::new(holds::place(connection, &owner, &request)?, give_back))
        };
        // A hold that was placed stops nobody; one that was refused may have planned an enforcement.
        writer.call(place, |outcome| !outcome.is_placed()).await?.deliver()
    }

    async fn hold_release(&self, hold: &HoldId) -> Result<(), LedgerError> {
        let hold = hold.clone();
        self.writer()?.call(move |connection| holds::release(connection, &hold), |()| false).await
    }

    async fn usage_settle(&self, settlement: Settlement) -> Result<Settled, LedgerError> {
        let settle = move |connection: &Connection| settle::settle(connection, &settlement);
        self.writer()?
            .call(settle, |settled| !settled.crossings.is_empty() || !settled.warnings.is_empty())
            .await
    }

    async fn usage_retrieve(&self, retrieval: Retrieval) -> Result<Retrieved, LedgerError> {
        self.write(move |connection| retrieve::retrieve(connection, &retrieval)).await
    }

    async fn usage_sum(&self, query: UsageQuery) -> Result<Vec<UsageSum>, LedgerError> {
        self.read(move |connection| usage::sum(connection, &query)).await
    }

    async fn usage_list(&self, query: UsageQuery) -> Result<Vec<UsageRecord>, LedgerError> {
        self.read(move |connection| usage::list(connection, &query)).await
    }

    async fn budget_fetch(
        &self,
        scope: &Scope,
        provider: &Provider,
        window_start: i64,
    ) -> Result<Balance, LedgerError> {
        let (scope, provider) = (scope.clone(), provider.clone());
        self.read(move |connection| totals::balance(connection, &scope, &provider, window_start)).await
    }

    async fn block_fetch(
        &self,
        run: &RunId,
        governing: &[AskedLimit],
        now: i64,
    ) -> Result<Vec<Block>, LedgerError> {
        let (run, governing) = (run.clone(), governing.to_vec());
        self.read(move |connection| blocks::fetch(connection, &run, &governing, now)).await
    }

    async fn block_plan(
        &self,
        run: &RunId,
        governing: &[AskedLimit],
        now: i64,
    ) -> Result<Option<Block>, LedgerError> {
        let writer = self.writer()?;
        // Every supervisor asks after every change, and mostly nothing stands: that costs the writer nothing.
        if self.block_fetch(run, governing, now).await?.is_empty() {
            return Ok(None);
        }
        let (run, governing) = (run.clone(), governing.to_vec());
        writer.call(move |connection| blocks::plan(connection, &run, &governing, now), |_| true).await
    }

    async fn block_order(&self, order: BlockOrder) -> Result<bool, LedgerError> {
        self.write(move |connection| blocks::order(connection, &order)).await
    }

    async fn block_resume(&self, scope: &Scope, actor: &str, now: i64) -> Result<Vec<Block>, LedgerError> {
        let (scope, actor) = (scope.clone(), actor.to_owned());
        self.write(move |connection| blocks::resume(connection, &scope, &actor, now)).await
    }

    async fn block_list(&self) -> Result<Vec<Block>, LedgerError> {
        self.read(blocks::list).await
    }

    async fn block_reconsider(&self, limits: &[LimitInForce], now: i64) -> Result<(), LedgerError> {
        let writer = self.writer()?;
        let (looked, limits) = (limits.to_vec(), limits.to_vec());
        if !self.read(move |connection| blocks::any_ends(connection, &looked, now)).await? {
            return Ok(());
        }
        writer.call(move |connection| blocks::reconsider(connection, &limits, now), |()| true).await
    }

    async fn budget_override_set(&self, overrides: Vec<BudgetOverride>) -> Result<(), LedgerError> {
        self.write(move |connection| budgets::set(connection, &overrides)).await
    }

    async fn budget_override_clear(
        &self,
        scope: &Scope,
        providers: &[Provider],
        actor: &str,
        now: i64,
    ) -> Result<Vec<BudgetOverride>, LedgerError> {
        let (scope, providers, actor) = (scope.clone(), providers.to_vec(), actor.to_owned());
        self.write(move |connection| budgets::clear(connection, &scope, &providers, &actor, now)).await
    }

    async fn budget_override_list(&self) -> Result<Vec<BudgetOverride>, LedgerError> {
        self.read(budgets::list).await
    }

    async fn budget_review(
        &self,
        run: &RunId,
        review: LimitReview,
        now: i64,
    ) -> Result<Reviewed, LedgerError> {
        let run = run.clone();
        self.write(move |connection| budgets::review(connection, &run, &review, now)).await
    }

    async fn counter_reserve(&self, request: CounterRequest) -> Result<CounterOutcome, LedgerError> {
        let writer = self.writer()?;
        let owner = writer.owner();
        // Counting stops nobody who is not counted himself.
        writer.call(move |connection| counters::reserve(connection, &owner, &request), |_| false).await
    }

    async fn counter_settle(
        &self,
        reservation: &CounterReservation,
        give_back: &[usize],
    ) -> Result<bool, LedgerError> {
        let (reservation, back) = (reservation.clone(), give_back.to_vec());
        self.writer()?
            .call(move |connection| counters::settle(connection, &reservation, &back), |_| false)
            .await
    }

    async fn counter_fetch(&self, run: &RunId, counters: &[Counter]) -> Result<Vec<i64>, LedgerError> {
        let (run, counters) = (run.clone(), counters.to_vec());
        self.read(move |connection| counters::fetch(connection, &run, &counters)).await
    }

    async fn finding_insert(&self, findings: NewFindings) -> Result<(), LedgerError> {
        // Nobody is stopped by it.
        self.writer()?.call(move |connection| findings::insert(connection, &findings), |()| false).await
    }

    async fn audit_list(&self, after: i64, most: usize) -> Result<Vec<AuditRecord>, LedgerError> {
        self.read(move |connection| audit::list(connection, after, most)).await
    }

    async fn audit_last(&self) -> Result<i64, LedgerError> {
        self.read(audit::last).await
    }

    async fn enforcement_list(&self, run: Option<&RunId>) -> Result<Vec<Enforcement>, LedgerError> {
        let run = run.cloned();
        self.read(move |connection| enforcements::list(connection, run.as_ref())).await
    }

    async fn enforcement_open(&self) -> Result<Vec<Enforcement>, LedgerError> {
        self.read(enforcements::open).await
    }

    async fn enforcement_advance(
        &self,
        id: i64,
        from: EnforcementState,
        to: EnforcementState,
        detail: &str,
        now: i64,
    ) -> Result<bool, LedgerError> {
        let detail = detail.to_owned();
        self.write(move |connection| enforcements::advance(connection, id, from, to, &detail, now)).await
    }

    async fn enforcement_resume(
        &self,
        run: &RunId,
        governing: &[AskedLimit],
        actor: &str,
        now: i64,
    ) -> Result<Resumption, LedgerError> {
        let (run, governing, actor) = (run.clone(), governing.to_vec(), actor.to_owned());
        self.write(move |connection| blocks::resume_frozen(connection, &run, &governing, &actor, now)).await
    }

    async fn holds_reap(&self, now: i64) -> Result<usize, LedgerError> {
        let writer = self.writer()?;
        let (own, dir) = (writer.owner(), self.owners_dir.clone());
        let dead = self.read(move |connection| owners::dead(connection, &dir, &own)).await?;
        let mut reaped = 0;
        for owner in dead {
            reaped +=
                writer.call(move |connection| owner.reap(connection, now), |reaped| *reaped > 0).await?;
        }
        Ok(reaped)
    }

    async fn notify_next(&self, channels: &[String]) -> Result<Option<i64>, LedgerError> {
        let channels = channels.to_vec();
        self.read(move |connection| outbox::next(connection, &channels)).await
    }

    async fn notify_claim(&self, claim: NotifyClaim) -> Result<Vec<Notification>, LedgerError> {
        self.writer()?.call(move |connection| outbox::claim(connection, &claim), |_| false).await
    }

    async fn notify_finish(
        &self,
        claimed: &Notification,
        end: NotifyEnd,
        now: i64,
    ) -> Result<bool, LedgerError> {
        let claimed = claimed.clone();
        self.writer()?
            .call(move |connection| outbox::finish(connection, &claimed, &end, now), |_| false)
            .await
    }

    async fn notify_state(&self) -> Result<NotifyState, LedgerError> {
        self.read(outbox::state).await
    }

    async fn notify_message_set(
        &self,
        approval: &ApprovalId,
        channel: &str,
        message: &str,
        now: i64,
    ) -> Result<(), LedgerError> {
        let (approval, channel, message) = (approval.clone(), channel.to_owned(), message.to_owned());
        let set = move |connection: &Connection| {
            channels::message_set(connection, &approval, &channel, &message, now)
        };
        self.writer()?.call(set, |()| false).await
    }

    async fn notify_message_fetch(
        &self,
        approval: &ApprovalId,
        channel: &str,
    ) -> Result<Option<String>, LedgerError> {
        let (approval, channel) = (approval.clone(), channel.to_owned());
        self.read(move |connection| channels::message_fetch(connection, &approval, &channel)).await
    }

    async fn notify_cursor_fetch(&self, source: &str) -> Result<NotifyCursor, LedgerError> {
        let source = source.to_owned();
        self.read(move |connection| channels::cursor_fetch(connection, &source)).await
    }

    async fn notify_cursor_set(&self, source: &str, position: i64, now: i64) -> Result<(), LedgerError> {
        let source = source.to_owned();
        let set = move |connection: &Connection| channels::cursor_set(connection, &source, position, now);
        self.writer()?.call(set, |()| false).await
    }

    async fn notify_fault_set(&self, source: &str, fault: &str, now: i64) -> Result<(), LedgerError> {
        let (source, fault) = (source.to_owned(), fault.to_owned());
        let set = move |connection: &Connection| channels::fault_set(connection, &source, &fault, now);
        self.writer()?.call(set, |()| false).await
    }

    async fn approval_submit(&self, request: ApprovalRequest) -> Result<SubmitOutcome, LedgerError> {
        let submit = move |connection: &Connection| approvals::submit(connection, &request);
        // Who asks again, or too often, wakes nobody.
        let urgent = |outcome: &SubmitOutcome| {
            matches!(outcome, SubmitOutcome::Created(_) | SubmitOutcome::Approved(_))
        };
        self.writer()?.call(submit, urgent).await
    }

    async fn approval_fetch(&self, id: &ApprovalId, now: i64) -> Result<Option<Approval>, LedgerError> {
        let id = id.clone();
        self.read(move |connection| approvals::fetch(connection, &id, now)).await
    }

    async fn approval_list(&self, query: ApprovalQuery) -> Result<Vec<Approval>, LedgerError> {
        self.read(move |connection| approvals::list(connection, &query)).await
    }

    async fn approval_count(&self, now: i64) -> Result<Vec<ApprovalCount>, LedgerError> {
        self.read(move |connection| approvals::count(connection, now)).await
    }

    async fn approval_due(&self) -> Result<Option<i64>, LedgerError> {
        self.read(approvals::due).await
    }

    async fn approval_events(&self, id: &ApprovalId) -> Result<Vec<ApprovalEvent>, LedgerError> {
        let id = id.clone();
        self.read(move |connection| approvals::events(connection, &id)).await
    }

    async fn approval_approve(&self, decision: Decision) -> Result<Decided, LedgerError> {
        self.write(move |connection| approvals::approve(connection, &decision)).await
    }

    async fn approval_deny(&self, decision: Decision) -> Result<Decided, LedgerError> {
        self.write(move |connection| approvals::deny(connection, &decision)).await
    }

    async fn approval_answer(&self, answer: ApprovalAnswer) -> Result<Answered, LedgerError> {
        self.write(move |connection| approvals::answer(connection, &answer)).await
    }

    async fn approval_refuse(&self, refused: RefusedAnswer) -> Result<(), LedgerError> {
        self.writer()?.call(move |connection| approvals::refuse(connection, &refused), |()| false).await
    }

    async fn approval_modify(&self, decision: Decision, edit: ApprovalEdit) -> Result<Decided, LedgerError> {
        self.write(move |connection| approvals::modify(connection, &decision, &edit)).await
    }

    async fn approval_revoke(&self, decision: Decision) -> Result<Decided, LedgerError> {
        self.write(move |connection| approvals::revoke(connection, &decision)).await
    }

    async fn approval_consume(&self, request: ConsumeRequest) -> Result<ConsumeOutcome, LedgerError> {
        self.write(move |connection| approvals::consume(connection, &request)).await
    }

    async fn approval_rollback(&self, used: &ApprovalUse, now: i64) -> Result<bool, LedgerError> {
        let used = used.clone();
        self.write(move |connection| approvals::roll_back(connection, &used, now)).await
    }

    async fn approval_finish(
        &self,
        used: &ApprovalUse,
        end: ExecutionEnd,
        detail: &str,
        now: i64,
    ) -> Result<bool, LedgerError> {
        let (used, detail) = (used.clone(), detail.to_owned());
        self.write(move |connection| approvals::finish(connection, &used, end, &detail, now)).await
    }

    async fn approval_cancel(&self, cancel: ApprovalCancel) -> Result<usize, LedgerError> {
        self.write(move |connection| approvals::cancel(connection, &cancel)).await
    }

    async fn approval_expire(&self, sweep: ApprovalSweep) -> Result<Swept, LedgerError> {
        self.write(move |connection| approvals::sweep(connection, &sweep)).await
    }

    async fn grant_insert(&self, grant: NewGrant) -> Result<GrantOutcome, LedgerError> {
        self.write(move |connection| approvals::grant_insert(connection, &grant)).await
    }

    async fn grant_list(&self, query: GrantQuery) -> Result<Vec<Grant>, LedgerError> {
        self.read(move |connection| approvals::grant_list(connection, &query)).await
    }

    async fn grant_revoke(&self, id: &GrantId, actor: &str, now: i64) -> Result<bool, LedgerError> {
        let (id, actor) = (id.clone(), actor.to_owned());
        self.write(move |connection| approvals::grant_revoke(connection, &id, &actor, now)).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn measures(&self) -> Arc<Measures> {
        self.measures.clone()
    }
}
