//! An operator's orders, and what a partial cutoff drops: told through the trait alone.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[macro_use]
mod ledger_support;

use hudson_schema::budget::{Cutoff, CutoffScope};
use hudson_schema::ledger::*;
use hudson_schema::{Policy, Scope, ScopeKind};
use ledger_support::*;

story! { sqlite, crate::ledger_support::on_sqlite:
    an_operators_block_stands_whatever_governs
    resuming_a_bottle_lifts_no_block_of_a_budget
    what_is_lifted_is_not_carried_out_and_ends_with_its_run
    a_partial_cutoff_stops_the_provider_that_is_spent
}

async fn an_operators_block_stands_whatever_governs(open: Open<'_>) {
    let ledger = open();
    for (name, bottle) in [("r1", "ci"), ("r2", "web")] {
        ledger.run_insert(run(name, bottle, None, &[])).await.unwrap();
    }
    let scope = Scope::new(ScopeKind::Bottle, "ci");
    let order = |policy, now| BlockOrder {
        scope: scope.clone(),
        policy,
        cause: "by hand".into(),
        actor: "operator:0".into(),
        now,
    };
    let changes = ledger.changes();
    assert!(ledger.block_order(order(Policy::Cutoff, NOW)).await.unwrap());
    assert!(changes.has_changed().unwrap(), "who serves the bottle is woken");
    assert!(!ledger.block_order(order(Policy::Cutoff, NOW + 1)).await.unwrap(), "it stands already");
    assert!(ledger.block_order(order(Policy::Freeze, NOW + 2)).await.unwrap(), "in place of the other");
    let planned = ledger.enforcement_list(None).await.unwrap();
    let planned: Vec<_> = planned.iter().map(|row| (row.run_id.as_str(), row.action)).collect();
    assert_eq!(planned, [("r1", Action::Cutoff), ("r1", Action::Freeze)], "at once, for its live runs");

    let limits = [limit(ScopeKind::Bottle, "ci", "any", 1_000_000)];
    for governing in [&limits[..], &[]] {
        let blocks = ledger.block_fetch(&id("r1"), governing, NOW + 400 * DAY).await.unwrap();
        let [block] = blocks.as_slice() else { panic!("{blocks:?}") };
        assert_eq!((block.policy, block.cause.as_str(), &block.budget), (Policy::Freeze, "by hand", &None));
        assert_eq!(ledger.block_plan(&id("r1"), governing, NOW).await.unwrap().as_ref(), Some(block));
        assert_eq!(&blocked(ledger.hold_place(ask("r1", 1, 1, governing)).await.unwrap()), block);
        assert_eq!(ledger.block_plan(&id("r2"), governing, NOW).await.unwrap(), None);
    }
    assert_eq!(ledger.enforcement_list(None).await.unwrap().len(), 2);

    assert_eq!(ledger.block_resume(&scope, "operator:0", NOW + 3).await.unwrap().len(), 1);
    assert_eq!(ledger.block_resume(&scope, "operator:0", NOW + 4).await.unwrap(), []);
    assert_eq!(ledger.block_list().await.unwrap(), []);
    placed(ledger.hold_place(ask("r1", 1, 1, &limits)).await.unwrap());
    let told: Vec<_> =
        ledger.audit_list(0, 99).await.unwrap().into_iter().map(|row| (row.kind, row.actor)).collect();
    for kind in ["block_place", "block_lift"] {
        assert_eq!(
            told.iter().filter(|(told, actor)| told == kind && actor == "operator:0").count(),
            2,
            "{told:?}"
        );
    }
}

async fn what_is_lifted_is_not_carried_out_and_ends_with_its_run(open: Open<'_>) {
    let ledger = open();
    for name in ["r1", "r2"] {
        ledger.run_insert(run(name, "ci", None, &[])).await.unwrap();
    }
    let order = |scope: &Scope| BlockOrder {
        scope: scope.clone(),
        policy: Policy::Kill,
        cause: "by hand".into(),
        actor: "operator:0".into(),
        now: NOW,
    };
    let scopes = ["r1", "r2"].map(|name| Scope::new(ScopeKind::Run, name));
    for scope in &scopes {
        assert!(ledger.block_order(order(scope)).await.unwrap());
    }
    ledger.block_resume(&scopes[0], "operator:0", NOW + 1).await.unwrap();
    ledger.run_finish(&id("r2"), NOW + 2, None).await.unwrap();
    assert_eq!(ledger.block_list().await.unwrap(), [], "a run that has ended is not blocked for ever");
    for row in ledger.enforcement_list(None).await.unwrap() {
        assert_eq!(
            row.state,
            EnforcementState::Failed,
            "nobody is killed for what no longer stands: {row:?}"
        );
    }
}

async fn resuming_a_bottle_lifts_no_block_of_a_budget(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let limits = [limit(ScopeKind::Bottle, "ci", "claude", 100)];
    spend(&*ledger, "r1", 100, 0, &limits).await;
    let scope = Scope::new(ScopeKind::Bottle, "ci");
    assert_eq!(ledger.block_resume(&scope, "operator:0", NOW).await.unwrap(), []);
    assert_eq!(ledger.block_list().await.unwrap().len(), 1);
}

async fn a_partial_cutoff_stops_the_provider_that_is_spent(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let limits =
        [limit(ScopeKind::Bottle, "ci", "claude", 100), limit(ScopeKind::Bottle, "ci", "codex", 1000)];
    spend(&*ledger, "r1", 100, 0, &limits).await;
    let asks = |name: &str, scope| HoldRequest {
        provider: provider(name),
        cutoff: Cutoff { scope, ..Cutoff::default() },
        governing: limits.to_vec(),
        ..ask("r1", 1, 1, &limits[1..])
    };
    blocked(ledger.hold_place(asks("codex", CutoffScope::All)).await.unwrap());
    placed(ledger.hold_place(asks("codex", CutoffScope::Provider)).await.unwrap());
    blocked(ledger.hold_place(asks("claude", CutoffScope::Provider)).await.unwrap());
}
