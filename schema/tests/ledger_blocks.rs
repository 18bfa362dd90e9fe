//! What stops a run, and what does not: crossings, blocks and enforcements, told through the trait alone.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[macro_use]
mod ledger_support;

use hudson_schema::budget::Weights;
use hudson_schema::ledger::*;
use hudson_schema::{Policy, ScopeKind};
use ledger_support::*;

story! { sqlite, crate::ledger_support::on_sqlite:
    in_flight_is_not_a_crossing
    an_oversized_request_is_refused_without_stopping_its_scope
    a_run_is_stopped_only_by_what_governs_it
    a_crossing_is_journalled_once
    the_foremost_block_is_named
    every_scope_stops_its_runs
    a_block_ends_with_its_window_or_a_higher_limit
    a_settle_crosses_a_raised_limit_again
    the_other_runs_are_planned_for_once
    enforcement_steps_are_taken_once
}

async fn in_flight_is_not_a_crossing(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let limits = [limit(ScopeKind::Run, "r1", "claude", 1000)];
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

async fn an_oversized_request_is_refused_without_stopping_its_scope(open: Open<'_>) {
    let ledger = open();
    for (name, bottle) in [("r1", "ci"), ("r2", "web")] {
        ledger.run_insert(run(name, bottle, None, &[])).await.unwrap();
    }
    let global = [limit(ScopeKind::Global, "", "any", 10_000)];
    let refused = async |name: &str, limits: &[AskedLimit]| {
        let large = exhausted(ledger.hold_place(ask(name, 2000, 5000, limits)).await.unwrap());
        (large.limit.limit.scope.kind, large.spent, large.held, large.crossed)
    };
    spend(&*ledger, "r1", 9000, 0, &global).await;
    assert_eq!(refused("r1", &global).await, (ScopeKind::Global, 9000, 0, false));
    let other = placed(ledger.hold_place(ask("r2", 100, 100, &global)).await.unwrap());
    ledger.hold_release(&other.id).await.unwrap();
    spend(&*ledger, "r1", 900, 0, &global).await;
    assert_eq!(refused("r1", &global).await, (ScopeKind::Global, 9900, 0, false), "1 % is left");
    assert_eq!(
        (ledger.block_list().await.unwrap(), ledger.enforcement_list(None).await.unwrap()),
        (vec![], vec![])
    );

    // The run's own limit is crossed by the same request, and so is named although the other is tighter.
    let both = [limit(ScopeKind::Global, "", "any", 10_000), limit(ScopeKind::Run, "r1", "any", 10_500)];
    assert_eq!(refused("r1", &both).await, (ScopeKind::Run, 9900, 0, true));
    assert_eq!(ledger.block_list().await.unwrap().len(), 1);

    spend(&*ledger, "r2", 1, 0, &global).await;
    let fits = placed(ledger.hold_place(ask("r2", 50, 49, &global)).await.unwrap());
    // What is in flight makes no crossing of a request that would fit without it.
    assert!(!exhausted(ledger.hold_place(ask("r2", 50, 40, &global)).await.unwrap()).crossed);
    ledger.hold_release(&fits.id).await.unwrap();
    assert_eq!(refused("r2", &global).await, (ScopeKind::Global, 9901, 0, true), "less than 1 % is left");
    let planned = ledger.enforcement_list(Some(&id("r2"))).await.unwrap();
    assert_eq!(planned.len(), 1);
    assert_eq!((planned[0].scope.kind, planned[0].state), (ScopeKind::Global, EnforcementState::Planned));

    // Less than the least output, as it is weighed.
    let weights = Weights { output: 2000, ..Weights::default() };
    for (left, crossed) in [(200, false), (199, true)] {
        let limits = [limit(ScopeKind::Bottle, "web", "any", 1 + left)];
        let request = HoldRequest { min_output: 100, weights, ..ask("r2", 1, 100, &limits) };
        assert_eq!(exhausted(ledger.hold_place(request).await.unwrap()).crossed, crossed, "{left}");
    }
    // A limit of nothing is spent before anything is used.
    let nothing = [limit(ScopeKind::Parent, "ci", "any", 0)];
    let request = HoldRequest { min_output: 0, ..ask("r1", 0, 0, &nothing) };
    assert!(exhausted(ledger.hold_place(request).await.unwrap()).crossed);
}

async fn a_run_is_stopped_only_by_what_governs_it(open: Open<'_>) {
    let ledger = open();
    for name in ["r1", "r2", "r3"] {
        ledger.run_insert(run(name, "ci", None, &[])).await.unwrap();
    }
    let global = limit(ScopeKind::Global, "", "claude", 1000);
    assert_eq!(spend(&*ledger, "r1", 1000, 0, std::slice::from_ref(&global)).await.len(), 1);
    let block = ledger.block_list().await.unwrap().remove(0);

    let lower = limit(ScopeKind::Global, "", "claude", 999);
    let higher = limit(ScopeKind::Global, "", "claude", 1001);
    let elsewhere = limit(ScopeKind::Run, "r2", "claude", 5000);
    let all = limit(ScopeKind::Global, "", "any", 1000);
    let codex = limit(ScopeKind::Global, "", "codex", 1000);
    let bottle = limit(ScopeKind::Bottle, "ci", "claude", 1000);
    let today = daily(global.clone(), NOW);
    let cases = [
        (vec![global.clone()], true),
        (vec![elsewhere.clone(), global.clone()], true),
        (vec![lower], true),
        (vec![higher], false),
        (vec![elsewhere.clone(), codex.clone()], false),
        (vec![all, bottle], false),
        (vec![today], false),
        (vec![], false),
    ];
    for (governing, stopped) in &cases {
        let found = ledger.block_fetch(&id("r2"), governing, NOW).await.unwrap().into_iter().next();
        assert_eq!(found, stopped.then(|| block.clone()), "{governing:?}");
    }
    // Its own budget alone governs: neither stopped, nor planned for, nor is the block lifted for the others.
    let own = [elsewhere, codex.clone()];
    assert_eq!(ledger.block_plan(&id("r2"), &own, NOW).await.unwrap(), None);
    let request = HoldRequest { governing: own.to_vec(), ..ask("r2", 1000, 1000, &own[..1]) };
    assert_eq!(placed(ledger.hold_place(request).await.unwrap()).left, Some(3000));
    assert_eq!(ledger.enforcement_list(Some(&id("r2"))).await.unwrap(), []);
    assert_eq!(ledger.block_list().await.unwrap(), vec![block.clone()]);
    // A run that the global limit governs is stopped also when it asks for another provider.
    let request = HoldRequest { governing: vec![codex.clone(), global], ..ask("r3", 1, 1, &[codex]) };
    assert_eq!(blocked(ledger.hold_place(request).await.unwrap()), block);
    assert_eq!(ledger.enforcement_list(Some(&id("r3"))).await.unwrap().len(), 1);
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
        holds.push((name, placed(ledger.hold_place(ask(name, 100, 100, &[])).await.unwrap())));
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (name, hold) in holds {
        let (ledger, limits) = (ledger.clone(), limits.clone());
        tasks.spawn(async move {
            let done = settlement(&hold.id, Some(usage(1000, 100)), &limits);
            ledger
                .usage_settle(done)
                .await
                .unwrap()
                .crossings
                .into_iter()
                .map(move |crossing| (name, crossing))
        });
    }
    let crossings: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(crossings.len(), 1, "{crossings:?}");
    assert!(crossings[0].1.spent >= 1000);
    assert_eq!(balance(&*ledger, ScopeKind::Bottle, "ci", "claude").await, (8800, 0));

    let planned = ledger.enforcement_list(None).await.unwrap();
    let names: Vec<_> = planned.iter().map(|row| row.run_id.as_str()).collect();
    assert_eq!(names, [crossings[0].0], "for the run that found it");
    // The other run, and one launched into a blocked scope, are enforced as well, once, and stopped meanwhile.
    ledger.run_insert(run("r3", "ci", None, &[])).await.unwrap();
    for name in ["r1", "r2", "r3"] {
        assert!(ledger.block_fetch(&id(name), &limits, NOW).await.unwrap().into_iter().next().is_some());
        for _ in 0..2 {
            blocked(ledger.hold_place(ask(name, 1, 1, &limits)).await.unwrap());
        }
        assert_eq!(ledger.enforcement_list(Some(&id(name))).await.unwrap().len(), 1);
    }
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
    let block = ledger.block_fetch(&id("r1"), &limits, NOW).await.unwrap().into_iter().next().unwrap();
    assert_eq!((block.policy, block.scope.kind), (Policy::Kill, ScopeKind::Bottle));
    assert_eq!(blocked(ledger.hold_place(ask("r1", 1, 1, &limits)).await.unwrap()), block);
    assert_eq!(ledger.block_plan(&id("r1"), &limits, NOW).await.unwrap(), Some(block));
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
            let governing = [crossed.clone()];
            let block = ledger.block_fetch(&id(name), &governing, NOW).await.unwrap().into_iter().next();
            assert_eq!(block.is_some(), stopped, "{name} under {}", asked.limit.scope);
            assert_eq!(ledger.block_plan(&id(name), &governing, NOW).await.unwrap(), block);
            let planned = ledger.enforcement_list(Some(&id(name))).await.unwrap();
            assert_eq!(planned.iter().any(|row| row.scope == asked.limit.scope), stopped);
        }
        raised += 1000;
        crossed.limit.tokens = raised;
        ledger.block_reconsider(&[in_force(&crossed)], NOW).await.unwrap();
        assert_eq!(ledger.block_list().await.unwrap(), []);
    }
}

