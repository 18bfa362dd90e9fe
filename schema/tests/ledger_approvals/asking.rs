//! Asking: once for the same request, in time, and not too often.

use crate::ledger_support::{NOW, Open};
use crate::support::*;
use hudson_schema::ledger::*;
use serde_json::json;
use std::collections::BTreeMap;

story! { sqlite, crate::support::tell:
    the_same_request_asks_people_once
    a_pending_approval_is_given_again_only_within_its_window
    a_denial_answers_the_same_request_for_a_while_and_no_other
    what_nobody_answered_was_not_denied_and_can_be_asked_again
    what_was_used_denied_or_expired_is_never_used_again
    only_what_asks_people_counts_towards_the_rate
    another_name_for_an_action_is_no_new_allowance
    a_bottle_has_so_many_pending_and_those_that_ended_do_not_count
    what_is_asked_outlives_the_process_that_asked
    what_is_told_outside_shows_no_depth_and_stays_on_its_line
    pages_of_a_list_follow_each_other
}

async fn the_same_request_asks_people_once(open: Open<'_>) {
    let (ledger, other) = (open(), open());
    let first = created(ledger.approval_submit(ask(1, NOW)).await.unwrap());
    assert_eq!((first.status, first.dedupe_count, first.attempt), (ApprovalStatus::Pending, 0, 0));
    for again in 1..=10 {
        let ledger = if again % 2 == 0 { &ledger } else { &other };
        let SubmitOutcome::Reused(same) =
            ledger.approval_submit(ask(1, NOW + i64::from(again))).await.unwrap()
        else {
            panic!("not reused")
        };
        assert_eq!((&same.id, same.dedupe_count), (&first.id, again));
    }
    assert_eq!(ledger.approval_list(all(NOW)).await.unwrap().len(), 1);
    let told = told(&*ledger).await;
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!((&told[0]["event"], &told[0]["bottle"]), (&json!("approval_requested"), &json!("ci")));
    // Asked ten times more, it is written down at 1, 2, 4 and 8.
    assert_eq!(steps(&*ledger, &first.id).await.len(), 1 + 4);
    // Another request, or the same of another bottle, is another.
    created(ledger.approval_submit(ask(2, NOW)).await.unwrap());
    let elsewhere = ApprovalRequest { bottle: "other".parse().unwrap(), ..ask(1, NOW) };
    created(ledger.approval_submit(elsewhere).await.unwrap());
}

async fn a_pending_approval_is_given_again_only_within_its_window(open: Open<'_>) {
    let ledger = open();
    let rules = ApprovalRules { dedupe_window: 1_000, ..ApprovalRules::default() };
    let ask = |now| ApprovalRequest { rules: rules.clone(), ..ask(1, now) };
    let first = created(ledger.approval_submit(ask(NOW)).await.unwrap());
    assert!(matches!(ledger.approval_submit(ask(NOW + 999)).await.unwrap(), SubmitOutcome::Reused(_)));
    let second = created(ledger.approval_submit(ask(NOW + 1_000)).await.unwrap());
    // Never two questions about one thing: the first says which took its place.
    let replaced = ledger.approval_fetch(&first.id, NOW + 1_000).await.unwrap().unwrap();
    assert_eq!(
        (replaced.status, replaced.coalesced_into),
        (ApprovalStatus::Cancelled, Some(second.id.clone()))
    );
    assert_eq!(replaced.decided_by, None);
    let late = ledger.approval_approve(decision(&first.id, ALICE, NOW + 1_001)).await.unwrap();
    assert!(matches!(late, Decided::Conflict(_)), "{late:?}");
    // What is approved stays good however old the question was.
    made(ledger.approval_approve(decision(&second.id, ALICE, NOW + 1_002)).await.unwrap());
    let used = let_through(ledger.approval_submit(ask(NOW + 1_002 + USE_TTL - 1)).await.unwrap());
    assert_eq!(used.id, second.id);
}

