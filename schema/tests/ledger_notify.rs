//! What is told outside: once for each decision and channel, whoever made it, and until it is delivered or given up.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[macro_use]
mod ledger_support;

use hudson_schema::ledger::*;
use hudson_schema::{Policy, Scope, ScopeKind};
use ledger_support::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const HOOK: &str = "webhook:$HOOK";
const OTHER: &str = "webhook:$OTHER";
const LEASE: i64 = 15_000;
const WARN_AT: [u8; 2] = [80, 95];

story! { sqlite, crate::ledger_support::on_sqlite:
    a_warning_is_told_once_however_many_find_it
    a_crossing_and_what_lifts_it_are_told
    an_order_is_told_and_one_in_its_place_resumes_nothing
    what_is_claimed_is_nobody_elses_until_its_time_is_over
    each_is_claimed_once_however_many_claim_at_once
    what_failed_is_due_again_when_it_was_said
    who_is_told_is_for_the_settings_to_say
    what_is_for_a_channel_that_is_gone_is_given_up_after_a_day
    what_channels_have_shown_and_how_far_they_were_heard_outlives_the_process
}

fn claim(channels: &[&str], now: i64) -> NotifyClaim {
    NotifyClaim { channels: names(channels), most: 10, lease: LEASE, rules: NotifyRules::default(), now }
}

fn names(channels: &[&str]) -> Vec<String> {
    channels.iter().map(|name| (*name).to_owned()).collect()
}

fn told(claimed: &[Notification]) -> Vec<Value> {
    let payloads = claimed.iter().map(|notification| serde_json::from_str(&notification.payload).unwrap());
    let payloads: Vec<Value> = payloads.collect();
    for (payload, notification) in payloads.iter().zip(claimed) {
        assert_eq!((&payload["id"], &payload["event"]), (&json!(notification.id), &json!(notification.kind)));
        assert_eq!(payload["schema"], "1");
    }
    payloads
}

fn order(policy: Policy, now: i64) -> BlockOrder {
    BlockOrder { scope: ci(), policy, cause: "by hand".into(), actor: "operator:0".into(), now }
}

fn ci() -> Scope {
    Scope::new(ScopeKind::Bottle, "ci")
}

/// A ledger with one notification in it.
async fn with_one(open: Open<'_>) -> SharedLedger {
    let ledger = open();
    ledger.block_order(order(Policy::Cutoff, NOW)).await.unwrap();
    ledger
}

async fn a_warning_is_told_once_however_many_find_it(open: Open<'_>) {
    let ledgers = [open(), open(), open()];
    ledgers[0].run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let limits = [daily(limit(ScopeKind::Run, "r1", "claude", 100), NOW)];
    let hold = placed(ledgers[0].hold_place(ask("r1", 85, 1, &[])).await.unwrap());
    let mut changes = ledgers[1].changes();
    changes.mark_unchanged();
    let settled =
        Settlement { warn_at: WARN_AT.to_vec(), ..settlement(&hold.id, Some(usage(85, 0)), &limits) };
    let found = ledgers[1].usage_settle(settled).await.unwrap();
    assert_eq!(found.warnings.len(), 1);
    assert!(changes.has_changed().unwrap(), "who delivers is woken");
    let review = || LimitReview { governing: limits.to_vec(), warn_at: WARN_AT.to_vec() };
    let all = ledgers.iter().map(|ledger| {
        let (ledger, review) = (ledger.clone(), review());
        tokio::spawn(async move { ledger.budget_review(&id("r1"), review, NOW).await.unwrap() })
    });
    for one in all.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), Reviewed::default(), "it was told");
    }
    let claimed = ledgers[2].notify_claim(claim(&[HOOK], NOW + 10)).await.unwrap();
    let [payload] = told(&claimed).try_into().unwrap_or_else(|more| panic!("{more:?}"));
    let end = jiff::Timestamp::from_millisecond(limits[0].window_end.unwrap()).unwrap().to_string();
    let expected = json!({
        "schema": "1", "event": "budget_warning", "id": claimed[0].id, "bottle": "ci",
        "scope": {"kind": "run", "key": "r1"}, "provider": "claude", "limit": 100, "spent": 85, "percent": 80,
        "policy": "cutoff", "resets_at": end,
        "created_at": jiff::Timestamp::from_millisecond(NOW + 5).unwrap().to_string(),
    });
    assert_eq!(payload, expected);
}

