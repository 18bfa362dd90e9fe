//! Using: what was approved, once, and given back only when it was not sent.

use crate::ledger_support::{NOW, Open, open};
use crate::support::*;
use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::*;

story! { sqlite, crate::support::tell:
    every_step_leaves_an_event_and_a_row_of_the_audit
    what_was_approved_is_what_may_be_used
    an_approval_ends_with_the_policy_it_was_given_under
    what_was_not_sent_is_given_back_until_the_same_time
    what_may_have_happened_is_not_given_back
    a_use_that_was_given_back_cannot_end_the_next_one
    what_was_revoked_in_use_is_not_given_back
    a_sweep_writes_down_what_is_over_a_batch_at_a_time
    what_is_forgotten_leaves_its_events
    the_tables_themselves_refuse_what_must_not_be
    a_ledger_of_before_is_read_as_one_without_approvals
}

async fn every_step_leaves_an_event_and_a_row_of_the_audit(open: Open<'_>) {
    let ledger = open();
    let used = in_use(&*ledger, 1, NOW).await;
    assert_eq!(
        (used.status, used.attempt, used.execution),
        (ApprovalStatus::Consumed, 1, Some(Execution::Started))
    );
    assert!(ledger.approval_finish(&used.latest_use(), ExecutionEnd::Failed, "402", NOW + 9).await.unwrap());
    let expected = ["approval_request", "approval_approve", "approval_consume", "approval_finish"];
    assert_eq!(steps(&*ledger, &used.id).await, expected);
    let audit = ledger.audit_list(0, 99).await.unwrap();
    assert_eq!(audit.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(), expected);
    let actors: Vec<_> = audit.iter().map(|row| row.actor.as_str()).collect();
    assert_eq!(actors, ["run:r1", ALICE, "hudson", "hudson"]);
    let told: Vec<_> = told(&*ledger).await.into_iter().map(|told| told["event"].clone()).collect();
    assert_eq!(told, ["approval_requested", "approval_decided", "approval_consumed"]);
    let finished = ledger.approval_fetch(&used.id, NOW).await.unwrap().unwrap();
    assert_eq!(
        (finished.execution, finished.execution_detail.as_deref()),
        (Some(Execution::Failed), Some("402"))
    );
}

async fn what_was_approved_is_what_may_be_used(open: Open<'_>) {
    let ledger = open();
    let ready = approved(&*ledger, 1, NOW).await;
    let other = ConsumeRequest { fingerprint: Fingerprint([2; 32]), ..using(&ready, NOW) };
    let outcome = ledger.approval_consume(other).await.unwrap();
    assert_eq!(outcome, ConsumeOutcome::OtherRequest(ready.clone()), "and it stands");
    let other = ConsumeRequest { bottle: "other".parse().unwrap(), ..using(&ready, NOW) };
    assert_eq!(ledger.approval_consume(other).await.unwrap(), ConsumeOutcome::Unknown);
    created(ledger.approval_submit(ask(2, NOW)).await.unwrap());
    consumed(ledger.approval_consume(using(&ready, NOW)).await.unwrap());
    let again = ledger.approval_consume(using(&ready, NOW)).await.unwrap();
    assert!(matches!(again, ConsumeOutcome::NotApproved(one) if one.status == ApprovalStatus::Consumed));
}

async fn an_approval_ends_with_the_policy_it_was_given_under(open: Open<'_>) {
    let ledger = open();
    let ready = approved(&*ledger, 1, NOW).await;
    let reloaded = ConsumeRequest { policy_revision: "p2".to_owned(), ..using(&ready, NOW) };
    let outcome = ledger.approval_consume(reloaded).await.unwrap();
    assert!(
        matches!(&outcome, ConsumeOutcome::OtherPolicy(one) if one.status == ApprovalStatus::Revoked),
        "{outcome:?}"
    );
    let back = ledger.approval_consume(using(&ready, NOW)).await.unwrap();
    assert!(matches!(back, ConsumeOutcome::NotApproved(_)), "the old policy back in force: {back:?}");

    let (ready, waiting) = (approved(&*ledger, 2, NOW).await, pending(&*ledger, 3, NOW).await);
    for (fingerprint, old, ends) in
        [(2, ready, ApprovalStatus::Revoked), (3, waiting, ApprovalStatus::Cancelled)]
    {
        let asked = ApprovalRequest { policy_revision: "p2".to_owned(), ..ask(fingerprint, NOW) };
        let new = created(ledger.approval_submit(asked).await.unwrap());
        assert_eq!((status(&*ledger, &old.id, NOW).await, new.policy_revision.as_str()), (ends, "p2"));
    }
}