async fn a_denial_answers_the_same_request_for_a_while_and_no_other(open: Open<'_>) {
    let ledger = open();
    let memory = ApprovalRules::default().deny_memory;
    let open = pending(&*ledger, 1, NOW).await;
    let reason = Some("not on a Friday".to_owned());
    made(ledger.approval_deny(Decision { reason, ..decision(&open.id, ALICE, NOW) }).await.unwrap());
    let SubmitOutcome::Denied(denied) = ledger.approval_submit(ask(1, NOW + memory - 1)).await.unwrap()
    else {
        panic!("not denied")
    };
    assert_eq!((denied.id, denied.decided_by.as_deref()), (open.id.clone(), Some(ALICE)));
    assert_eq!(denied.reason.as_deref(), Some("not on a Friday"), "the agent is told why");
    created(ledger.approval_submit(ask(2, NOW + 1)).await.unwrap());
    let again = created(ledger.approval_submit(ask(1, NOW + memory)).await.unwrap());
    assert_ne!(again.id, open.id);
    // What was asked and what was decided are both still there.
    assert_eq!(steps(&*ledger, &open.id).await, ["approval_request", "approval_deny"]);
    let events = ledger.approval_events(&open.id).await.unwrap();
    assert!(events[1].data.contains("not on a Friday"), "{events:?}");
    assert_eq!((events[1].actor.as_str(), events[1].via), (ALICE, DecidedVia::Cli));
}

async fn what_nobody_answered_was_not_denied_and_can_be_asked_again(open: Open<'_>) {
    let ledger = open();
    let first = pending(&*ledger, 1, NOW).await;
    let second = created(ledger.approval_submit(ask(1, NOW + TTL)).await.unwrap());
    assert_ne!(second.id, first.id);
    let missed = ledger.approval_fetch(&first.id, NOW + TTL).await.unwrap().unwrap();
    assert_eq!(missed.status, ApprovalStatus::Expired);
    assert_eq!((missed.decided_by, missed.decided_via, missed.decided_at), (None, None, None));
    assert_eq!(steps(&*ledger, &first.id).await, ["approval_request", "approval_expire"]);
    let events: Vec<_> = told(&*ledger).await.into_iter().map(|told| told["event"].clone()).collect();
    assert_eq!(events, ["approval_requested", "approval_expired", "approval_requested"]);
}

async fn what_was_used_denied_or_expired_is_never_used_again(open: Open<'_>) {
    let ledger = open();
    let used = in_use(&*ledger, 1, NOW).await;
    let next = created(ledger.approval_submit(ask(1, NOW + 1)).await.unwrap());
    assert_ne!(next.id, used.id, "one yes is one use");
    let ready = approved(&*ledger, 2, NOW).await;
    created(ledger.approval_submit(ask(2, NOW + USE_TTL)).await.unwrap());
    assert_eq!(status(&*ledger, &ready.id, NOW).await, ApprovalStatus::Expired);
    let late = ledger.approval_consume(using(&ready, NOW + 1)).await.unwrap();
    assert!(matches!(late, ConsumeOutcome::NotApproved(_)), "also for one whose clock is behind: {late:?}");
}

