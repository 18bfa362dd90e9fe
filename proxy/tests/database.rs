//! What is not metered touches no database: a run's blocks are known until the ledger says that something was decided.

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
    calls: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

macro_rules! counted {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Ledger for Counted {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, LedgerError> {
                *self.calls.lock().unwrap().entry(stringify!($name)).or_default() += 1;
                self.ledger.$name($($argument),*).await
            })*

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
    notify_next(channels: &[String]) -> Option<i64>;
    notify_claim(claim: NotifyClaim) -> Vec<Notification>;
    notify_finish(claimed: &Notification, end: NotifyEnd, now: i64) -> bool;
    notify_state() -> NotifyState;
    audit_list(after: i64, most: usize) -> Vec<AuditRecord>;
    audit_last() -> i64;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_is_not_metered_touches_no_database() {
    // Nobody answers there.
    let routes =
        format!("routes:\n  - {{host: {HOST}, scheme: http, upstream: {{connect_to: \"127.0.0.1:1\"}}}}\n");
    let routes = parse_routes(Path::new("routes.yaml"), &routes).unwrap();
    let calls = Arc::<Mutex<BTreeMap<&'static str, usize>>>::default();
    let (of, mut inner) = (calls.clone(), None);
    let scene = scene::scene(routes, |ledger| {
        inner = Some(ledger.clone());
        Arc::new(Counted { ledger, calls: of })
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