async fn a_crossing_and_what_lifts_it_are_told(open: Open<'_>) {
    let (ledger, other) = (open(), open());
    ledger.run_insert(run("r1", "ci", None, &[])).await.unwrap();
    let crossed = limit(ScopeKind::Global, "", "claude", 100);
    let limits = std::slice::from_ref(&crossed);
    assert_eq!(spend(&*ledger, "r1", 60, 0, limits).await, []);
    assert_eq!(other.notify_next(&names(&[HOOK])).await.unwrap(), None, "nothing has happened");
    assert_eq!(spend(&*ledger, "r1", 40, 0, limits).await.len(), 1);
    assert_eq!(spend(&*other, "r1", 1, 0, limits).await, []);
    assert!(matches!(other.hold_place(ask("r1", 1, 1, limits)).await.unwrap(), HoldOutcome::Blocked(_)));
    let raised = LimitInForce { tokens: Some(1000), ..in_force(&crossed) };
    for ledger in [&ledger, &other] {
        ledger.block_reconsider(std::slice::from_ref(&raised), NOW + 7).await.unwrap();
    }
    let claimed = ledger.notify_claim(claim(&[HOOK], NOW + 10)).await.unwrap();
    let payloads = told(&claimed);
    assert_eq!(payloads.len(), 2, "{payloads:#?}");
    for (payload, event) in payloads.iter().zip(["bottle_stopped", "bottle_resumed"]) {
        assert_eq!(payload["event"], event);
        let numbers = (&payload["limit"], &payload["spent"], &payload["policy"], &payload["scope"]["kind"]);
        assert_eq!(numbers, (&json!(100), &json!(100), &json!("cutoff"), &json!("global")));
        assert!(payload["cause"].as_str().unwrap().contains("100 of 100 tokens"), "{payload}");
        // Fields that do not apply are not there.
        assert!(
            ["bottle", "percent", "resets_at"].iter().all(|name| payload.get(name).is_none()),
            "{payload}"
        );
    }
}

async fn an_order_is_told_and_one_in_its_place_resumes_nothing(open: Open<'_>) {
    let ledger = with_one(open).await;
    assert!(!ledger.block_order(order(Policy::Cutoff, NOW + 1)).await.unwrap(), "it stands already");
    assert!(ledger.block_order(order(Policy::Freeze, NOW + 2)).await.unwrap());
    for _ in 0..2 {
        ledger.block_resume(&ci(), "operator:0", NOW + 3).await.unwrap();
    }
    let payloads = told(&ledger.notify_claim(claim(&[HOOK], NOW + 10)).await.unwrap());
    let events: Vec<_> =
        payloads.iter().map(|told| (told["event"].as_str(), told["policy"].as_str())).collect();
    let expected = [("bottle_stopped", "cutoff"), ("bottle_stopped", "freeze"), ("bottle_resumed", "freeze")];
    assert_eq!(events, expected.map(|(event, policy)| (Some(event), Some(policy))));
    assert!(
        payloads.iter().all(|told| told["bottle"] == "ci" && told["cause"] == "by hand"),
        "{payloads:#?}"
    );
}

async fn what_is_claimed_is_nobody_elses_until_its_time_is_over(open: Open<'_>) {
    let (ledger, other) = (with_one(open).await, open());
    let hook = names(&[HOOK]);
    assert_eq!(other.notify_next(&hook).await.unwrap(), Some(NOW));
    assert_eq!(other.notify_claim(claim(&[HOOK], NOW - 1)).await.unwrap(), [], "not due by this clock");
    let first = ledger.notify_claim(claim(&[HOOK], NOW)).await.unwrap();
    assert_eq!((first.len(), first[0].attempt), (1, 1));
    assert_eq!(other.notify_next(&hook).await.unwrap(), Some(NOW + LEASE), "others know when to look");
    assert_eq!(other.notify_claim(claim(&[HOOK], NOW + LEASE - 1)).await.unwrap(), []);

    // Whoever claimed it says nothing any more.
    let second = other.notify_claim(claim(&[HOOK], NOW + LEASE)).await.unwrap();
    let same = |one: &Notification| (one.id.clone(), one.channel.clone(), one.payload.clone());
    assert_eq!((same(&second[0]), second[0].attempt), (same(&first[0]), 2));
    let late = NotifyEnd::Failed { error: "late".into() };
    assert!(!ledger.notify_finish(&first[0], late, NOW + LEASE + 1).await.unwrap(), "it is another's");
    assert!(ledger.notify_finish(&first[0], NotifyEnd::Delivered, NOW + LEASE + 2).await.unwrap());
    let again = NotifyEnd::Again { at: NOW + LEASE + 9, error: "refused".into() };
    assert!(!other.notify_finish(&second[0], again, NOW + LEASE + 3).await.unwrap(), "it has arrived");
    assert_eq!(other.notify_next(&hook).await.unwrap(), None);
    assert_eq!(other.notify_state().await.unwrap(), NotifyState::default());
}