async fn only_what_asks_people_counts_towards_the_rate(open: Open<'_>) {
    let ledger = open();
    let rate = Rate { count: 3, window: 10_000 };
    let rules = ApprovalRules { rate: Some(rate), fatigue: None, ..ApprovalRules::default() };
    let ask = |fingerprint, now| ApprovalRequest { rules: rules.clone(), ..ask(fingerprint, now) };
    let one = created(ledger.approval_submit(ask(1, NOW)).await.unwrap());
    for now in NOW..NOW + 20 {
        assert!(matches!(ledger.approval_submit(ask(1, now)).await.unwrap(), SubmitOutcome::Reused(_)));
    }
    made(ledger.approval_deny(decision(&one.id, ALICE, NOW)).await.unwrap());
    for now in NOW..NOW + 20 {
        assert!(matches!(ledger.approval_submit(ask(1, now)).await.unwrap(), SubmitOutcome::Denied(_)));
    }
    created(ledger.approval_submit(ask(2, NOW + 100)).await.unwrap());
    let three = created(ledger.approval_submit(ask(3, NOW + 200)).await.unwrap());
    for fingerprint in 4..10 {
        let refused = ledger.approval_submit(ask(fingerprint, NOW + 300)).await.unwrap();
        let expected = SubmitOutcome::RateLimited { remaining: 0, window: 10_000, retry_at: NOW + 10_000 };
        assert_eq!(refused, expected);
    }
    // What is known already is answered all the same.
    made(ledger.approval_approve(decision(&three.id, ALICE, NOW + 300)).await.unwrap());
    let_through(ledger.approval_submit(ask(3, NOW + 301)).await.unwrap());
    let other = ApprovalRequest { rate_key: "mail".to_owned(), ..ask(4, NOW + 302) };
    created(ledger.approval_submit(other).await.unwrap());
    let early = ledger.approval_submit(ask(5, NOW + 9_999)).await.unwrap();
    assert!(matches!(early, SubmitOutcome::RateLimited { .. }), "{early:?}");
    created(ledger.approval_submit(ask(5, NOW + 10_000)).await.unwrap());
    let next = ledger.approval_submit(ask(6, NOW + 10_000)).await.unwrap();
    let expected = SubmitOutcome::RateLimited { remaining: 0, window: 10_000, retry_at: NOW + 10_100 };
    assert_eq!(next, expected, "what was refused took no place");
}

async fn another_name_for_an_action_is_no_new_allowance(open: Open<'_>) {
    let ledger = open();
    let renamed = |fingerprint: u8, rate_key: &str| ApprovalRequest {
        action: format!("charge-{fingerprint}"),
        rate_key: rate_key.to_owned(),
        rules: ApprovalRules { rate: Some(Rate { count: 4, window: 10_000 }), ..ApprovalRules::default() },
        ..ask(fingerprint, NOW)
    };
    for fingerprint in 0..4 {
        created(ledger.approval_submit(renamed(fingerprint, "other")).await.unwrap());
    }
    let refused = ledger.approval_submit(renamed(4, "other")).await.unwrap();
    assert!(matches!(refused, SubmitOutcome::RateLimited { .. }), "{refused:?}");
    // And whatever they are counted as, people are asked so often by one bottle and no more.
    for fingerprint in 10..21 {
        created(ledger.approval_submit(renamed(fingerprint, &format!("key-{fingerprint}"))).await.unwrap());
    }
    let refused = ledger.approval_submit(renamed(21, "key-21")).await.unwrap();
    assert_eq!(refused, SubmitOutcome::Fatigued { asked: 15, window: 3_600_000 });
    let elsewhere = ApprovalRequest { bottle: "quiet".parse().unwrap(), ..renamed(21, "key-21") };
    created(ledger.approval_submit(elsewhere).await.unwrap());
    let later =
        ApprovalRequest { now: NOW + 3_600_000, decision_expires_at: NOW + 4_000_000, ..renamed(21, "x") };
    created(ledger.approval_submit(later).await.unwrap());
}

