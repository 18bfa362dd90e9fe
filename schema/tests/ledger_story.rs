//! What every back end of the ledger must do, told through the trait alone.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[macro_use]
mod ledger_support;

use hudson_schema::budget::{Mode, Weights};
use hudson_schema::ledger::*;
use hudson_schema::{Quality, ScopeKind, Usage};
use ledger_support::*;

story! { sqlite, crate::ledger_support::on_sqlite:
    runs_begin_and_end_once
    a_hold_is_lowered_to_what_is_left
    soft_refuses_only_past_the_limit
    a_late_settle_replaces_held_usage_once
    what_is_not_exact_never_charges_less_than_its_hold
    the_audit_tells_every_charge_and_decision_in_a_chain
    what_was_kept_from_leaving_is_told_in_the_audit_and_decides_nothing
    work_that_is_read_by_its_id_is_charged_once
    work_that_is_read_while_it_goes_on_is_charged_once
    a_new_window_is_summed_from_usage
    usage_is_read_by_any_column
}

async fn runs_begin_and_end_once(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", Some("reviewer"), &["base", "root"])).await.unwrap();
    let mut second = run("r2", "ci", None, &[]);
    second.started_at += 1;
    ledger.run_insert(second).await.unwrap();
    assert!(ledger.run_insert(run("r1", "other", None, &[])).await.is_err(), "an id is used once");

    let found = ledger.run_fetch(&id("r1")).await.unwrap().unwrap();
    assert_eq!(found.parents.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["base", "root"]);
    assert_eq!(found.launch, serde_json::json!({"command": ["true"]}));
    assert_eq!(found.credential_hash, [7; 32]);
    assert!(ledger.run_fetch(&id("none")).await.unwrap().is_none());

    ledger.run_finish(&id("r1"), NOW + 1, Some(3)).await.unwrap();
    ledger.run_finish(&id("r1"), NOW + 2, None).await.unwrap();
    let found = ledger.run_fetch(&id("r1")).await.unwrap().unwrap();
    assert_eq!((found.finished_at, found.exit_code), (Some(NOW + 1), Some(3)), "the first end stands");
    let names = |runs: Vec<RunRecord>| runs.iter().map(|run| run.id.to_string()).collect::<Vec<_>>();
    assert_eq!(names(ledger.run_list(false).await.unwrap()), ["r2", "r1"]);
    assert_eq!(names(ledger.run_list(true).await.unwrap()), ["r2"]);

    for asked in ["r1", "none"] {
        let refused = ledger.hold_place(ask(asked, 1, 1, &[])).await;
        assert!(matches!(refused, Err(LedgerError::Missing { .. })), "{asked}: {refused:?}");
    }
    let unknown = ledger.run_finish(&id("none"), NOW, None).await;
    assert!(matches!(unknown, Err(LedgerError::Missing { .. })));
}

async fn a_hold_is_lowered_to_what_is_left(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let limits = [limit(ScopeKind::Bottle, "ci", "claude", 1000), limit(ScopeKind::Global, "", "any", 800)];

    let first = placed(ledger.hold_place(ask("r1", 100, 200, &limits)).await.unwrap());
    assert_eq!((first.output, first.tokens, first.left), (200, 300, Some(500)));
    let second = placed(ledger.hold_place(ask("r1", 100, 4000, &limits)).await.unwrap());
    assert_eq!(
        (second.output, second.tokens, second.left),
        (400, 500, Some(0)),
        "the tightest limit decides"
    );
    assert_eq!(balance(&*ledger, ScopeKind::Bottle, "ci", "claude").await, (0, 800));
    assert_eq!(balance(&*ledger, ScopeKind::Bottle, "ci", "codex").await, (0, 0));

    ledger.hold_release(&second.id).await.unwrap();
    ledger.hold_release(&second.id).await.unwrap();
    assert_eq!(balance(&*ledger, ScopeKind::Global, "", "any").await, (0, 300));
    let free = placed(ledger.hold_place(ask("r1", 1, 1, &[])).await.unwrap());
    assert_eq!(free.left, None);
}

