//! What is not metered touches no database: a run's blocks are known until the ledger says that something was decided.
//! What DLP stops is recorded, and stopped all the same where it cannot be.

// A scene that cannot be set up ends its test.
#![allow(clippy::panic, clippy::unwrap_used)]

mod scene;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hudson_schema::budget::BudgetOverride;
use hudson_schema::config::parse_routes;
use hudson_schema::ledger::*;
use hudson_schema::{Policy, Provider, RunId, Scope, ScopeKind};
use scene::HOST;
use tokio::sync::watch;

/// The ledger, and how often each of its methods was called.
struct Counted {
    ledger: SharedLedger,
    calls: Calls,
    /// Whether it takes no findings.
    is_full: bool,
}

type Calls = Arc<Mutex<BTreeMap<&'static str, usize>>>;

macro_rules! counted {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Ledger for Counted {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, LedgerError> {
                *self.calls.lock().unwrap().entry(stringify!($name)).or_default() += 1;
                self.ledger.$name($($argument),*).await
            })*

            async fn finding_insert(&self, findings: NewFindings) -> Result<(), LedgerError> {
                *self.calls.lock().unwrap().entry("finding_insert").or_default() += 1;
                match self.is_full {
                    true => Err(LedgerError::Closed),
                    false => self.ledger.finding_insert(findings).await,
                }
            }

            fn changes(&self) -> watch::Receiver<u64> {
                self.ledger.changes()
            }

            fn measures(&self) -> Arc<Measures> {
                self.ledger.measures()
            }
        }
    };
}