async fn each_is_claimed_once_however_many_claim_at_once(open: Open<'_>) {
    let ledger = open();
    for number in 0..40 {
        let scope = Scope::new(ScopeKind::Bottle, format!("b{number}"));
        ledger.block_order(BlockOrder { scope, ..order(Policy::Cutoff, NOW) }).await.unwrap();
    }
    let claiming: Vec<_> = (0..6)
        .map(|_| {
            let ledger = open();
            tokio::spawn(async move {
                let mut all = Vec::new();
                loop {
                    let few = NotifyClaim { most: 3, ..claim(&[HOOK, OTHER], NOW) };
                    let claimed = ledger.notify_claim(few).await.unwrap();
                    assert!(claimed.len() <= 3);
                    if claimed.is_empty() {
                        return all;
                    }
                    all.extend(claimed);
                }
            })
        })
        .collect();
    let mut times = BTreeMap::new();
    for one in claiming {
        for claimed in one.await.unwrap() {
            *times.entry((claimed.channel, claimed.id)).or_insert(0) += 1;
        }
    }
    assert_eq!((times.len(), times.values().max()), (80, Some(&1)));
}

async fn what_failed_is_due_again_when_it_was_said(open: Open<'_>) {
    let ledger = with_one(open).await;
    let hook = names(&[HOOK]);
    let first = ledger.notify_claim(claim(&[HOOK], NOW)).await.unwrap();
    let again = NotifyEnd::Again { at: NOW + 60_000, error: "answered 500".into() };
    assert!(ledger.notify_finish(&first[0], again, NOW + 5).await.unwrap());
    assert_eq!(ledger.notify_next(&hook).await.unwrap(), Some(NOW + 60_000));
    assert_eq!(ledger.notify_claim(claim(&[HOOK], NOW + 59_999)).await.unwrap(), []);
    let failure = NotifyFailure {
        id: first[0].id.clone(),
        channel: HOOK.into(),
        event: "bottle_stopped".into(),
        created_at: NOW,
        attempts: 1,
        error: "answered 500".into(),
        next_at: Some(NOW + 60_000),
        failed_at: None,
    };
    let state = NotifyState {
        undelivered: 1,
        undirected: 0,
        last_failure: Some(failure.clone()),
        ..NotifyState::default()
    };
    assert_eq!(open().notify_state().await.unwrap(), state);

    let second = ledger.notify_claim(claim(&[HOOK], NOW + 60_000)).await.unwrap();
    assert_eq!((&second[0].id, second[0].attempt), (&first[0].id, 2));
    let failed = NotifyEnd::Failed { error: "answered 502".into() };
    assert!(ledger.notify_finish(&second[0], failed, NOW + 60_001).await.unwrap());
    assert!(!ledger.notify_finish(&second[0], NotifyEnd::Delivered, NOW + 60_002).await.unwrap());
    assert_eq!(ledger.notify_next(&hook).await.unwrap(), None);
    let failure = NotifyFailure {
        attempts: 2,
        error: "answered 502".into(),
        next_at: None,
        failed_at: Some(NOW + 60_001),
        ..failure
    };
    let state =
        NotifyState { undelivered: 0, undirected: 0, last_failure: Some(failure), ..NotifyState::default() };
    assert_eq!(ledger.notify_state().await.unwrap(), state);
}