async fn soft_refuses_only_past_the_limit(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let limits = [limit(ScopeKind::Run, "r1", "claude", 100)];
    let mut request = ask("r1", 5000, 5000, &limits);
    request.mode = Mode::Soft;
    let hold = placed(ledger.hold_place(request.clone()).await.unwrap());
    assert_eq!((hold.output, hold.left), (5000, Some(0)));
    placed(ledger.hold_place(request.clone()).await.unwrap());
    // Settled without limits, so that it is the next request that finds the crossing.
    ledger.usage_settle(settlement(&hold.id, Some(usage(90, 10)), &[])).await.unwrap();
    let refused = exhausted(ledger.hold_place(request.clone()).await.unwrap());
    assert!(refused.crossed);
    blocked(ledger.hold_place(request).await.unwrap());
}

async fn a_late_settle_replaces_held_usage_once(open: Open<'_>) {
    let ledger = open();
    let limits = [limit(ScopeKind::Global, "", "any", 10_000)];
    let (late, lost) = {
        let doomed = open();
        doomed.run_insert(run("r1", "ci", None, &[])).await.unwrap();
        let late = placed(doomed.hold_place(ask("r1", 100, 900, &limits)).await.unwrap());
        let lost = placed(doomed.hold_place(ask("r1", 10, 90, &limits)).await.unwrap());
        assert_eq!(ledger.holds_reap(NOW + 1).await.unwrap(), 0, "its owner lives");
        (late, lost)
    };
    assert_eq!(balance(&*ledger, ScopeKind::Global, "", "any").await, (0, 1100));
    assert_eq!(ledger.holds_reap(NOW + 2).await.unwrap(), 2);
    assert_eq!(ledger.holds_reap(NOW + 3).await.unwrap(), 0);
    assert_eq!(balance(&*ledger, ScopeKind::Global, "", "any").await, (1100, 0));
    ledger.hold_release(&lost.id).await.unwrap();
    assert_eq!(
        balance(&*ledger, ScopeKind::Global, "", "any").await,
        (1100, 0),
        "what may be spent stays spent"
    );

    let exact = Usage { cache_read: 300, ..usage(100, 20) };
    let exact = Usage { total: 420, ..exact };
    ledger.usage_settle(settlement(&late.id, Some(exact), &limits)).await.unwrap();
    assert_eq!(balance(&*ledger, ScopeKind::Global, "", "any").await, (520, 0));
    let again = ledger.usage_settle(settlement(&late.id, Some(usage(1, 1)), &limits)).await;
    assert!(matches!(again, Err(LedgerError::Missing { .. })), "{again:?}");

    let rows = ledger.usage_list(UsageQuery::default()).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].quality, rows[0].usage, rows[0].charged), (Quality::Exact, exact, 420));
    assert_eq!((rows[0].started_at, rows[0].status), (NOW, 200), "usage belongs to the window of its hold");
    assert_eq!((rows[1].quality, rows[1].charged, rows[1].status), (Quality::Held, 100, 0));
    assert_eq!(rows[1].model.as_deref(), Some("opus"));

    // Nothing read from a response that was sent: the hold's own tokens stand.
    let hold = placed(ledger.hold_place(ask("r1", 30, 40, &limits)).await.unwrap());
    ledger.usage_settle(settlement(&hold.id, None, &limits)).await.unwrap();
    assert_eq!(balance(&*ledger, ScopeKind::Global, "", "any").await, (590, 0));
}