counted! {
    run_insert(run: NewRun) -> ();
    run_fetch(id: &RunId) -> Option<RunRecord>;
    run_list(live: bool) -> Vec<RunRecord>;
    run_orphans() -> Vec<RunRecord>;
    run_rotate(id: &RunId, credential_hash: [u8; 32], now: i64) -> ();
    enforcement_open() -> Vec<Enforcement>;
    enforcement_resume(run: &RunId, governing: &[AskedLimit], actor: &str, now: i64) -> Resumption;
    run_finish(id: &RunId, finished_at: i64, exit_code: Option<i32>) -> ();
    hold_place(request: HoldRequest) -> HoldOutcome;
    hold_release(hold: &HoldId) -> ();
    usage_settle(settlement: Settlement) -> Settled;
    usage_retrieve(retrieval: Retrieval) -> Retrieved;
    usage_sum(query: UsageQuery) -> Vec<UsageSum>;
    usage_list(query: UsageQuery) -> Vec<UsageRecord>;
    budget_fetch(scope: &Scope, provider: &Provider, window_start: i64) -> Balance;
    block_fetch(run: &RunId, governing: &[AskedLimit], now: i64) -> Vec<Block>;
    block_plan(run: &RunId, governing: &[AskedLimit], now: i64) -> Option<Block>;
    block_order(order: BlockOrder) -> bool;
    block_resume(scope: &Scope, actor: &str, now: i64) -> Vec<Block>;
    block_list() -> Vec<Block>;
    block_reconsider(limits: &[LimitInForce], now: i64) -> ();
    budget_override_set(overrides: Vec<BudgetOverride>) -> ();
    budget_override_clear(scope: &Scope, providers: &[Provider], actor: &str, now: i64) -> Vec<BudgetOverride>;
    budget_override_list() -> Vec<BudgetOverride>;
    budget_review(run: &RunId, review: LimitReview, now: i64) -> Reviewed;
    enforcement_list(run: Option<&RunId>) -> Vec<Enforcement>;
    enforcement_advance(id: i64, from: EnforcementState, to: EnforcementState, detail: &str, now: i64) -> bool;
    holds_reap(now: i64) -> usize;
    counter_reserve(request: CounterRequest) -> CounterOutcome;
    counter_settle(reservation: &CounterReservation, give_back: &[usize]) -> bool;
    counter_fetch(run: &RunId, counters: &[Counter]) -> Vec<i64>;
    notify_next(channels: &[String]) -> Option<i64>;
    notify_claim(claim: NotifyClaim) -> Vec<Notification>;
    notify_finish(claimed: &Notification, end: NotifyEnd, now: i64) -> bool;
    notify_state() -> NotifyState;
    notify_message_set(approval: &ApprovalId, channel: &str, message: &str, now: i64) -> ();
    notify_message_fetch(approval: &ApprovalId, channel: &str) -> Option<String>;
    notify_cursor_fetch(source: &str) -> NotifyCursor;
    notify_cursor_set(source: &str, position: i64, now: i64) -> ();
    notify_fault_set(source: &str, fault: &str, now: i64) -> ();
    approval_answer(answer: ApprovalAnswer) -> Answered;
    approval_refuse(refused: RefusedAnswer) -> ();
    audit_list(after: i64, most: usize) -> Vec<AuditRecord>;
    audit_last() -> i64;
    approval_submit(request: ApprovalRequest) -> SubmitOutcome;
    approval_fetch(id: &ApprovalId, now: i64) -> Option<Approval>;
    approval_list(query: ApprovalQuery) -> Vec<Approval>;
    approval_count(now: i64) -> Vec<ApprovalCount>;
    approval_due() -> Option<i64>;
    approval_events(id: &ApprovalId) -> Vec<ApprovalEvent>;
    approval_approve(decision: Decision) -> Decided;
    approval_deny(decision: Decision) -> Decided;
    approval_modify(decision: Decision, edit: ApprovalEdit) -> Decided;
    approval_revoke(decision: Decision) -> Decided;
    approval_consume(request: ConsumeRequest) -> ConsumeOutcome;
    approval_rollback(used: &ApprovalUse, now: i64) -> bool;
    approval_finish(used: &ApprovalUse, end: ExecutionEnd, detail: &str, now: i64) -> bool;
    approval_cancel(cancel: ApprovalCancel) -> usize;
    approval_expire(sweep: ApprovalSweep) -> Swept;
    grant_insert(grant: NewGrant) -> GrantOutcome;
    grant_list(query: GrantQuery) -> Vec<Grant>;
    grant_revoke(id: &GrantId, actor: &str, now: i64) -> bool;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_is_not_metered_touches_no_database() {
    // Nobody answers there.
    let routes =
        format!("routes:\n  - {{host: {HOST}, scheme: http, upstream: {{connect_to: \"127.0.0.1:1\"}}}}\n");
    let routes = parse_routes(Path::new("routes.yaml"), &routes).unwrap();
    let calls = Calls::default();
    let (of, mut inner) = (calls.clone(), None);
    let scene = scene::scene(routes, |ledger| {
        inner = Some(ledger.clone());
        Arc::new(Counted { ledger, calls: of, is_full: false })
    })
    .await;
    // A gateway's error says that it was let through.
    let ask = async || assert_eq!(scene.plain("/").await, 502);
    // That the ledger was made is a change, too, and seen within a moment.
    let mut seen = BTreeMap::new();
    for _ in 0..5 {
        ask().await;
        calls.lock().unwrap().clear();
        for _ in 0..50 {
            ask().await;
        }
        seen = calls.lock().unwrap().clone();
        if seen.is_empty() {
            break;
        }
    }
    assert_eq!(seen, BTreeMap::new());

    // And what is decided is known all the same.
    let order = BlockOrder {
        scope: Scope::new(ScopeKind::Bottle, "other"),
        policy: Policy::Cutoff,
        cause: "by hand".to_owned(),
        actor: "operator:0".to_owned(),
        now: 1,
    };
    inner.unwrap().block_order(order).await.unwrap();
    ask().await;
    let calls = calls.lock().unwrap();
    assert!(calls.get("block_fetch").is_some_and(|times| *times >= 1), "{calls:?}");
}

/// A token in a documented form, with a checksum that holds. It opens nothing.
const TOKEN: &str = "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";

/// A proxy whose one route does this about findings, on a ledger that takes them or does not.
async fn with_findings(on_match: &str, is_full: bool) -> (scene::Scene, Calls) {
    let route = format!("host: {HOST}, scheme: http, upstream: {{connect_to: \"127.0.0.1:1\"}}");
    let routes = format!("routes:\n  - {{{route}, outbound_on_match: {on_match}}}\n");
    let routes = parse_routes(Path::new("routes.yaml"), &routes).unwrap();
    let calls = Calls::default();
    let of = calls.clone();
    let scene = scene::scene(routes, |ledger| Arc::new(Counted { ledger, calls: of, is_full })).await;
    (scene, calls)
}

fn inserted(calls: &Calls) -> usize {
    calls.lock().unwrap().get("finding_insert").copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stopped_is_recorded_and_what_passes_is_not() {
    for (on_match, status, times) in
        [("block", 403, 1), ("supervise", 403, 1), ("redact", 502, 1), ("warn", 502, 0)]
    {
        let (scene, calls) = with_findings(on_match, false).await;
        assert_eq!(scene.plain("/?q=nothing").await, 502);
        assert_eq!(inserted(&calls), 0, "{on_match}");
        assert_eq!(scene.plain(&format!("/?q={TOKEN}")).await, status, "{on_match}");
        assert_eq!(inserted(&calls), times, "{on_match}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_takes_no_finding_changes_no_verdict_and_is_told_of() {
    let (scene, calls) = with_findings("block", true).await;
    assert_eq!(scene.plain(&format!("/?q={TOKEN}")).await, 403);
    assert_eq!(inserted(&calls), 1);
    let told = scene.sink.told();
    let failed =
        told.iter().any(|line| line.contains("ledger_failed") && line.contains("recording a finding"));
    assert!(failed, "{told:?}");
    assert!(!told.iter().any(|line| line.contains(TOKEN)), "{told:?}");
}