async fn what_was_not_sent_is_given_back_until_the_same_time(open: Open<'_>) {
    let ledger = open();
    let first = in_use(&*ledger, 1, NOW).await;
    assert!(ledger.approval_rollback(&first.latest_use(), NOW + 5).await.unwrap());
    let back = ledger.approval_fetch(&first.id, NOW + 5).await.unwrap().unwrap();
    assert_eq!(
        (back.status, back.use_expires_at),
        (ApprovalStatus::Approved, Some(NOW + USE_TTL)),
        "no longer than before"
    );
    assert_eq!((back.consumed_at, back.execution, back.ended_at), (None, None, None));
    let again = let_through(ledger.approval_submit(ask(1, NOW + 6)).await.unwrap());
    assert_eq!((&again.id, again.attempt), (&first.id, 2));
    assert!(ledger.approval_rollback(&again.latest_use(), NOW + USE_TTL).await.unwrap());
    let late = ledger.approval_consume(using(&again, NOW + USE_TTL)).await.unwrap();
    assert!(matches!(late, ConsumeOutcome::NotApproved(_)), "{late:?}");
}

async fn what_may_have_happened_is_not_given_back(open: Open<'_>) {
    let ledger = open();
    for (fingerprint, end) in (1..).zip(ExecutionEnd::ALL) {
        let used = in_use(&*ledger, fingerprint, NOW).await;
        assert!(ledger.approval_finish(&used.latest_use(), *end, "reset after headers", NOW).await.unwrap());
        assert!(
            !ledger.approval_finish(&used.latest_use(), ExecutionEnd::Executed, "", NOW).await.unwrap(),
            "once"
        );
        assert!(!ledger.approval_rollback(&used.latest_use(), NOW).await.unwrap());
        let ended = ledger.approval_fetch(&used.id, NOW).await.unwrap().unwrap();
        assert_eq!((ended.status, ended.execution), (ApprovalStatus::Consumed, Some((*end).into())));
        created(ledger.approval_submit(ask(fingerprint, NOW)).await.unwrap());
    }
}

async fn a_use_that_was_given_back_cannot_end_the_next_one(open: Open<'_>) {
    let ledger = open();
    let first = in_use(&*ledger, 1, NOW).await;
    assert!(ledger.approval_rollback(&first.latest_use(), NOW).await.unwrap());
    let second = consumed(ledger.approval_consume(using(&first, NOW)).await.unwrap());
    // Whoever gave the first back says so again, late.
    assert!(!ledger.approval_rollback(&first.latest_use(), NOW).await.unwrap());
    assert!(!ledger.approval_finish(&first.latest_use(), ExecutionEnd::Failed, "", NOW).await.unwrap());
    assert_eq!(ledger.approval_fetch(&second.id, NOW).await.unwrap(), Some(second));
}

async fn what_was_revoked_in_use_is_not_given_back(open: Open<'_>) {
    let ledger = open();
    let used = in_use(&*ledger, 1, NOW).await;
    for _ in 0..2 {
        let late = ledger.approval_revoke(decision(&used.id, ALICE, NOW)).await.unwrap();
        assert!(matches!(late, Decided::Conflict(_)), "it is under way: {late:?}");
    }
    assert!(ledger.approval_rollback(&used.latest_use(), NOW).await.unwrap());
    assert_eq!(status(&*ledger, &used.id, NOW).await, ApprovalStatus::Revoked);
    let steps = steps(&*ledger, &used.id).await;
    assert_eq!(steps[3..], ["approval_withdraw", "approval_rollback"]);
}