async fn what_is_not_exact_never_charges_less_than_its_hold(open: Open<'_>) {
    let ledger = open();
    let limits = [limit(ScopeKind::Global, "", "any", 100_000)];
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let doomed = open();
    // Twice: settled in time, and after the hold was charged as a whole.
    let mut holds = Vec::new();
    for owner in [&ledger, &doomed] {
        for (quality, seen, charged) in [
            (Quality::Exact, 100, 100),
            (Quality::Recovered, 100, 1000),
            (Quality::Recovered, 1100, 1100),
            (Quality::Estimated, 100, 1000),
            (Quality::Held, 0, 1000),
        ] {
            let hold = placed(owner.hold_place(ask("r1", 400, 600, &limits)).await.unwrap());
            holds.push((hold, quality, usage(seen, 0), charged));
        }
    }
    drop(doomed);
    assert_eq!(ledger.holds_reap(NOW + 1).await.unwrap(), 5);
    for (hold, quality, seen, _) in &holds {
        let done = Settlement { quality: *quality, ..settlement(&hold.id, Some(*seen), &limits) };
        ledger.usage_settle(done).await.unwrap();
    }
    assert_eq!(balance(&*ledger, ScopeKind::Global, "", "any").await, (2 * 4200, 0));
    let key = |quality: Quality, seen: Usage, charged: u64| (quality.name(), seen.input, seen.total, charged);
    let rows = ledger.usage_list(UsageQuery::default()).await.unwrap();
    let mut rows: Vec<_> = rows.iter().map(|row| key(row.quality, row.usage, row.charged)).collect();
    let mut expected: Vec<_> =
        holds.iter().map(|(_, quality, seen, charged)| key(*quality, *seen, *charged)).collect();
    rows.sort_unstable();
    expected.sort_unstable();
    assert_eq!(rows, expected, "the numbers as they were seen");

    // Weighed before it is compared.
    let hold = placed(ledger.hold_place(ask("r1", 400, 600, &limits)).await.unwrap());
    let weights = Weights { output: 5000, ..Weights::default() };
    let seen = Some(usage(0, 300));
    let done = Settlement { weights, quality: Quality::Recovered, ..settlement(&hold.id, seen, &limits) };
    ledger.usage_settle(done).await.unwrap();
    assert_eq!(balance(&*ledger, ScopeKind::Global, "", "any").await, (2 * 4200 + 1500, 0));
}

async fn the_audit_tells_every_charge_and_decision_in_a_chain(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", Some("reviewer"), &["base"])).await.unwrap();
    let limits = [limit(ScopeKind::Bottle, "ci", "claude", 1000)];
    // Settled, held and settled late, read and then settled, held and then read, and one that crosses the limit.
    let exact = placed(ledger.hold_place(ask("r1", 10, 20, &limits)).await.unwrap());
    ledger.usage_settle(settlement(&exact.id, Some(usage(10, 5)), &limits)).await.unwrap();
    ledger.usage_retrieve(retrieval("r1", "msg_1", 1, &limits)).await.unwrap();
    ledger.usage_retrieve(retrieval("r1", "msg_2", 40, &limits)).await.unwrap();
    let read = placed(ledger.hold_place(ask("r1", 10, 20, &limits)).await.unwrap());
    let late = Settlement { response_id: Some("msg_2".to_owned()), ..settlement(&read.id, None, &limits) };
    ledger.usage_settle(late).await.unwrap();
    ledger.usage_retrieve(retrieval("r1", "msg_2", 40, &limits)).await.unwrap();
    let crossing = placed(ledger.hold_place(ask("r1", 10, 20, &limits)).await.unwrap());
    ledger.usage_settle(settlement(&crossing.id, Some(usage(900, 100)), &limits)).await.unwrap();
    let planned = ledger.enforcement_list(None).await.unwrap().remove(0);
    let (from, to) = (EnforcementState::Planned, EnforcementState::Started);
    assert!(ledger.enforcement_advance(planned.id, from, to, "", NOW).await.unwrap());
    assert!(!ledger.enforcement_advance(planned.id, from, to, "", NOW).await.unwrap(), "and is told once");
    ledger.run_finish(&id("r1"), NOW + 9, Some(77)).await.unwrap();
    ledger.run_finish(&id("r1"), NOW + 9, Some(77)).await.unwrap();

    let rows = ledger.audit_list(0, usize::MAX).await.unwrap();
    let mut chain = audit::Chain::default();
    rows.iter().for_each(|row| chain.follow(row).unwrap());
    assert_eq!(chain.rows(), ledger.audit_last().await.unwrap());
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "run_start",
            "usage_charge",
            "usage_charge",
            "usage_charge",
            "usage_withdraw",
            "usage_replace",
            "usage_charge",
            "block_place",
            "enforcement_plan",
            "enforcement_advance",
            "run_finish",
        ]
    );
    let mut replayed = 0;
    for row in &rows {
        let data: serde_json::Value = serde_json::from_str(&row.data).unwrap();
        let number = |value: &serde_json::Value| value.as_i64().unwrap_or_default();
        replayed += match row.kind.as_str() {
            "usage_charge" => number(&data["charged"]),
            "usage_replace" => number(&data["charged"]) - number(&data["before"]["charged"]),
            "usage_withdraw" => -number(&data["charged"]),
            _ => 0,
        };
        assert!(!row.data.contains("[7"), "the credential's hash is nobody's business: {row:?}");
    }
    let (spent, _) = balance(&*ledger, ScopeKind::Bottle, "ci", "claude").await;
    assert_eq!(replayed, spent.cast_signed(), "replaying the audit gives the totals");
    assert_eq!(rows[1].bottle.as_deref(), Some("ci"));
    let tail = ledger.audit_list(chain.rows() - 2, 1).await.unwrap();
    assert_eq!((tail.len(), tail[0].seq), (1, chain.rows() - 1));
}

