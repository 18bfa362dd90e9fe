//! The ledger: the durable store of runs, usage, holds, blocks, enforcement and approvals. One
//! trait; SQLite behind it.
//!
//! Invariants: committed usage only grows; a hold is a row before its request leaves and is replaced by usage, or
//! released only when the request provably was not sent; a crossing is journalled once per limit and window, in the
//! transaction that found it. Names are resource first, verb last.

mod approval;
pub mod audit;
mod block;
mod counter;
mod error;
mod finding;
mod measures;
mod notification;
mod record;
pub mod sqlite;

pub use approval::*;
pub use audit::AuditRecord;
pub use block::{Block, BlockBudget, BlockOrder};
pub use counter::*;
pub use error::LedgerError;
pub use finding::{NewFinding, NewFindings};
pub use measures::{DurationCounts, Durations, Measures};
pub use notification::{
    ChannelFault, Notification, NotifyClaim, NotifyCursor, NotifyEnd, NotifyFailure, NotifyRules, NotifyState,
};
pub use record::*;

use crate::budget::BudgetOverride;
use crate::{Provider, RunId, Scope};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;

/// A shared ledger of any back end.
pub type SharedLedger = Arc<dyn Ledger>;

/// The durable store. Every method is safe to call from many tasks and many processes at once.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Records a launch and the scopes its usage is charged to.
    async fn run_insert(&self, run: NewRun) -> Result<(), LedgerError>;

    /// One run; `None` when there is none of that id.
    async fn run_fetch(&self, id: &RunId) -> Result<Option<RunRecord>, LedgerError>;

    /// Runs, newest first; only those not finished when `live`.
    async fn run_list(&self, live: bool) -> Result<Vec<RunRecord>, LedgerError>;

    /// Marks a run as ended. Its credentials are worth nothing from here on.
    async fn run_finish(
        &self,
        id: &RunId,
        finished_at: i64,
        exit_code: Option<i32>,
    ) -> Result<(), LedgerError>;

    /// Live runs whose supervisor has died: nobody acts on them or ends them any more.
    async fn run_orphans(&self) -> Result<Vec<RunRecord>, LedgerError>;

    /// Gives a live run other credentials: those of before are worth nothing from here on.
    async fn run_rotate(&self, id: &RunId, credential_hash: [u8; 32], now: i64) -> Result<(), LedgerError>;

    /// Reserves tokens for a request before it is sent: one transaction over the run's blocks and all asked limits.
    ///
    /// A refusal because what is *committed* leaves no room is a crossing, and is journalled here, with an enforcement
    /// planned for this run. Under a hard limit of a scope wider than the run it takes more: next to nothing is left
    /// (see [`Exhausted::crossed`]), so that one oversized request is refused without cutting a bottle or a host off.
    async fn hold_place(&self, request: HoldRequest) -> Result<HoldOutcome, LedgerError>;

    /// Gives a hold back. Only for a request that provably was not sent.
    async fn hold_release(&self, hold: &HoldId) -> Result<(), LedgerError>;

    /// Replaces a hold by what the response reported, and journals every crossing that makes, with an enforcement
    /// planned for the hold's run. A threshold of a limit that it passes is told once a limit and window, to one caller.
    ///
    /// Numbers that are not `exact` never charge less than the hold: nothing is refunded that may have been spent.
    /// A settle that comes after the hold was turned into `held` usage replaces that row, once.
    async fn usage_settle(&self, settlement: Settlement) -> Result<Settled, LedgerError>;

    /// Charges work that was read by its provider's id, where its creation did not: a row of that host and id that is
    /// `exact` stands, one that is not takes these numbers, and where there is none the run that reads is charged.
    ///
    /// A settlement of the same host and id that comes later takes the place of what was charged here.
    async fn usage_retrieve(&self, retrieval: Retrieval) -> Result<Retrieved, LedgerError>;

    /// Usage rows summed by the given columns.
    async fn usage_sum(&self, query: UsageQuery) -> Result<Vec<UsageSum>, LedgerError>;

    /// Usage rows themselves, oldest first.
    async fn usage_list(&self, query: UsageQuery) -> Result<Vec<UsageRecord>, LedgerError>;

    /// What is committed and held against a scope and provider (or `any`) since `window_start`.
    async fn budget_fetch(
        &self,
        scope: &Scope,
        provider: &Provider,
        window_start: i64,
    ) -> Result<Balance, LedgerError>;

    /// The blocks that stand against a run at `now`, of all its scopes: the most severe first, of those the nearest.
    ///
    /// `governing` is as in [`HoldRequest::governing`]. A block that a budget made stands only against runs which that
    /// budget governs: until its window ends, and while a governing limit of its scope, provider and window allows no
    /// more than what was crossed; its policy is that limit's, which is the run's own. An operator's block stands against every run of its scope.
    async fn block_fetch(
        &self,
        run: &RunId,
        governing: &[AskedLimit],
        now: i64,
    ) -> Result<Vec<Block>, LedgerError>;

    /// The first of these, after making sure in one transaction that an enforcement of it is planned for the run, once.
    ///
    /// A crossing plans for the run that found it only; every other run's supervisor asks this when the ledger changes.
    /// Nothing is planned for a run that has ended. Nothing is written, and no change is seen, when nothing is to plan.
    async fn block_plan(
        &self,
        run: &RunId,
        governing: &[AskedLimit],
        now: i64,
    ) -> Result<Option<Block>, LedgerError>;

    /// Stops a scope by an operator's order, which takes the place of an earlier one for that scope; `false` when that
    /// stands already. Enforcement is planned for every live run of the scope.
    async fn block_order(&self, order: BlockOrder) -> Result<bool, LedgerError>;

    /// Lifts what operators have ordered for a scope; what that was. A budget's block ends with its budget alone.
    async fn block_resume(&self, scope: &Scope, actor: &str, now: i64) -> Result<Vec<Block>, LedgerError>;

    /// Every block on record.
    async fn block_list(&self) -> Result<Vec<Block>, LedgerError>;

    /// Lifts the blocks that end by what is in force now: their limit allows more than what was crossed, or is none any
    /// more, or their window is over. That usage is below the limit lifts nothing (docs/decisions/0004).
    async fn block_reconsider(&self, limits: &[LimitInForce], now: i64) -> Result<(), LedgerError>;

    /// Sets limits in place of those of the files and the launch, all or none. Nothing that was counted changes.
    async fn budget_override_set(&self, overrides: Vec<BudgetOverride>) -> Result<(), LedgerError>;

    /// Takes back what was set at a scope, for these providers or for every one when none is named; what that was.
    async fn budget_override_clear(
        &self,
        scope: &Scope,
        providers: &[Provider],
        actor: &str,
        now: i64,
    ) -> Result<Vec<BudgetOverride>, LedgerError>;

    /// Every limit that was set so.
    async fn budget_override_list(&self) -> Result<Vec<BudgetOverride>, LedgerError>;

    /// After a change of limits: journals those which committed usage has reached already, like a settlement does, and
    /// makes sure that an enforcement of the block that stands is planned for the run. Nothing for a run that has ended.
    async fn budget_review(
        &self,
        run: &RunId,
        review: LimitReview,
        now: i64,
    ) -> Result<Reviewed, LedgerError>;

    /// Enforcement rows of a run, oldest first; of every run when `None`.
    async fn enforcement_list(&self, run: Option<&RunId>) -> Result<Vec<Enforcement>, LedgerError>;

    /// Enforcement rows of every run that are still to be carried out, oldest first.
    async fn enforcement_open(&self) -> Result<Vec<Enforcement>, LedgerError>;

    /// Moves an enforcement on; `false` when it was not in the state `from`, so that each step is done once.
    async fn enforcement_advance(
        &self,
        id: i64,
        from: EnforcementState,
        to: EnforcementState,
        detail: &str,
        now: i64,
    ) -> Result<bool, LedgerError>;

    /// Plans that a frozen run is brought back, once for each freeze and again after a failure, unless something still
    /// stops it. `governing` is as in [`HoldRequest::governing`].
    async fn enforcement_resume(
        &self,
        run: &RunId,
        governing: &[AskedLimit],
        actor: &str,
        now: i64,
    ) -> Result<Resumption, LedgerError>;

    /// Turns the holds of owners that no longer live into `held` usage; how many there were.
    async fn holds_reap(&self, now: i64) -> Result<usize, LedgerError>;

    /// Counts a request before it leaves: one transaction over all its counters, which adds to all of them or to none. From
    /// here on it is counted, also when this process dies.
    async fn counter_reserve(&self, request: CounterRequest) -> Result<CounterOutcome, LedgerError>;

    /// Ends a reservation: what these steps have added is given back, each in its own window, and the rest stays counted.
    /// `false` when it had ended already, which changes nothing.
    async fn counter_settle(
        &self,
        reservation: &CounterReservation,
        give_back: &[usize],
    ) -> Result<bool, LedgerError>;

    /// What counters of a run have come to, reservations included; 0 for what nobody has counted.
    async fn counter_fetch(&self, run: &RunId, counters: &[Counter]) -> Result<Vec<i64>, LedgerError>;

    /// Records what DLP kept from leaving: a row of the audit each, in one transaction. It decides nothing, and moves no
    /// counter of changes.
    async fn finding_insert(&self, findings: NewFindings) -> Result<(), LedgerError>;

    /// Rows of the audit behind `after`, in their order, at most `most`.
    async fn audit_list(&self, after: i64, most: usize) -> Result<Vec<AuditRecord>, LedgerError>;

    /// The last row's place; 0 when there is none.
    async fn audit_last(&self) -> Result<i64, LedgerError>;

    /// When the next notification is due for one of these channels, or may be given up; `None` when none is to come.
    ///
    /// Every warning, block and lifted block is one, from the transaction that made it.
    async fn notify_next(&self, channels: &[String]) -> Result<Option<i64>, LedgerError>;

    /// Claims notifications that are due, for a time in which nobody else gets them; which channels a notification goes
    /// to is decided by the first claim that meets it.
    async fn notify_claim(&self, claim: NotifyClaim) -> Result<Vec<Notification>, LedgerError>;

    /// Says how an attempt ended; `false` when that changed nothing: it is delivered or given up already, or it failed
    /// and somebody else has claimed it since.
    async fn notify_finish(
        &self,
        claimed: &Notification,
        end: NotifyEnd,
        now: i64,
    ) -> Result<bool, LedgerError>;

    /// What is not delivered.
    async fn notify_state(&self) -> Result<NotifyState, LedgerError>;

    /// Remembers the message that shows an approval in a channel, in the service's own words for it; the one of before is
    /// that no more.
    async fn notify_message_set(
        &self,
        approval: &ApprovalId,
        channel: &str,
        message: &str,
        now: i64,
    ) -> Result<(), LedgerError>;

    /// The message that shows an approval in a channel; `None` when there is none.
    async fn notify_message_fetch(
        &self,
        approval: &ApprovalId,
        channel: &str,
    ) -> Result<Option<String>, LedgerError>;

    /// How far a service was heard that is asked for what there is.
    async fn notify_cursor_fetch(&self, source: &str) -> Result<NotifyCursor, LedgerError>;

    /// Says how far it was heard.
    async fn notify_cursor_set(&self, source: &str, position: i64, now: i64) -> Result<(), LedgerError>;

    /// Says why a service is not heard, or that it is, by an empty text.
    async fn notify_fault_set(&self, source: &str, fault: &str, now: i64) -> Result<(), LedgerError>;

    /// Asks for an approval, unless what the same request has got before answers it: an approval or a grant, which is
    /// used up in this transaction, a denial that is remembered, or what is pending already. The later word of a person
    /// stands.
    async fn approval_submit(&self, request: ApprovalRequest) -> Result<SubmitOutcome, LedgerError>;

    /// One approval as it is at `now`; `None` when there is none of that id.
    async fn approval_fetch(&self, id: &ApprovalId, now: i64) -> Result<Option<Approval>, LedgerError>;

    /// Approvals, newest first.
    async fn approval_list(&self, query: ApprovalQuery) -> Result<Vec<Approval>, LedgerError>;

    /// How many approvals are on record, by kind and by how far they have got at `now`.
    async fn approval_count(&self, now: i64) -> Result<Vec<ApprovalCount>, LedgerError>;

    /// When time next ends one that can still be decided or used, or did so and nobody has written it down; `None` when
    /// there is none.
    async fn approval_due(&self) -> Result<Option<i64>, LedgerError>;

    /// Every step of one approval, oldest first. They stay when the approval is forgotten.
    async fn approval_events(&self, id: &ApprovalId) -> Result<Vec<ApprovalEvent>, LedgerError>;

    /// Approves what is pending; it can then be used once, until its time to be used is over.
    async fn approval_approve(&self, decision: Decision) -> Result<Decided, LedgerError>;

    /// Denies what is pending.
    async fn approval_deny(&self, decision: Decision) -> Result<Decided, LedgerError>;

    /// Decides by an answer that came by a channel: once, and only what was shown to whoever gave it.
    async fn approval_answer(&self, answer: ApprovalAnswer) -> Result<Answered, LedgerError>;

    /// Writes down that an answer was refused. It decides nothing, and moves no counter of changes.
    async fn approval_refuse(&self, refused: RefusedAnswer) -> Result<(), LedgerError>;

    /// Approves something else in the place of what is pending. Who has approved that before has not approved this.
    async fn approval_modify(&self, decision: Decision, edit: ApprovalEdit) -> Result<Decided, LedgerError>;

    /// Takes back what was approved, before it is used. A use that is under way goes on.
    async fn approval_revoke(&self, decision: Decision) -> Result<Decided, LedgerError>;

    /// Uses an approval: for what was approved, under the policy it was approved under, in time, and once, however many
    /// ask.
    async fn approval_consume(&self, request: ConsumeRequest) -> Result<ConsumeOutcome, LedgerError>;

    /// Gives a use back, for as long as the approval could have been used anyway. Only for what provably was not sent.
    /// `false` when that use has ended already.
    async fn approval_rollback(&self, used: &ApprovalUse, now: i64) -> Result<bool, LedgerError>;

    /// Says how a use ended; `false` when that was said already. The detail goes into the audit: no secret is in it.
    async fn approval_finish(
        &self,
        used: &ApprovalUse,
        end: ExecutionEnd,
        detail: &str,
        now: i64,
    ) -> Result<bool, LedgerError>;

    /// Takes back what a bottle has asked for and not used; how many there were. For a bottle that is frozen or killed,
    /// and for a request that is withdrawn.
    async fn approval_cancel(&self, cancel: ApprovalCancel) -> Result<usize, LedgerError>;

    /// Writes down what time has ended. It had ended before, for everybody who reads, decides or uses.
    async fn approval_expire(&self, sweep: ApprovalSweep) -> Result<Swept, LedgerError>;

    /// Makes a grant.
    async fn grant_insert(&self, grant: NewGrant) -> Result<GrantOutcome, LedgerError>;

    /// Grants, newest first.
    async fn grant_list(&self, query: GrantQuery) -> Result<Vec<Grant>, LedgerError>;

    /// Takes a grant back; `false` when there is none to take back.
    async fn grant_revoke(&self, id: &GrantId, actor: &str, now: i64) -> Result<bool, LedgerError>;

    /// A counter that moves within 50 ms of any decision in the ledger, by this process or another: launches and their
    /// ends, blocks, enforcement, limits. A charge that stops nobody does not move it; one that has somebody warned moves
    /// it in the process that made it.
    fn changes(&self) -> watch::Receiver<u64>;

    /// What it costs this process.
    fn measures(&self) -> Arc<Measures>;
}
