//! What stops a run, and what does not: crossings, blocks and enforcements, told through the trait alone.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[macro_use]
mod ledger_support;

use hudson_schema::ledger::*;
use hudson_schema::{Policy, Quality, ScopeKind};
use ledger_support::*;

story! { sqlite, crate::ledger_support::on_sqlite:
    in_flight_is_not_a_crossing
    a_crossing_is_journalled_once
    the_foremost_block_is_named
    every_scope_stops_its_runs
    a_block_ends_with_its_window_or_a_higher_limit
    enforcement_steps_are_taken_once
}

async fn in_flight_is_not_a_crossing(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let limits = [limit(ScopeKind::Bottle, "ci", "claude", 1000)];
    let first = placed(ledger.hold_place(ask("r1", 500, 500, &limits)).await.unwrap());

    let waiting = exhausted(ledger.hold_place(ask("r1", 500, 500, &limits)).await.unwrap());
    assert_eq!((waiting.spent, waiting.held, waiting.crossed), (0, 1000, false));
    assert_eq!(ledger.block_list().await.unwrap(), []);

    ledger.usage_settle(settlement(&first.id, Some(usage(500, 400)), &limits)).await.unwrap();
    let spent = exhausted(ledger.hold_place(ask("r1", 500, 500, &limits)).await.unwrap());
    assert_eq!((spent.spent, spent.held, spent.crossed), (900, 0, true));
    assert_eq!(ledger.block_list().await.unwrap().len(), 1);
    let planned = ledger.enforcement_list(None).await.unwrap();
    assert_eq!(planned.len(), 1);
    assert_eq!(planned[0].state, EnforcementState::Planned);
    blocked(ledger.hold_place(ask("r1", 1, 1, &limits)).await.unwrap());
}

async fn a_crossing_is_journalled_once(open: Open<'_>) {
    let ledger = open();
    let limits = [limit(ScopeKind::Bottle, "ci", "any", 1000)];
    for name in ["r1", "r2"] {
        ledger.run_insert(run(name, "ci", None, &[])).await.unwrap();
    }
    ledger.run_insert(run("elsewhere", "other", None, &[])).await.unwrap();
    ledger.run_insert(run("over", "ci", None, &[])).await.unwrap();
    ledger.run_finish(&id("over"), NOW, None).await.unwrap();
    let mut holds = Vec::new();
    for index in 0..8 {
        let name = if index % 2 == 0 { "r1" } else { "r2" };
        holds.push(placed(ledger.hold_place(ask(name, 100, 100, &[])).await.unwrap()));
    }
    let mut tasks = tokio::task::JoinSet::new();
    for hold in holds {
        let (ledger, limits) = (ledger.clone(), limits.clone());
        tasks.spawn(async move {
            ledger.usage_settle(settlement(&hold.id, Some(usage(1000, 100)), &limits)).await.unwrap()
        });
    }
    let crossings: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(crossings.len(), 1, "{crossings:?}");
    assert!(crossings[0].spent >= 1000);
    assert_eq!(balance(&*ledger, ScopeKind::Bottle, "ci", "claude").await, (8800, 0));

    let planned = ledger.enforcement_list(None).await.unwrap();
    let mut names: Vec<_> = planned.iter().map(|row| row.run_id.to_string()).collect();
    names.sort();
    assert_eq!(names, ["r1", "r2"], "one per live run of the scope");
    // A run launched into a blocked scope is enforced as well, once.
    ledger.run_insert(run("r3", "ci", None, &[])).await.unwrap();
    for _ in 0..2 {
        blocked(ledger.hold_place(ask("r3", 1, 1, &limits)).await.unwrap());
    }
    assert_eq!(ledger.enforcement_list(Some(&id("r3"))).await.unwrap().len(), 1);
    placed(ledger.hold_place(ask("elsewhere", 1, 1, &[])).await.unwrap());
}

async fn the_foremost_block_is_named(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", Some("reviewer"), &["base"])).await.unwrap();
    let mut limits = [
        limit(ScopeKind::Global, "", "claude", 10),
        limit(ScopeKind::Parent, "base", "claude", 10),
        limit(ScopeKind::Bottle, "ci", "claude", 10),
        limit(ScopeKind::Agent, "reviewer", "claude", 10),
    ];
    for (asked, policy) in limits.iter_mut().zip([Policy::Freeze, Policy::Kill, Policy::Kill, Policy::Cutoff])
    {
        asked.limit.policy = policy;
    }
    assert_eq!(spend(&*ledger, "r1", 10, 10, &limits).await.len(), 4);
    let block = ledger.block_fetch(&id("r1"), NOW).await.unwrap().unwrap();
    assert_eq!((block.policy, block.scope.kind), (Policy::Kill, ScopeKind::Bottle));
    assert_eq!(blocked(ledger.hold_place(ask("r1", 1, 1, &[])).await.unwrap()), block);
    assert_eq!(ledger.enforcement_list(Some(&id("r1"))).await.unwrap().len(), 4);
}

