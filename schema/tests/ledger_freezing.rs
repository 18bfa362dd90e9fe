//! Freezing, bringing back, and runs whose supervisor has died: told through the trait alone.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[macro_use]
mod ledger_support;

use hudson_schema::ledger::*;
use hudson_schema::{Policy, Scope, ScopeKind};
use ledger_support::*;

story! { sqlite, crate::ledger_support::on_sqlite:
    what_is_frozen_is_brought_back_once_for_each_freeze
    what_a_spent_budget_froze_stays_frozen_until_its_limit_is_raised
    a_crossing_does_to_each_run_what_its_own_policy_says
    a_resume_that_failed_is_planned_again_and_the_failure_is_told_outside
    a_run_is_orphaned_when_its_supervisor_dies_and_not_before
    other_credentials_take_the_place_of_those_of_before
}

const OPERATOR: &str = "operator:0";

async fn freeze(ledger: &dyn Ledger, now: i64) {
    let scope = Scope::new(ScopeKind::Bottle, "ci");
    let (cause, actor) = ("by hand".into(), OPERATOR.into());
    assert!(
        ledger.block_order(BlockOrder { scope, policy: Policy::Freeze, cause, actor, now }).await.unwrap()
    );
}

async fn lift(ledger: &dyn Ledger) {
    ledger.block_resume(&Scope::new(ScopeKind::Bottle, "ci"), OPERATOR, NOW).await.unwrap();
}

/// Carries the only open row out, to this end.
async fn carry_out(ledger: &dyn Ledger, action: Action, end: EnforcementState) {
    let open = ledger.enforcement_open().await.unwrap();
    let [row] = open.as_slice() else { panic!("{open:?}") };
    assert_eq!(row.action, action);
    for (from, to) in
        [(EnforcementState::Planned, EnforcementState::Started), (EnforcementState::Started, end)]
    {
        assert!(ledger.enforcement_advance(row.id, from, to, "so it went", NOW).await.unwrap());
    }
}

async fn resume(ledger: &dyn Ledger, governing: &[AskedLimit]) -> Resumption {
    ledger.enforcement_resume(&id("r1"), governing, OPERATOR, NOW).await.unwrap()
}

async fn frozen(ledger: &dyn Ledger) -> bool {
    is_frozen(&ledger.enforcement_list(Some(&id("r1"))).await.unwrap())
}

async fn what_is_frozen_is_brought_back_once_for_each_freeze(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    assert_eq!(resume(&*ledger, &[]).await, Resumption::NotFrozen);
    for _ in 0..2 {
        freeze(&*ledger, NOW).await;
        assert!(!frozen(&*ledger).await, "planned is not done");
        carry_out(&*ledger, Action::Freeze, EnforcementState::Done).await;
        assert!(frozen(&*ledger).await);
        assert!(matches!(resume(&*ledger, &[]).await, Resumption::Blocked(_)), "the order stands");
        lift(&*ledger).await;
        assert!(frozen(&*ledger).await, "lifting the order brings nothing back by itself");
        assert_eq!(resume(&*ledger, &[]).await, Resumption::Planned);
        assert_eq!(resume(&*ledger, &[]).await, Resumption::Planned, "asked twice, planned once");
        carry_out(&*ledger, Action::Resume, EnforcementState::Done).await;
        assert!(!frozen(&*ledger).await);
        assert_eq!(resume(&*ledger, &[]).await, Resumption::NotFrozen);
    }
    assert_eq!(ledger.enforcement_list(None).await.unwrap().len(), 4);
    ledger.run_finish(&id("r1"), NOW, None).await.unwrap();
    assert!(ledger.enforcement_resume(&id("r1"), &[], OPERATOR, NOW).await.is_err(), "it has ended");
}

async fn what_a_spent_budget_froze_stays_frozen_until_its_limit_is_raised(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let mut asked = limit(ScopeKind::Bottle, "ci", "claude", 100);
    asked.limit.policy = Policy::Freeze;
    spend(&*ledger, "r1", 100, 0, &[asked.clone()]).await;
    carry_out(&*ledger, Action::Freeze, EnforcementState::Done).await;
    assert!(matches!(resume(&*ledger, &[asked.clone()]).await, Resumption::Blocked(_)));
    asked.limit.tokens = 200;
    assert_eq!(resume(&*ledger, &[asked]).await, Resumption::Planned);
}

