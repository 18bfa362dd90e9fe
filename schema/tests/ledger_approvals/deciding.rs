//! Deciding: who may, until when, and how often.

use crate::ledger_support::{NOW, Open};
use crate::support::*;
use hudson_schema::ledger::*;
use serde_json::json;

story! { sqlite, crate::support::tell:
    only_the_ways_of_the_state_machine_lead_on
    nothing_is_decided_after_its_time
    the_same_decision_by_the_same_person_is_the_same_and_any_other_a_conflict
    whoever_asks_cannot_decide
    what_cannot_be_undone_is_approved_only_with_a_reason
    as_many_different_people_must_approve_as_was_asked_for
    where_a_rule_names_who_decides_nobody_else_does
    an_edit_is_bound_to_what_was_edited_and_voids_earlier_votes
    what_a_killed_bottle_asked_for_is_taken_back
    who_waits_is_woken_by_a_decision_and_not_by_a_repeated_question
    an_unknown_approval_is_an_answer
}

/// What can be done to an approval, and whether that changed it.
async fn try_all(ledger: &dyn Ledger, id: &ApprovalId, what: &str, now: i64) -> bool {
    let is_made = |decided| matches!(decided, Decided::Made(_));
    let stands = ledger.approval_fetch(id, now).await.unwrap().unwrap();
    let edit =
        ApprovalEdit { fingerprint: Fingerprint([200; 32]), description: String::new(), details: json!({}) };
    match what {
        "approve" => is_made(ledger.approval_approve(decision(id, BOB, now)).await.unwrap()),
        "modify" => is_made(ledger.approval_modify(decision(id, BOB, now), edit).await.unwrap()),
        "deny" => is_made(ledger.approval_deny(decision(id, BOB, now)).await.unwrap()),
        "revoke" => is_made(ledger.approval_revoke(decision(id, BOB, now)).await.unwrap()),
        "consume" => {
            let outcome = ledger.approval_consume(using(&stands, now)).await.unwrap();
            matches!(outcome, ConsumeOutcome::Consumed(_))
        }
        "rollback" => ledger.approval_rollback(&stands.latest_use(), now).await.unwrap(),
        "finish" => {
            ledger.approval_finish(&stands.latest_use(), ExecutionEnd::Executed, "", now).await.unwrap()
        }
        "cancel" => {
            ledger.approval_cancel(ApprovalCancel { id: Some(id.clone()), ..cancel_all(now) }).await.unwrap()
                > 0
        }
        _ => panic!("{what}"),
    }
}