async fn a_sweep_writes_down_what_is_over_a_batch_at_a_time(open: Open<'_>) {
    let ledger = open();
    let ready = approved(&*ledger, 100, NOW).await;
    for fingerprint in 0..7 {
        pending(&*ledger, fingerprint, NOW + i64::from(fingerprint)).await;
    }
    let due = NOW + TTL + 4;
    let mut batches = Vec::new();
    loop {
        let swept = ledger.approval_expire(ApprovalSweep { most: 2, ..sweep(due) }).await.unwrap();
        batches.push(swept.expired);
        if swept.expired < 2 {
            break;
        }
    }
    assert_eq!(batches, [2, 2, 1]);
    assert_eq!(ledger.approval_list(of_status(ApprovalStatus::Pending, NOW)).await.unwrap().len(), 2);
    let swept = ledger.approval_expire(sweep(NOW + USE_TTL)).await.unwrap();
    assert_eq!(swept, Swept { expired: 3, forgotten: 0 });
    assert_eq!(status(&*ledger, &ready.id, NOW).await, ApprovalStatus::Expired);
    let decider = ledger.approval_fetch(&ready.id, NOW).await.unwrap().unwrap().decided_by;
    assert_eq!(decider.as_deref(), Some(ALICE), "who said yes is still known");
}

async fn what_is_forgotten_leaves_its_events(open: Open<'_>) {
    let ledger = open();
    let old = in_use(&*ledger, 1, NOW).await;
    let waiting = pending(&*ledger, 2, NOW).await;
    let swept =
        ledger.approval_expire(ApprovalSweep { forget_before: Some(NOW), ..sweep(NOW) }).await.unwrap();
    assert_eq!(swept, Swept::default(), "not yet");
    let forget = ApprovalSweep { forget_before: Some(NOW + 1), ..sweep(NOW + 1) };
    assert_eq!(ledger.approval_expire(forget).await.unwrap(), Swept { expired: 0, forgotten: 1 });
    assert_eq!(ledger.approval_fetch(&old.id, NOW).await.unwrap(), None);
    assert_eq!(steps(&*ledger, &old.id).await.len(), 3);
    assert_eq!(status(&*ledger, &waiting.id, NOW).await, ApprovalStatus::Pending);
}

async fn the_tables_themselves_refuse_what_must_not_be(_: Open<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let used = in_use(&*ledger, 1, NOW).await;
    ledger.approval_finish(&used.latest_use(), ExecutionEnd::Unknown, "", NOW).await.unwrap();
    let denied = pending(&*ledger, 2, NOW).await;
    made(ledger.approval_deny(decision(&denied.id, ALICE, NOW)).await.unwrap());
    let connection = rusqlite::Connection::open(dir.path().join("bot-bottle.db")).unwrap();
    for (statement, refusal) in [
        ("UPDATE approval_events SET actor = 'somebody'", "only ever appended to"),
        ("DELETE FROM approval_events", "only ever appended to"),
        ("UPDATE approvals SET status = 'approved' WHERE status = 'denied'", "no such transition"),
        ("UPDATE approvals SET status = 'approved' WHERE status = 'consumed'", "no such transition"),
        ("UPDATE approvals SET status = 'pending'", "no such transition"),
        ("UPDATE approvals SET status = 'maybe'", ""),
    ] {
        let error = connection.execute(statement, ()).unwrap_err().to_string();
        assert!(error.contains(refusal), "{statement}: {error}");
    }
}

async fn a_ledger_of_before_is_read_as_one_without_approvals(_: Open<'_>) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bot-bottle.db");
    drop(open(dir.path()));
    let older =
        "DROP TABLE approvals; DROP TABLE approval_votes; DROP TABLE approval_events; DROP TABLE grants;
        DROP TABLE approval_deciders; DROP TABLE counters; DROP TABLE counter_reservations;
        DELETE FROM schema_version WHERE version >= 7; PRAGMA user_version = 6;";
    rusqlite::Connection::open(&file).unwrap().execute_batch(older).unwrap();
    let reader = SqliteLedger::open_read_only(&file).unwrap();
    let id = ApprovalId::of_random([1; 16]);
    assert_eq!(reader.approval_list(all(NOW)).await.unwrap(), []);
    assert_eq!(reader.approval_fetch(&id, NOW).await.unwrap(), None);
    assert_eq!(reader.approval_events(&id).await.unwrap(), []);
    assert_eq!(reader.grant_list(GrantQuery::default()).await.unwrap(), []);
    // Whoever writes brings it up to date.
    let ledger = open(dir.path());
    pending(&*ledger, 1, NOW).await;
    assert_eq!(reader.approval_list(all(NOW)).await.unwrap().len(), 1);
}