async fn what_was_kept_from_leaving_is_told_in_the_audit_and_decides_nothing(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", Some("reviewer"), &[])).await.unwrap();
    let other = open();
    let (mut own, mut elsewhere) = (ledger.changes(), other.changes());
    // The first look of who watches counts as a change.
    elsewhere.changed().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    own.mark_unchanged();
    elsewhere.mark_unchanged();
    let finding = |rule: &str, action| NewFinding {
        rule: rule.to_owned(),
        action,
        place: "body /note".to_owned(),
        hash: "5d0c8cf0a1b2c3d4e5f60718293a4b5c".to_owned(),
        host: "files.example.com".to_owned(),
        preview: "ghp_… (40 bytes)".to_owned(),
    };
    let findings = vec![finding("github-pat", "redact"), finding("canary", "block")];
    let told = NewFindings { run: id("r1"), findings, more: 3, now: NOW + 5 };
    ledger.finding_insert(told.clone()).await.unwrap();
    ledger.finding_insert(NewFindings { findings: Vec::new(), ..told }).await.unwrap();
    let rows = ledger.audit_list(1, usize::MAX).await.unwrap();
    let mut chain = audit::Chain::default();
    ledger.audit_list(0, usize::MAX).await.unwrap().iter().for_each(|row| chain.follow(row).unwrap());
    let expected = |rule: &str, action: &str| {
        serde_json::json!({
            "run": "r1", "agent": "reviewer", "rule": rule, "action": action, "place": "body /note",
            "hash": "5d0c8cf0a1b2c3d4e5f60718293a4b5c", "host": "files.example.com",
            "preview": "ghp_… (40 bytes)",
        })
    };
    let mut last = expected("canary", "block");
    last["more"] = 3.into();
    let data: Vec<serde_json::Value> =
        rows.iter().map(|row| serde_json::from_str(&row.data).unwrap()).collect();
    assert_eq!(data, [expected("github-pat", "redact"), last]);
    for row in &rows {
        assert_eq!((row.kind.as_str(), row.actor.as_str(), row.ts), ("dlp_finding", "hudson", NOW + 5));
        assert_eq!(row.bottle.as_deref(), Some("ci"));
    }
    // Every supervisor asks after a change, and an agent must not have them ask as it likes.
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    assert!(!own.has_changed().unwrap() && !elsewhere.has_changed().unwrap(), "a finding is no decision");
    ledger.run_finish(&id("r1"), NOW + 9, None).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(5), elsewhere.changed()).await.unwrap().unwrap();
}