async fn only_the_ways_of_the_state_machine_lead_on(open: Open<'_>) {
    use ApprovalStatus::*;
    let ledger = open();
    let ways = ["approve", "modify", "deny", "revoke", "consume", "rollback", "finish", "cancel"];
    // The way to each status, and what leads on from it, to where.
    type Leads<'a> = &'a [(&'a str, ApprovalStatus)];
    let table: [(&[&str], ApprovalStatus, Leads<'_>); 9] = [
        (
            &[],
            Pending,
            &[("approve", Approved), ("modify", Approved), ("deny", Denied), ("cancel", Cancelled)],
        ),
        (&["approve"], Approved, &[("revoke", Revoked), ("consume", Consumed), ("cancel", Revoked)]),
        (&["approve", "consume"], Consumed, &[("rollback", Approved), ("finish", Consumed)]),
        (&["approve", "consume", "finish"], Consumed, &[]),
        (
            &["approve", "consume", "rollback"],
            Approved,
            &[("revoke", Revoked), ("consume", Consumed), ("cancel", Revoked)],
        ),
        (&["approve", "revoke"], Revoked, &[]),
        (&["approve", "cancel"], Revoked, &[]),
        (&["deny"], Denied, &[]),
        (&["cancel"], Cancelled, &[]),
    ];
    let mut fingerprint = 0;
    for (path, at, leads) in table {
        for way in ways {
            fingerprint += 1;
            let one = pending(&*ledger, fingerprint, NOW).await;
            for step in path {
                assert!(try_all(&*ledger, &one.id, step, NOW).await, "{path:?}");
            }
            assert_eq!(status(&*ledger, &one.id, NOW).await, at, "{path:?}");
            let to = leads.iter().find(|(name, _)| *name == way).map(|(_, to)| *to);
            assert_eq!(try_all(&*ledger, &one.id, way, NOW).await, to.is_some(), "{path:?}, then {way}");
            assert_eq!(status(&*ledger, &one.id, NOW).await, to.unwrap_or(at), "{path:?}, then {way}");
        }
    }
    // Nothing leads on from what time has ended.
    for way in ways {
        fingerprint += 1;
        let missed = pending(&*ledger, fingerprint, NOW).await;
        fingerprint += 1;
        let unused = approved(&*ledger, fingerprint, NOW).await;
        for (one, over) in [(missed, NOW + TTL), (unused, NOW + USE_TTL)] {
            assert_eq!(try_all(&*ledger, &one.id, way, over).await, way == "cancel", "{way}");
            assert_eq!(status(&*ledger, &one.id, over).await, Expired, "{way}");
        }
    }
}

async fn nothing_is_decided_after_its_time(open: Open<'_>) {
    let ledger = open();
    for (fingerprint, late) in [(1, 0), (2, 1), (3, 1_000_000)] {
        let open = pending(&*ledger, fingerprint, NOW).await;
        let over = NOW + TTL + late;
        // Nobody has swept; whoever looks is told.
        assert_eq!(status(&*ledger, &open.id, over).await, ApprovalStatus::Expired);
        for decided in [
            ledger.approval_approve(decision(&open.id, ALICE, over)).await.unwrap(),
            ledger.approval_deny(decision(&open.id, ALICE, over)).await.unwrap(),
            // Once it is said it stays so, for whoever's clock.
            ledger.approval_approve(decision(&open.id, ALICE, NOW)).await.unwrap(),
        ] {
            let Decided::Expired(expired) = decided else { panic!("{decided:?}") };
            assert_eq!((expired.status, expired.decided_by), (ApprovalStatus::Expired, None));
        }
    }
    let ready = approved(&*ledger, 4, NOW).await;
    let late = ledger.approval_consume(using(&ready, NOW + USE_TTL)).await.unwrap();
    assert!(matches!(late, ConsumeOutcome::NotApproved(one) if one.status == ApprovalStatus::Expired));
}

async fn the_same_decision_by_the_same_person_is_the_same_and_any_other_a_conflict(open: Open<'_>) {
    let ledger = open();
    let yes = approved(&*ledger, 1, NOW).await;
    let no = pending(&*ledger, 2, NOW).await;
    let no = made(ledger.approval_deny(decision(&no.id, ALICE, NOW)).await.unwrap());
    let again = ledger.approval_approve(decision(&yes.id, ALICE, NOW + 1)).await.unwrap();
    assert_eq!(again, Decided::Repeated(yes.clone()));
    let again = ledger.approval_deny(decision(&no.id, ALICE, NOW + 1)).await.unwrap();
    assert_eq!(again, Decided::Repeated(no.clone()));
    for conflict in [
        ledger.approval_deny(decision(&yes.id, ALICE, NOW + 1)).await.unwrap(),
        ledger.approval_approve(decision(&yes.id, BOB, NOW + 1)).await.unwrap(),
        ledger.approval_approve(decision(&no.id, ALICE, NOW + 1)).await.unwrap(),
        ledger.approval_deny(decision(&no.id, BOB, NOW + 1)).await.unwrap(),
    ] {
        assert!(matches!(conflict, Decided::Conflict(_)), "{conflict:?}");
    }
    assert_eq!(ledger.approval_fetch(&yes.id, NOW).await.unwrap(), Some(yes));
    assert_eq!(ledger.approval_fetch(&no.id, NOW).await.unwrap(), Some(no));
}

async fn whoever_asks_cannot_decide(open: Open<'_>) {
    let ledger = open();
    let open = pending(&*ledger, 1, NOW).await;
    let own =
        || Decision { claimed_by: Some("the boss".to_owned()), ..decision(&open.id, &open.requester, NOW) };
    let edit = ApprovalEdit { fingerprint: open.fingerprint, description: String::new(), details: json!({}) };
    for decided in [
        ledger.approval_approve(own()).await.unwrap(),
        ledger.approval_deny(own()).await.unwrap(),
        ledger.approval_modify(own(), edit).await.unwrap(),
        ledger.approval_revoke(own()).await.unwrap(),
    ] {
        assert_eq!(decided, Decided::Refused(DecisionRefusal::Requester));
    }
    assert_eq!(ledger.approval_fetch(&open.id, NOW).await.unwrap(), Some(open.clone()));
    // What a decision calls its author is kept apart from who that is.
    let claimed = Decision { claimed_by: Some("the boss".to_owned()), ..decision(&open.id, ALICE, NOW) };
    let decided = made(ledger.approval_approve(claimed).await.unwrap());
    assert_eq!(
        (decided.decided_by.as_deref(), decided.claimed_by.as_deref()),
        (Some(ALICE), Some("the boss"))
    );
}

async fn what_cannot_be_undone_is_approved_only_with_a_reason(open: Open<'_>) {
    let ledger = open();
    let critical = ApprovalRequest { tier: Tier::Critical, ..ask(1, NOW) };
    let open = created(ledger.approval_submit(critical).await.unwrap());
    for reason in [None, Some("  ".to_owned())] {
        let decided =
            ledger.approval_approve(Decision { reason, ..decision(&open.id, ALICE, NOW) }).await.unwrap();
        assert_eq!(decided, Decided::Refused(DecisionRefusal::ReasonRequired));
    }
    made(ledger.approval_approve(decision(&open.id, ALICE, NOW)).await.unwrap());
    // A no needs none.
    let critical = ApprovalRequest { tier: Tier::Critical, ..ask(2, NOW) };
    let open = created(ledger.approval_submit(critical).await.unwrap());
    made(ledger.approval_deny(Decision { reason: None, ..decision(&open.id, ALICE, NOW) }).await.unwrap());
}

async fn where_a_rule_names_who_decides_nobody_else_does(open: Open<'_>) {
    let ledger = open();
    let named = |fingerprint| ApprovalRequest { deciders: vec![BOB.to_owned()], ..ask(fingerprint, NOW) };
    let open = created(ledger.approval_submit(named(1)).await.unwrap());
    let by_alice = decision(&open.id, ALICE, NOW);
    let refused = Decided::Refused(DecisionRefusal::NotNamed);
    assert_eq!(ledger.approval_approve(by_alice.clone()).await.unwrap(), refused);
    assert_eq!(ledger.approval_deny(by_alice).await.unwrap(), refused);
    assert_eq!(status(&*ledger, &open.id, NOW).await, ApprovalStatus::Pending);
    made(ledger.approval_approve(decision(&open.id, BOB, NOW)).await.unwrap());
    // Nor does a grant of somebody else's answer for them.
    assert!(!named(2).is_bypassable() && ask(2, NOW).is_bypassable());
}

async fn as_many_different_people_must_approve_as_was_asked_for(open: Open<'_>) {
    let ledger = open();
    let two = |fingerprint| ApprovalRequest { approvers: 2, ..ask(fingerprint, NOW) };
    let open = created(ledger.approval_submit(two(1)).await.unwrap());
    for _ in 0..3 {
        let decided = ledger.approval_approve(decision(&open.id, ALICE, NOW)).await.unwrap();
        assert!(matches!(decided, Decided::Awaiting { missing: 1, .. }), "{decided:?}");
        let used = ledger.approval_consume(using(&open, NOW)).await.unwrap();
        assert!(matches!(used, ConsumeOutcome::NotApproved(_)), "{used:?}");
    }
    let decided = made(ledger.approval_approve(decision(&open.id, BOB, NOW + 1)).await.unwrap());
    assert_eq!((decided.status, decided.use_expires_at), (ApprovalStatus::Approved, Some(NOW + 1 + USE_TTL)));
    assert_eq!(steps(&*ledger, &open.id).await, ["approval_request", "approval_vote", "approval_approve"]);
    // One no is enough.
    let open = created(ledger.approval_submit(two(2)).await.unwrap());
    ledger.approval_approve(decision(&open.id, ALICE, NOW)).await.unwrap();
    made(ledger.approval_deny(decision(&open.id, BOB, NOW)).await.unwrap());
}

async fn an_edit_is_bound_to_what_was_edited_and_voids_earlier_votes(open: Open<'_>) {
    let ledger = open();
    let edited = |fingerprint| ApprovalEdit {
        fingerprint: Fingerprint([fingerprint; 32]),
        description: "less, for people".to_owned(),
        details: json!({"amount": 5}),
    };
    let open = pending(&*ledger, 1, NOW).await;
    let changed = made(ledger.approval_modify(decision(&open.id, ALICE, NOW), edited(2)).await.unwrap());
    assert_eq!((changed.fingerprint, &changed.details), (Fingerprint([2; 32]), &json!({"amount": 5})));
    let original = ledger.approval_consume(using(&open, NOW)).await.unwrap();
    assert!(matches!(original, ConsumeOutcome::OtherRequest(_)), "{original:?}");
    consumed(ledger.approval_consume(using(&changed, NOW)).await.unwrap());

    let open =
        created(ledger.approval_submit(ApprovalRequest { approvers: 2, ..ask(3, NOW) }).await.unwrap());
    ledger.approval_approve(decision(&open.id, ALICE, NOW)).await.unwrap();
    let decided = ledger.approval_modify(decision(&open.id, BOB, NOW), edited(4)).await.unwrap();
    assert!(
        matches!(decided, Decided::Awaiting { missing: 1, .. }),
        "she approved something else: {decided:?}"
    );
    made(ledger.approval_approve(decision(&open.id, ALICE, NOW)).await.unwrap());
}

async fn what_a_killed_bottle_asked_for_is_taken_back(open: Open<'_>) {
    let ledger = open();
    let waiting = pending(&*ledger, 1, NOW).await;
    let ready = approved(&*ledger, 2, NOW).await;
    let using = in_use(&*ledger, 3, NOW).await;
    let done = in_use(&*ledger, 4, NOW).await;
    ledger.approval_finish(&done.latest_use(), ExecutionEnd::Executed, "200", NOW).await.unwrap();
    let other = ApprovalRequest { bottle: "other".parse().unwrap(), ..ask(5, NOW) };
    let other = created(ledger.approval_submit(other).await.unwrap());
    assert_eq!(ledger.approval_cancel(cancel_all(NOW)).await.unwrap(), 2);
    assert_eq!(ledger.approval_cancel(cancel_all(NOW)).await.unwrap(), 0, "once");
    let cancelled = ledger.approval_fetch(&waiting.id, NOW).await.unwrap().unwrap();
    assert_eq!(cancelled.status, ApprovalStatus::Cancelled);
    assert_eq!((cancelled.decided_by, cancelled.reason.as_deref()), (None, Some("the bottle was killed")));
    assert_eq!(status(&*ledger, &ready.id, NOW).await, ApprovalStatus::Revoked);
    assert_eq!(status(&*ledger, &other.id, NOW).await, ApprovalStatus::Pending);
    // What was under way when the bottle was killed is not left lying about for the next that bears its name.
    assert!(ledger.approval_rollback(&using.latest_use(), NOW).await.unwrap());
    let back = ledger.approval_fetch(&using.id, NOW).await.unwrap().unwrap();
    assert_eq!((back.status, back.execution), (ApprovalStatus::Revoked, Some(Execution::NotSent)));
    assert!(!steps(&*ledger, &done.id).await.contains(&"approval_withdraw".to_owned()));
}

async fn who_waits_is_woken_by_a_decision_and_not_by_a_repeated_question(open: Open<'_>) {
    let ledger = open();
    let mut changes = ledger.changes();
    let open = pending(&*ledger, 1, NOW).await;
    assert!(changes.has_changed().unwrap(), "who shows it is woken");
    // The watch's own first look comes as well, late where the machine is busy.
    let quiet = std::time::Duration::from_millis(500);
    while tokio::time::timeout(quiet, changes.changed()).await.is_ok() {}
    for now in 1..4 {
        ledger.approval_submit(ask(1, NOW + now)).await.unwrap();
    }
    // Nor by what looks for the commits of other processes.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!changes.has_changed().unwrap());
    made(ledger.approval_approve(decision(&open.id, ALICE, NOW)).await.unwrap());
    assert!(changes.has_changed().unwrap(), "who waits is woken");
    assert_eq!(status(&*ledger, &open.id, NOW).await, ApprovalStatus::Approved, "and then reads it");
}

async fn an_unknown_approval_is_an_answer(open: Open<'_>) {
    let ledger = open();
    let known = pending(&*ledger, 1, NOW).await;
    let id = ApprovalId::of_random([9; 16]);
    assert_eq!(ledger.approval_fetch(&id, NOW).await.unwrap(), None);
    assert_eq!(ledger.approval_approve(decision(&id, ALICE, NOW)).await.unwrap(), Decided::Unknown);
    assert_eq!(ledger.approval_deny(decision(&id, ALICE, NOW)).await.unwrap(), Decided::Unknown);
    assert_eq!(ledger.approval_revoke(decision(&id, ALICE, NOW)).await.unwrap(), Decided::Unknown);
    let used = ConsumeRequest { id: id.clone(), ..using(&known, NOW) };
    assert_eq!(ledger.approval_consume(used).await.unwrap(), ConsumeOutcome::Unknown);
    let used = ApprovalUse { id, attempt: 1 };
    assert!(!ledger.approval_rollback(&used, NOW).await.unwrap());
    assert!(!ledger.approval_finish(&used, ExecutionEnd::Executed, "", NOW).await.unwrap());
}