async fn every_scope_stops_its_runs(open: Open<'_>) {
    let cases = [
        (limit(ScopeKind::Run, "r1", "claude", 10), [true, false, false, false]),
        (limit(ScopeKind::Agent, "reviewer", "claude", 10), [true, true, false, false]),
        (limit(ScopeKind::Bottle, "ci", "claude", 10), [true, false, true, false]),
        (limit(ScopeKind::Parent, "base", "claude", 10), [true, true, true, false]),
        (limit(ScopeKind::Parent, "root", "any", 10), [true, true, true, false]),
        (limit(ScopeKind::Global, "", "any", 10), [true, true, true, true]),
    ];
    let ledger = open();
    ledger.run_insert(run("r1", "ci", Some("reviewer"), &["base", "root"])).await.unwrap();
    // The parent bottle's own run, with the same agent.
    ledger.run_insert(run("r2", "base", Some("reviewer"), &["root"])).await.unwrap();
    ledger.run_insert(run("r3", "ci", None, &["base", "root"])).await.unwrap();
    ledger.run_insert(run("r4", "other", None, &[])).await.unwrap();
    let mut raised = 1000;
    for (asked, stopped) in cases {
        let spent = ledger.budget_fetch(&asked.limit.scope, &asked.limit.provider, 0).await.unwrap().spent;
        let mut crossed = asked.clone();
        crossed.limit.tokens = spent + 10;
        let crossings = spend(&*ledger, "r1", 5, 5, std::slice::from_ref(&crossed)).await;
        assert_eq!(crossings.len(), 1, "{asked:?}");
        for (name, stopped) in ["r1", "r2", "r3", "r4"].iter().zip(stopped) {
            let block = ledger.block_fetch(&id(name), NOW).await.unwrap();
            assert_eq!(block.is_some(), stopped, "{name} under {}", asked.limit.scope);
        }
        raised += 1000;
        crossed.limit.tokens = raised;
        ledger.block_reconsider(&[crossed], NOW).await.unwrap();
        assert_eq!(ledger.block_list().await.unwrap(), []);
    }
}

async fn a_block_ends_with_its_window_or_a_higher_limit(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let today = daily(limit(ScopeKind::Bottle, "ci", "claude", 100), NOW);
    let tomorrow = daily(limit(ScopeKind::Bottle, "ci", "claude", 100), NOW + DAY);
    spend(&*ledger, "r1", 100, 1, std::slice::from_ref(&today)).await;
    assert!(ledger.block_fetch(&id("r1"), NOW).await.unwrap().is_some());
    assert!(ledger.block_fetch(&id("r1"), NOW + DAY).await.unwrap().is_none());

    // A higher limit lets the run go on, and is crossed in its turn.
    let mut higher = today.clone();
    higher.limit.tokens = 200;
    let hold = placed(ledger.hold_place(ask("r1", 50, 10, std::slice::from_ref(&higher))).await.unwrap());
    assert_eq!(hold.left, Some(39));
    let crossings =
        ledger.usage_settle(settlement(&hold.id, Some(usage(90, 10)), &[higher.clone()])).await.unwrap();
    assert_eq!(crossings.len(), 1);
    assert_eq!(ledger.enforcement_list(None).await.unwrap().len(), 2, "a raised limit is another crossing");
    blocked(ledger.hold_place(ask("r1", 1, 1, &[higher.clone()])).await.unwrap());

    // A lower limit lifts nothing, nor does reconsidering the same one.
    ledger.block_reconsider(&[today, higher], NOW).await.unwrap();
    assert_eq!(ledger.block_list().await.unwrap().len(), 1);
    let mut next_day = ask("r1", 1, 1, &[tomorrow]);
    next_day.now = NOW + DAY;
    assert_eq!(
        placed(ledger.hold_place(next_day).await.unwrap()).left,
        Some(98),
        "a new window begins at nothing"
    );
    assert_eq!(ledger.block_list().await.unwrap(), []);
}

async fn enforcement_steps_are_taken_once(open: Open<'_>) {
    use EnforcementState::{Done, Planned, Started};
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    spend(&*ledger, "r1", 10, 10, &[limit(ScopeKind::Run, "r1", "claude", 20)]).await;
    let row = ledger.enforcement_list(Some(&id("r1"))).await.unwrap().remove(0);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            ledger.enforcement_advance(row.id, Planned, Started, "", NOW + 1).await.unwrap()
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|taken| *taken).count(), 1);
    assert!(ledger.enforcement_advance(row.id, Started, Done, "cut off", NOW + 2).await.unwrap());
    let row = ledger.enforcement_list(None).await.unwrap().remove(0);
    assert_eq!((row.state, row.detail.as_str(), row.finished_at), (Done, "cut off", Some(NOW + 2)));
    let unknown = ledger.enforcement_advance(999, Planned, Started, "", NOW).await;
    assert!(matches!(unknown, Err(LedgerError::Missing { .. })));
}