async fn a_block_ends_with_its_window_or_a_higher_limit(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let today = daily(limit(ScopeKind::Bottle, "ci", "claude", 100), NOW);
    let tomorrow = daily(limit(ScopeKind::Bottle, "ci", "claude", 100), NOW + DAY);
    spend(&*ledger, "r1", 100, 1, std::slice::from_ref(&today)).await;
    let fetch = async |asked: &AskedLimit, now| {
        ledger.block_fetch(&id("r1"), std::slice::from_ref(asked), now).await.unwrap().into_iter().next()
    };
    assert!(fetch(&today, NOW).await.is_some());
    assert!(fetch(&today, NOW + DAY).await.is_none(), "it lapses whatever is said to govern");
    assert!(fetch(&tomorrow, NOW + DAY).await.is_none());

    // A higher limit lets the run go on, and is crossed in its turn.
    let mut higher = today.clone();
    higher.limit.tokens = 200;
    let hold = placed(ledger.hold_place(ask("r1", 50, 10, std::slice::from_ref(&higher))).await.unwrap());
    assert_eq!(hold.left, Some(39));
    let crossings = ledger
        .usage_settle(settlement(&hold.id, Some(usage(90, 10)), &[higher.clone()]))
        .await
        .unwrap()
        .crossings;
    assert_eq!(crossings.len(), 1);
    assert_eq!(ledger.enforcement_list(None).await.unwrap().len(), 2, "a raised limit is another crossing");
    blocked(ledger.hold_place(ask("r1", 1, 1, &[higher.clone()])).await.unwrap());

    // A lower limit lifts nothing, nor does reconsidering the same one.
    ledger.block_reconsider(&[in_force(&today), in_force(&higher)], NOW).await.unwrap();
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

async fn a_settle_crosses_a_raised_limit_again(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let mut holds = Vec::new();
    for _ in 0..4 {
        holds.push(placed(ledger.hold_place(ask("r1", 50, 50, &[])).await.unwrap()));
    }
    // No request comes between, so the block of the lower limit is still there when the higher one is crossed.
    let limits = [100, 200, 200, 150];
    for ((hold, tokens), crossed) in holds.iter().zip(limits).zip([true, true, false, false]) {
        let asked = [limit(ScopeKind::Bottle, "ci", "claude", tokens)];
        let done = settlement(&hold.id, Some(usage(50, 50)), &asked);
        assert_eq!(!ledger.usage_settle(done).await.unwrap().crossings.is_empty(), crossed, "{tokens}");
        assert!(
            ledger.block_fetch(&id("r1"), &asked, NOW).await.unwrap().into_iter().next().is_some(),
            "{tokens}"
        );
    }
    let blocks = ledger.block_list().await.unwrap();
    let budgets: Vec<_> =
        blocks.iter().flat_map(|block| &block.budget).map(|budget| (budget.limit, budget.spent)).collect();
    assert_eq!(budgets, [(200, 200)]);
    assert_eq!(ledger.enforcement_list(Some(&id("r1"))).await.unwrap().len(), 2);

    // The same where the old block's window has ended, and a longer one that began with it is crossed.
    let today = daily(limit(ScopeKind::Agent, "reviewer", "claude", 300), NOW);
    let mut month = today.clone();
    (month.limit.tokens, month.window_end) = (250, Some(today.window_start + 30 * DAY));
    ledger.run_insert(run("r2", "web", Some("reviewer"), &[])).await.unwrap();
    let late = placed(ledger.hold_place(ask("r2", 50, 50, &[])).await.unwrap());
    assert_eq!(spend(&*ledger, "r2", 300, 0, &[today]).await.len(), 1);
    let done = settlement(&late.id, Some(usage(50, 50)), &[month.clone()]);
    let crossings = ledger.usage_settle(Settlement { now: NOW + 2 * DAY, ..done }).await.unwrap().crossings;
    assert_eq!(crossings, [Crossing { limit: month.clone(), spent: 400 }]);
    assert!(
        ledger.block_fetch(&id("r2"), &[month], NOW + 2 * DAY).await.unwrap().into_iter().next().is_some()
    );
}

async fn the_other_runs_are_planned_for_once(open: Open<'_>) {
    let ledgers = [open(), open()];
    let ledger = &ledgers[0];
    for name in ["r1", "r2", "over"] {
        ledger.run_insert(run(name, "ci", None, &[])).await.unwrap();
    }
    ledger.run_finish(&id("over"), NOW, None).await.unwrap();
    let limits = [limit(ScopeKind::Global, "", "any", 100)];
    assert_eq!(ledger.block_plan(&id("r2"), &limits, NOW).await.unwrap(), None, "nothing is crossed yet");
    spend(&**ledger, "r1", 100, 0, &limits).await;
    assert_eq!(ledger.enforcement_list(Some(&id("r2"))).await.unwrap(), [], "it found no crossing");

    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..8 {
        let (ledger, limits) = (ledgers[index % 2].clone(), limits.clone());
        tasks.spawn(async move { ledger.block_plan(&id("r2"), &limits, NOW + 1).await.unwrap().unwrap() });
    }
    let block = ledger.block_list().await.unwrap().remove(0);
    assert_eq!(tasks.join_all().await, vec![block.clone(); 8]);
    let planned = ledger.enforcement_list(Some(&id("r2"))).await.unwrap();
    assert_eq!(planned.len(), 1);
    assert_eq!((planned[0].state, planned[0].action), (EnforcementState::Planned, block.policy.into()));
    assert_eq!((&planned[0].scope, &planned[0].cause), (&block.scope, &block.cause));

    // Nor again once it is carried out, nor for a run that has ended or never was.
    let (from, to) = (EnforcementState::Planned, EnforcementState::Done);
    assert!(ledger.enforcement_advance(planned[0].id, from, to, "", NOW + 2).await.unwrap());
    for name in ["r2", "over"] {
        assert_eq!(ledger.block_plan(&id(name), &limits, NOW + 3).await.unwrap(), Some(block.clone()));
    }
    assert_eq!(ledger.block_plan(&id("none"), &limits, NOW + 3).await.unwrap(), None);
    let planned = ledger.enforcement_list(None).await.unwrap();
    let states: Vec<_> = planned.iter().map(|row| (row.run_id.as_str(), row.state)).collect();
    assert_eq!(states, [("r1", from), ("r2", to)], "once each");
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
