//! Two at once: of what can happen only once, one does it.

use crate::ledger_support::{NOW, Open};
use crate::support::*;
use hudson_schema::ledger::*;

story! { sqlite, crate::support::tell:
    of_two_processes_one_uses_an_approval
    of_two_processes_one_is_let_through_by_the_last_use_of_a_grant
    at_the_moment_of_expiry_there_is_one_outcome
    of_yes_and_no_at_once_one_is_decided
    asked_by_many_at_once_people_are_asked_once
}

async fn of_two_processes_one_uses_an_approval(open: Open<'_>) {
    let (ledger, other) = (open(), open());
    for round in 0..200 {
        let ready = approved(&*ledger, round, NOW).await;
        // One by its id, one by asking for the same again.
        let consume = ledger.approval_consume(using(&ready, NOW));
        let submit = other.approval_submit(ask_freely(round, NOW));
        let (by_id, by_asking) =
            tokio::join!(async { matches!(consume.await.unwrap(), ConsumeOutcome::Consumed(_)) }, async {
                matches!(submit.await.unwrap(), SubmitOutcome::Approved(_))
            });
        assert!(by_id ^ by_asking, "{round}: {by_id} {by_asking}");
        let used = ledger.approval_fetch(&ready.id, NOW).await.unwrap().unwrap();
        assert_eq!((used.status, used.attempt), (ApprovalStatus::Consumed, 1));
        let handles = [&ledger, &other].map(|ledger| {
            let (ledger, request) = (ledger.clone(), using(&ready, NOW));
            tokio::spawn(async move { ledger.approval_consume(request).await.unwrap() })
        });
        for handle in handles {
            assert!(matches!(handle.await.unwrap(), ConsumeOutcome::NotApproved(_)));
        }
    }
}

async fn of_two_processes_one_is_let_through_by_the_last_use_of_a_grant(open: Open<'_>) {
    let ledgers = [open(), open()];
    let grant = |now| NewGrant {
        scope: GrantScope::Global,
        kind: ApprovalKind::Http,
        action: "charge".to_owned(),
        target: None,
        finding: None,
        max_uses: Some(1),
        expires_at: Some(now + 60_000),
        actor: ALICE.to_owned(),
        via: DecidedVia::Cli,
        reason: None,
        now,
    };
    for round in 0..50 {
        ledgers[0].grant_insert(grant(NOW)).await.unwrap();
        let tasks = [0, 1].map(|index: usize| {
            let ledger = ledgers[index].clone();
            let request = ask_freely(100 * u8::from(index == 1) + round, NOW);
            tokio::spawn(async move { ledger.approval_submit(request).await.unwrap() })
        });
        let mut through = 0;
        for task in tasks {
            through += usize::from(matches!(task.await.unwrap(), SubmitOutcome::Approved(_)));
        }
        assert_eq!(through, 1, "{round}");
    }
}

async fn at_the_moment_of_expiry_there_is_one_outcome(open: Open<'_>) {
    let (ledger, other) = (open(), open());
    let (mut yes, mut over) = (0, 0);
    for round in 0..1_000 {
        let now = NOW + 10 * TTL * i64::from(round);
        let waiting = pending(&*ledger, 1, now).await;
        // A millisecond before, by one clock; the end, and a millisecond after, by others.
        let (before, after) = (waiting.decision_expires_at - 1, waiting.decision_expires_at + 1);
        let (here, there) = (ledger.clone(), other.clone());
        let approve = decision(&waiting.id, ALICE, before);
        let late = decision(&waiting.id, BOB, after);
        let in_time = tokio::spawn(async move { here.approval_approve(approve).await.unwrap() });
        let too_late = tokio::spawn(async move {
            match round % 2 {
                0 => there.approval_approve(late).await.unwrap(),
                _ => {
                    let swept = there.approval_expire(sweep(late.now - 1)).await.unwrap();
                    assert!(swept.expired <= 1);
                    there.approval_approve(late).await.unwrap()
                }
            }
        });
        let (in_time, too_late) = (in_time.await.unwrap(), too_late.await.unwrap());
        let end = ledger.approval_fetch(&waiting.id, before).await.unwrap().unwrap();
        match in_time {
            Decided::Made(_) => {
                assert_eq!(end.status, ApprovalStatus::Approved, "{round}");
                assert!(matches!(too_late, Decided::Conflict(_)), "{round}: {too_late:?}");
                yes += 1;
            }
            Decided::Expired(_) => {
                assert_eq!((end.status, end.decided_by), (ApprovalStatus::Expired, None), "{round}");
                assert!(matches!(too_late, Decided::Expired(_)), "{round}: {too_late:?}");
                over += 1;
            }
            other => panic!("{round}: {other:?}"),
        }
        assert_eq!(steps(&*ledger, &waiting.id).await.len(), 2, "{round}: asked, and one end");
        ledger.approval_cancel(cancel_all(now)).await.unwrap();
    }
    assert_eq!(yes + over, 1_000);
    println!("{yes} approved in time, {over} expired before");
}

async fn of_yes_and_no_at_once_one_is_decided(open: Open<'_>) {
    let (ledger, other) = (open(), open());
    for round in 0..100 {
        let waiting = pending(&*ledger, round, NOW).await;
        let (yes, no) = tokio::join!(
            ledger.approval_approve(decision(&waiting.id, ALICE, NOW)),
            other.approval_deny(decision(&waiting.id, BOB, NOW))
        );
        let (yes, no) = (yes.unwrap(), no.unwrap());
        let made = [&yes, &no].map(|decided| matches!(decided, Decided::Made(_)));
        assert!(made[0] ^ made[1], "{yes:?} {no:?}");
        let expected = if made[0] { ApprovalStatus::Approved } else { ApprovalStatus::Denied };
        assert_eq!(status(&*ledger, &waiting.id, NOW).await, expected);
    }
}

async fn asked_by_many_at_once_people_are_asked_once(open: Open<'_>) {
    let ledgers = [open(), open()];
    let mut asking = tokio::task::JoinSet::new();
    for index in 0..40 {
        let ledger = ledgers[index % 2].clone();
        asking.spawn(async move { ledger.approval_submit(ask(1, NOW)).await.unwrap() });
    }
    let outcomes = asking.join_all().await;
    assert_eq!(outcomes.iter().filter(|one| matches!(one, SubmitOutcome::Created(_))).count(), 1);
    assert_eq!(outcomes.iter().filter(|one| matches!(one, SubmitOutcome::Reused(_))).count(), 39);
    assert_eq!(told(&*ledgers[0]).await.len(), 1);
}