async fn a_crossing_does_to_each_run_what_its_own_policy_says(open: Open<'_>) {
    let ledger = open();
    let of = |policy| {
        let mut asked = limit(ScopeKind::Global, "", "claude", 100);
        asked.limit.policy = policy;
        asked
    };
    let runs = [("r1", Policy::Kill), ("r2", Policy::Cutoff), ("r3", Policy::Freeze)];
    for (name, _) in runs {
        ledger.run_insert(run(name, name, None, &[])).await.unwrap();
    }
    // Who finds it is killed for it; the others are not.
    spend(&*ledger, "r1", 100, 0, &[of(Policy::Kill)]).await;
    for (name, policy) in runs {
        let block = ledger.block_plan(&id(name), &[of(policy)], NOW).await.unwrap().unwrap();
        assert_eq!(block.policy, policy);
        assert_eq!(ledger.block_fetch(&id(name), &[of(policy)], NOW).await.unwrap(), [block]);
        let rows = ledger.enforcement_list(Some(&id(name))).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.action).collect::<Vec<_>>(), [policy.into()]);
    }
}

async fn a_resume_that_failed_is_planned_again_and_the_failure_is_told_outside(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    freeze(&*ledger, NOW).await;
    carry_out(&*ledger, Action::Freeze, EnforcementState::Done).await;
    lift(&*ledger).await;
    assert_eq!(resume(&*ledger, &[]).await, Resumption::Planned);
    carry_out(&*ledger, Action::Resume, EnforcementState::Failed).await;
    assert!(frozen(&*ledger).await, "what failed has changed nothing");
    let claim = NotifyClaim {
        channels: vec!["one".into()],
        now: NOW,
        lease: 1,
        most: 9,
        rules: NotifyRules::default(),
    };
    let told = ledger.notify_claim(claim).await.unwrap();
    let failed: Vec<_> = told.iter().filter(|one| one.kind == "enforcement_failed").collect();
    let [failed] = failed.as_slice() else { panic!("{told:?}") };
    assert!(failed.payload.contains("the resume of this bottle failed: so it went"), "{failed:?}");
    assert_eq!(resume(&*ledger, &[]).await, Resumption::Planned);
    carry_out(&*ledger, Action::Resume, EnforcementState::Done).await;
    assert!(!frozen(&*ledger).await);
}

async fn a_run_is_orphaned_when_its_supervisor_dies_and_not_before(open: Open<'_>) {
    let (ledger, supervisor) = (open(), open());
    let supervised = |name: &str| NewRun { supervised: true, ..run(name, "ci", None, &[]) };
    supervisor.run_insert(supervised("r1")).await.unwrap();
    supervisor.run_insert(supervised("r2")).await.unwrap();
    supervisor.run_insert(run("elsewhere", "ci", None, &[])).await.unwrap();
    ledger.run_insert(supervised("own")).await.unwrap();
    assert!(ledger.run_orphans().await.unwrap().is_empty());
    supervisor.run_finish(&id("r2"), NOW, Some(0)).await.unwrap();
    drop(supervisor);
    let orphans = ledger.run_orphans().await.unwrap();
    assert_eq!(orphans.iter().map(|run| run.id.as_str()).collect::<Vec<_>>(), ["r1"]);
    // Also after its holds were reaped, which takes the owner off the record.
    ledger.holds_reap(NOW).await.unwrap();
    assert_eq!(ledger.run_orphans().await.unwrap().len(), 1);
    ledger.run_finish(&id("r1"), NOW, None).await.unwrap();
    assert!(ledger.run_orphans().await.unwrap().is_empty());
}

async fn other_credentials_take_the_place_of_those_of_before(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let changes = ledger.changes();
    ledger.run_rotate(&id("r1"), [7; 32], NOW).await.unwrap();
    assert!(changes.has_changed().unwrap(), "who serves it is woken");
    assert_eq!(ledger.run_fetch(&id("r1")).await.unwrap().unwrap().credential_hash, [7; 32]);
    let last = ledger.audit_list(0, 99).await.unwrap().pop().unwrap();
    assert_eq!((last.kind.as_str(), last.data.as_str()), ("run_rotate", r#"{"run":"r1"}"#));
    ledger.run_finish(&id("r1"), NOW, None).await.unwrap();
    assert!(ledger.run_rotate(&id("r1"), [8; 32], NOW).await.is_err(), "it has ended");
}