async fn work_that_is_read_by_its_id_is_charged_once(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    ledger.run_insert(run("r2", "other", None, &[])).await.unwrap();
    let limits = [limit(ScopeKind::Bottle, "ci", "claude", 1000)];

    let hold = placed(ledger.hold_place(ask("r1", 100, 200, &limits)).await.unwrap());
    ledger.usage_settle(settlement(&hold.id, None, &limits)).await.unwrap();
    assert_eq!(balance(&*ledger, ScopeKind::Bottle, "ci", "claude").await, (300, 0), "held as a whole");
    let read = ledger.usage_retrieve(retrieval("r2", "msg_1", 40, &[])).await.unwrap();
    assert_eq!(read, Retrieved::Charged(Settled::default()));
    assert_eq!(balance(&*ledger, ScopeKind::Bottle, "ci", "claude").await, (40, 0), "whoever reads it");
    assert_eq!(balance(&*ledger, ScopeKind::Bottle, "other", "claude").await, (0, 0));
    let again = ledger.usage_retrieve(retrieval("r1", "msg_1", 50, &limits)).await.unwrap();
    assert_eq!(again, Retrieved::Known, "the final numbers are final");

    let elsewhere = Retrieval { host: "elsewhere".to_owned(), ..retrieval("r1", "msg_1", 7, &limits) };
    assert_eq!(ledger.usage_retrieve(elsewhere).await.unwrap(), Retrieved::Charged(Settled::default()));
    assert_eq!(balance(&*ledger, ScopeKind::Bottle, "ci", "claude").await, (47, 0), "ids are a host's own");

    let Retrieved::Charged(settled) =
        ledger.usage_retrieve(retrieval("r1", "msg_2", 990, &limits)).await.unwrap()
    else {
        panic!("nobody was charged for it")
    };
    assert_eq!(
        settled.crossings.len(),
        1,
        "what nobody was charged for is charged to who reads it, and may cross a limit"
    );
    let known = ledger.usage_retrieve(retrieval("r1", "msg_2", 990, &limits)).await.unwrap();
    assert_eq!(known, Retrieved::Known);
    let rows = ledger.usage_list(UsageQuery::default()).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.usage.total).collect::<Vec<_>>(), [40, 7, 990]);
    assert!(rows.iter().all(|row| row.quality == Quality::Exact));
}

async fn work_that_is_read_while_it_goes_on_is_charged_once(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let hold = placed(ledger.hold_place(ask("r1", 100, 200, &[])).await.unwrap());
    ledger.usage_retrieve(retrieval("r1", "msg_1", 40, &[])).await.unwrap();
    ledger.usage_settle(settlement(&hold.id, Some(usage(30, 10)), &[])).await.unwrap();
    assert_eq!(balance(&*ledger, ScopeKind::Bottle, "ci", "claude").await, (40, 0));
    assert_eq!(ledger.usage_list(UsageQuery::default()).await.unwrap().len(), 1);
    // Ids repeat in the wild: a second request is charged whatever its id.
    let hold = placed(ledger.hold_place(ask("r1", 100, 200, &[])).await.unwrap());
    ledger.usage_settle(settlement(&hold.id, Some(usage(30, 10)), &[])).await.unwrap();
    assert_eq!(balance(&*ledger, ScopeKind::Bottle, "ci", "claude").await, (80, 0));
}

fn retrieval(run: &str, response_id: &str, tokens: u64, limits: &[AskedLimit]) -> Retrieval {
    Retrieval {
        run: id(run),
        provider: provider("claude"),
        host: "api.anthropic.com".to_owned(),
        response_id: response_id.to_owned(),
        usage: usage(tokens, 0),
        weights: Weights::default(),
        model: None,
        status: 200,
        limits: limits.to_vec(),
        warn_at: Vec::new(),
        now: NOW + 9,
    }
}