async fn who_is_told_is_for_the_settings_to_say(open: Open<'_>) {
    let ledger = with_one(open).await;
    let state = ledger.notify_state().await.unwrap();
    assert_eq!((state.undelivered, state.undirected), (0, 1), "nobody has said it yet");
    let claimed = ledger.notify_claim(claim(&[HOOK, OTHER], NOW)).await.unwrap();
    let to: Vec<_> = claimed.iter().map(|one| (one.id == claimed[0].id, one.channel.as_str())).collect();
    assert_eq!(to, [(true, HOOK), (true, OTHER)], "one id, each channel once");
    assert_eq!(ledger.notify_state().await.unwrap().undelivered, 2);
    ledger.notify_finish(&claimed[0], NotifyEnd::Delivered, NOW + 1).await.unwrap();
    assert_eq!(ledger.notify_state().await.unwrap().undelivered, 1, "one channel does not wait for another");

    // Without any channel it is over, and one that comes later is not told of the past.
    ledger.block_resume(&ci(), "operator:0", NOW + 2).await.unwrap();
    assert_eq!(ledger.notify_claim(claim(&[], NOW + 2)).await.unwrap(), []);
    assert_eq!(ledger.notify_state().await.unwrap().undirected, 0);
    let later = ledger.notify_claim(claim(&[HOOK, OTHER], NOW + LEASE)).await.unwrap();
    assert_eq!(later.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(), ["bottle_stopped"]);
}

async fn what_is_for_a_channel_that_is_gone_is_given_up_after_a_day(open: Open<'_>) {
    let ledger = with_one(open).await;
    assert_eq!(ledger.notify_claim(claim(&[OTHER], NOW)).await.unwrap().len(), 1);
    let hook = names(&[HOOK]);
    assert_eq!(ledger.notify_next(&hook).await.unwrap(), Some(NOW + DAY), "it is left to who knows it");
    assert_eq!(ledger.notify_claim(claim(&[HOOK], NOW + DAY - 1)).await.unwrap(), []);
    assert_eq!(ledger.notify_state().await.unwrap().undelivered, 1);
    assert_eq!(ledger.notify_claim(claim(&[HOOK], NOW + DAY)).await.unwrap(), []);
    let state = ledger.notify_state().await.unwrap();
    assert_eq!((state.undelivered, ledger.notify_next(&hook).await.unwrap()), (0, None));
    let failure = state.last_failure.unwrap();
    assert!(failure.error.contains("no such channel") && failure.failed_at == Some(NOW + DAY), "{failure:?}");
    // What is long over is forgotten.
    ledger.notify_claim(claim(&[HOOK], NOW + 40 * DAY)).await.unwrap();
    assert_eq!(ledger.notify_state().await.unwrap(), NotifyState::default());
}

async fn what_channels_have_shown_and_how_far_they_were_heard_outlives_the_process(open: Open<'_>) {
    let (one, other) = (ApprovalId::of_random([1; 16]), ApprovalId::of_random([2; 16]));
    let ledger = open();
    assert_eq!(ledger.notify_message_fetch(&one, HOOK).await.unwrap(), None);
    ledger.notify_message_set(&one, HOOK, "41", NOW).await.unwrap();
    ledger.notify_message_set(&one, HOOK, "42", NOW).await.unwrap();
    ledger.notify_message_set(&one, OTHER, "7", NOW).await.unwrap();
    assert_eq!(ledger.notify_cursor_fetch("bot").await.unwrap(), NotifyCursor::default());
    ledger.notify_fault_set("bot", "answered 409", NOW + 1).await.unwrap();
    ledger.notify_cursor_set("bot", 1_001, NOW + 2).await.unwrap();
    ledger.notify_fault_set("bot", "answered 409", NOW + 3).await.unwrap();
    drop(ledger);
    let ledger = open();
    for (approval, channel, message) in
        [(&one, HOOK, Some("42")), (&one, OTHER, Some("7")), (&other, HOOK, None)]
    {
        assert_eq!(ledger.notify_message_fetch(approval, channel).await.unwrap().as_deref(), message);
    }
    let cursor = NotifyCursor { position: 1_001, moved_at: NOW + 2 };
    assert_eq!(ledger.notify_cursor_fetch("bot").await.unwrap(), cursor);
    let fault = ChannelFault { source: "bot".into(), fault: "answered 409".into(), since: NOW + 1 };
    assert_eq!(ledger.notify_state().await.unwrap().deaf, [fault], "since the first time");
    ledger.notify_fault_set("bot", "", NOW + 4).await.unwrap();
    assert_eq!(ledger.notify_state().await.unwrap().deaf, []);
}