async fn a_bottle_has_so_many_pending_and_those_that_ended_do_not_count(open: Open<'_>) {
    let ledger = open();
    let rules = ApprovalRules { max_pending: 2, rate: None, fatigue: None, ..ApprovalRules::default() };
    let ask = |fingerprint, now| ApprovalRequest { rules: rules.clone(), ..ask(fingerprint, now) };
    let one = created(ledger.approval_submit(ask(1, NOW)).await.unwrap());
    created(ledger.approval_submit(ask(2, NOW + 5)).await.unwrap());
    let full = SubmitOutcome::TooManyPending { pending: 2 };
    assert_eq!(ledger.approval_submit(ask(3, NOW + 5)).await.unwrap(), full);
    made(ledger.approval_deny(decision(&one.id, ALICE, NOW + 5)).await.unwrap());
    let three = created(ledger.approval_submit(ask(3, NOW + 5)).await.unwrap());
    assert_eq!(ledger.approval_submit(ask(4, NOW + 5)).await.unwrap(), full);
    assert_eq!(ledger.approval_list(of_status(ApprovalStatus::Pending, NOW + 5)).await.unwrap().len(), 2);
    // Their time is over, though nobody has swept.
    let later = NOW + 5 + TTL;
    assert_eq!(ledger.approval_list(of_status(ApprovalStatus::Pending, later)).await.unwrap(), []);
    created(ledger.approval_submit(ask(4, later)).await.unwrap());
    let expired = ledger.approval_list(of_status(ApprovalStatus::Expired, later)).await.unwrap();
    assert_eq!(expired.len(), 2);
    assert!(expired.iter().any(|one| one.id == three.id && one.status == ApprovalStatus::Expired));
}

async fn what_is_asked_outlives_the_process_that_asked(open: Open<'_>) {
    let ledger = open();
    let waiting = pending(&*ledger, 1, NOW).await;
    let ready = approved(&*ledger, 2, NOW).await;
    let used = in_use(&*ledger, 3, NOW).await;
    drop(ledger);
    let ledger = open();
    for (approval, expected) in [
        (&waiting, ApprovalStatus::Pending),
        (&ready, ApprovalStatus::Approved),
        (&used, ApprovalStatus::Consumed),
    ] {
        assert_eq!(ledger.approval_fetch(&approval.id, NOW).await.unwrap().as_ref(), Some(approval));
        assert_eq!(approval.status, expected);
    }
    let again = ledger.approval_approve(decision(&used.id, ALICE, NOW)).await.unwrap();
    assert_eq!(again, Decided::Repeated(used), "what was decided is known for as long as it is kept");
    let_through(ledger.approval_submit(ask(2, NOW)).await.unwrap());
}

async fn what_is_told_outside_shows_no_depth_and_stays_on_its_line(open: Open<'_>) {
    let ledger = open();
    let asked = ApprovalRequest {
        description: "pay\nstatus: approved\u{202e}".to_owned(),
        details: json!({"to": "x".repeat(200), "card": {"number": "4242"}, "n": 1}),
        ..ask(1, NOW)
    };
    let asked = created(ledger.approval_submit(asked).await.unwrap());
    let told = told(&*ledger).await.remove(0);
    let approval = &told["approval"];
    assert_eq!(approval["id"], json!(asked.id));
    assert_eq!(approval["description"], "pay status: approved");
    assert_eq!(
        approval["preview"],
        json!({"to": format!("{}…", "x".repeat(79)), "card": "[redacted]", "n": 1})
    );
    assert_eq!((&approval["tier"], &approval["action_digest"]), (&json!(3), &json!(asked.fingerprint)));
}

async fn pages_of_a_list_follow_each_other(open: Open<'_>) {
    let ledger = open();
    for fingerprint in 0..25 {
        pending(&*ledger, fingerprint, NOW).await;
    }
    let other = ApprovalRequest { bottle: "other".parse().unwrap(), ..ask(99, NOW) };
    created(ledger.approval_submit(other).await.unwrap());
    let mut seen = BTreeMap::new();
    let mut query = ApprovalQuery { bottle: Some("ci".parse().unwrap()), most: 10, ..all(NOW) };
    for status in [None, Some(ApprovalStatus::Pending)] {
        (query.status, query.before) = (status, None);
        let mut lengths = Vec::new();
        loop {
            let page = ledger.approval_list(query.clone()).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.is_sorted_by(|one, next| one.seq > next.seq));
            query.before = Some(last.seq);
            lengths.push(page.len());
            page.into_iter().for_each(|one| *seen.entry(one.id).or_insert(0) += 1);
        }
        assert_eq!(lengths, [10, 10, 5]);
    }
    assert!(seen.len() == 25 && seen.values().all(|times| *times == 2));
}