async fn a_new_window_is_summed_from_usage(open: Open<'_>) {
    let ledger = open();
    for (name, bottle, parents) in
        [("r1", "ci", vec!["base"]), ("r2", "web", vec!["base"]), ("r3", "base", vec![])]
    {
        ledger.run_insert(run(name, bottle, None, &parents)).await.unwrap();
    }
    for (index, name) in ["r1", "r2", "r3", "r1", "r2", "r3"].into_iter().enumerate() {
        let mut request = ask(name, 0, 1 << index, &[]);
        request.now = NOW + DAY * index as i64;
        if index % 2 == 1 {
            request.provider = provider("codex");
        }
        let hold = placed(ledger.hold_place(request).await.unwrap());
        ledger.usage_settle(settlement(&hold.id, Some(usage(0, 1 << index)), &[])).await.unwrap();
    }
    let expected = [
        (ScopeKind::Bottle, "ci", "any", 0, 0b001001),
        (ScopeKind::Bottle, "ci", "claude", 0, 0b000001),
        (ScopeKind::Parent, "base", "any", 0, 0b111111),
        (ScopeKind::Parent, "base", "codex", 2, 0b101000),
        (ScopeKind::Global, "", "any", 4, 0b110000),
        (ScopeKind::Run, "r3", "claude", 0, 0b000100),
        (ScopeKind::Agent, "nobody", "any", 0, 0),
    ];
    for (kind, key, counted, day, tokens) in expected {
        let mut asked = limit(kind, key, counted, 100_000);
        asked.window_start = if day == 0 { 0 } else { NOW + DAY * day };
        let read =
            ledger.budget_fetch(&asked.limit.scope, &asked.limit.provider, asked.window_start).await.unwrap();
        assert_eq!(read.spent, tokens, "read: {asked:?}");
        let mut request = ask("r1", 0, 1, std::slice::from_ref(&asked));
        request.now = NOW + DAY * 10;
        let hold = placed(ledger.hold_place(request).await.unwrap());
        let inside = u64::from(hold.left == Some(100_000 - tokens - 1));
        assert_eq!(inside, 1, "asked: {asked:?} {hold:?}");
        ledger.hold_release(&hold.id).await.unwrap();
        let kept =
            ledger.budget_fetch(&asked.limit.scope, &asked.limit.provider, asked.window_start).await.unwrap();
        assert_eq!(kept, read);
    }
}

async fn usage_is_read_by_any_column(open: Open<'_>) {
    let ledger = open();
    ledger.run_insert(run("r1", "ci", Some("reviewer"), &["base", "root"])).await.unwrap();
    ledger.run_insert(run("r2", "web", None, &[])).await.unwrap();
    spend(&*ledger, "r1", 1, 10, &[]).await;
    spend(&*ledger, "r2", 2, 20, &[]).await;
    let hold =
        placed(ledger.hold_place(HoldRequest { now: NOW + DAY, ..ask("r2", 3, 30, &[]) }).await.unwrap());
    ledger.usage_settle(settlement(&hold.id, None, &[])).await.unwrap();

    let nothing = UsageQuery { run: Some(id("none")), ..UsageQuery::default() };
    let sums = ledger.usage_sum(nothing).await.unwrap();
    assert_eq!((sums.len(), sums[0].requests, sums[0].charged), (1, 0, 0));
    let by = |by: &[UsageColumn]| UsageQuery { by: by.to_vec(), ..UsageQuery::default() };
    let all = ledger.usage_sum(by(&[])).await.unwrap();
    assert_eq!((all[0].requests, all[0].inexact, all[0].charged), (3, 1, 66));
    assert_eq!(all[0].usage, usage(6, 60));
    let sums = ledger.usage_sum(by(&[UsageColumn::Agent, UsageColumn::Day])).await.unwrap();
    let groups: Vec<_> = sums.iter().map(|sum| (sum.group.join("|"), sum.charged)).collect();
    assert_eq!(
        groups,
        [
            ("|2026-05-28".to_owned(), 22),
            ("|2026-05-29".to_owned(), 33),
            ("reviewer|2026-05-28".to_owned(), 11)
        ]
    );
    let every = [UsageColumn::Bottle, UsageColumn::Model, UsageColumn::Provider, UsageColumn::Run];
    let sums = ledger.usage_sum(by(&every)).await.unwrap();
    assert_eq!(sums[0].group, ["ci", "opus-4", "claude", "r1"]);

    let query =
        UsageQuery { bottle: Some("web".parse().unwrap()), since: Some(NOW + 1), ..UsageQuery::default() };
    let rows = ledger.usage_list(query).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.charged).collect::<Vec<_>>(), [33]);
    let rows = ledger.usage_list(UsageQuery::default()).await.unwrap();
    assert_eq!(rows[0].parent.as_deref(), Some("base/root"));
    assert_eq!((rows[0].response_id.as_deref(), rows[0].stream), (Some("msg_1"), true));
}
