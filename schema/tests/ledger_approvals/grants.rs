//! Grants: what they let through, for how long, and what they never do.

use crate::ledger_support::{DAY, NOW, Open};
use crate::support::*;
use hudson_schema::ledger::*;

story! { sqlite, crate::support::tell:
    a_grant_lets_through_what_it_names_and_each_use_is_on_record
    a_grant_ends_with_its_uses_its_time_and_its_revocation
    a_grant_lets_nothing_else_through
    no_grant_lets_through_what_must_be_asked
    a_finding_goes_only_where_its_grant_says
    a_grant_is_bounded
    the_later_word_of_a_person_stands
    a_use_that_was_not_sent_is_given_back_to_its_grant
    the_narrowest_grant_is_used_first
    a_use_of_a_grant_asks_nobody_and_ends_the_question
}

fn grant(now: i64) -> NewGrant {
    NewGrant {
        scope: GrantScope::Bottle { bottle: "ci".parse().unwrap() },
        kind: ApprovalKind::Http,
        action: "charge".to_owned(),
        target: Some("api.stripe.com".to_owned()),
        finding: None,
        max_uses: None,
        expires_at: Some(now + 3_600_000),
        actor: ALICE.to_owned(),
        via: DecidedVia::Cli,
        reason: Some("the month's invoices".to_owned()),
        now,
    }
}

async fn granted(ledger: &dyn Ledger, new: NewGrant) -> Grant {
    match ledger.grant_insert(new).await.unwrap() {
        GrantOutcome::Made(grant) => *grant,
        GrantOutcome::Refused(refusal) => panic!("{refusal}"),
    }
}

async fn a_grant_lets_through_what_it_names_and_each_use_is_on_record(open: Open<'_>) {
    let ledger = open();
    let made = granted(&*ledger, grant(NOW)).await;
    for uses in 1..=3 {
        let used = let_through(ledger.approval_submit(ask(1, NOW)).await.unwrap());
        assert_eq!((used.status, used.grant.as_ref()), (ApprovalStatus::AutoApproved, Some(&made.id)));
        assert_eq!((used.decided_by.as_deref(), used.decided_via), (Some(ALICE), Some(DecidedVia::Grant)));
        // It can be looked up like any other, and says how it went.
        assert_eq!(ledger.approval_fetch(&used.id, NOW).await.unwrap().as_ref(), Some(&used));
        assert_eq!(steps(&*ledger, &used.id).await, ["approval_auto_approve"]);
        assert!(
            ledger.approval_finish(&used.latest_use(), ExecutionEnd::Executed, "200", NOW).await.unwrap()
        );
        let listed = ledger.grant_list(GrantQuery { now: NOW, ..GrantQuery::default() }).await.unwrap();
        assert_eq!((listed.len(), listed[0].uses), (1, uses));
    }
    let kinds: Vec<_> = ledger.audit_list(0, 99).await.unwrap().into_iter().map(|row| row.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "approval_auto_approve").count(), 3);
    assert_eq!(kinds[0], "grant_insert");
}

async fn a_grant_ends_with_its_uses_its_time_and_its_revocation(open: Open<'_>) {
    let (ledger, other) = (open(), open());
    let query = |now, ended| GrantQuery { bottle: Some("ci".parse().unwrap()), ended, now };
    granted(&*ledger, NewGrant { max_uses: Some(2), ..grant(NOW) }).await;
    let_through(ledger.approval_submit(ask(1, NOW)).await.unwrap());
    let_through(other.approval_submit(ask(2, NOW)).await.unwrap());
    created(ledger.approval_submit(ask(3, NOW)).await.unwrap());
    assert_eq!(ledger.grant_list(query(NOW, false)).await.unwrap(), []);

    granted(&*ledger, NewGrant { expires_at: Some(NOW + 60_000), ..grant(NOW) }).await;
    let_through(ledger.approval_submit(ask(4, NOW + 59_999)).await.unwrap());
    created(ledger.approval_submit(ask(5, NOW + 60_000)).await.unwrap());

    let later = NOW + 100_000;
    let revoked = granted(&*ledger, grant(later)).await;
    let_through(ledger.approval_submit(ask(6, later)).await.unwrap());
    assert!(other.grant_revoke(&revoked.id, BOB, later + 1).await.unwrap());
    assert!(!ledger.grant_revoke(&revoked.id, ALICE, later + 2).await.unwrap(), "once");
    created(ledger.approval_submit(ask(7, later + 1)).await.unwrap());

    assert_eq!(ledger.grant_list(query(later, false)).await.unwrap(), []);
    let ended = ledger.grant_list(query(later, true)).await.unwrap();
    assert_eq!(ended.len(), 3);
    assert_eq!((ended[0].revoked_at, ended[0].revoked_by.as_deref()), (Some(later + 1), Some(BOB)));
    assert!(!ledger.grant_revoke(&GrantId::of_random([1; 16]), ALICE, NOW).await.unwrap());
}

async fn a_grant_lets_nothing_else_through(open: Open<'_>) {
    let ledger = open();
    let session = GrantScope::Session { bottle: "ci".parse().unwrap(), session: "s1".to_owned() };
    granted(&*ledger, NewGrant { scope: session, ..grant(NOW) }).await;
    let others = [
        ApprovalRequest { bottle: "other".parse().unwrap(), ..ask(1, NOW) },
        ApprovalRequest { session: Some("s2".to_owned()), ..ask(2, NOW) },
        ApprovalRequest { session: None, ..ask(3, NOW) },
        ApprovalRequest { action: "refund".to_owned(), ..ask(4, NOW) },
        ApprovalRequest { target: "api.stripe.com.evil.test".to_owned(), ..ask(5, NOW) },
        ApprovalRequest { kind: ApprovalKind::Mcp, ..ask(6, NOW) },
        ApprovalRequest { finding: Some("f1".to_owned()), ..ask(7, NOW) },
    ];
    for other in others {
        created(ledger.approval_submit(other).await.unwrap());
    }
    let_through(ledger.approval_submit(ask(8, NOW)).await.unwrap());
}

async fn no_grant_lets_through_what_must_be_asked(open: Open<'_>) {
    let ledger = open();
    for action in HIGH_RISK_ACTIONS.into_iter().chain(["charge"]) {
        let everything =
            NewGrant { scope: GrantScope::Global, action: action.to_owned(), target: None, ..grant(NOW) };
        granted(&*ledger, everything).await;
    }
    let free = |fingerprint| ask_freely(fingerprint, NOW);
    for (fingerprint, action) in (1..).zip(HIGH_RISK_ACTIONS) {
        let risky = ApprovalRequest { action: action.to_owned(), ..free(fingerprint) };
        created(ledger.approval_submit(risky).await.unwrap());
    }
    created(ledger.approval_submit(ApprovalRequest { tier: Tier::Critical, ..free(50) }).await.unwrap());
    created(ledger.approval_submit(ApprovalRequest { bypassable: false, ..free(51) }).await.unwrap());
    let_through(ledger.approval_submit(free(52)).await.unwrap());
    // A person's yes to the very thing is no way round.
    let risky = || ApprovalRequest { action: "delete_data".to_owned(), ..free(53) };
    let asked = created(ledger.approval_submit(risky()).await.unwrap());
    made(ledger.approval_approve(decision(&asked.id, ALICE, NOW)).await.unwrap());
    assert_eq!(let_through(ledger.approval_submit(risky()).await.unwrap()).status, ApprovalStatus::Consumed);
}

async fn a_finding_goes_only_where_its_grant_says(open: Open<'_>) {
    let ledger = open();
    let found = |finding: &str, target: &str, fingerprint| ApprovalRequest {
        kind: ApprovalKind::Dlp,
        finding: Some(finding.to_owned()),
        target: target.to_owned(),
        ..ask(fingerprint, NOW)
    };
    let new = NewGrant { kind: ApprovalKind::Dlp, finding: Some("f1".to_owned()), ..grant(NOW) };
    let anywhere = ledger.grant_insert(NewGrant { target: None, ..new.clone() }).await.unwrap();
    assert_eq!(anywhere, GrantOutcome::Refused(GrantRefusal::AnyTarget));
    granted(&*ledger, new).await;
    created(ledger.approval_submit(found("f1", "evil.test", 1)).await.unwrap());
    created(ledger.approval_submit(found("f2", "api.stripe.com", 2)).await.unwrap());
    let_through(ledger.approval_submit(found("f1", "api.stripe.com", 3)).await.unwrap());
    created(
        ledger
            .approval_submit(ApprovalRequest {
                now: NOW + 3_600_000,
                decision_expires_at: NOW + 4_000_000,
                ..found("f1", "api.stripe.com", 4)
            })
            .await
            .unwrap(),
    );
}

async fn a_grant_is_bounded(open: Open<'_>) {
    let ledger = open();
    let until = |time| NewGrant { expires_at: Some(NOW + time), ..grant(NOW) };
    for (new, refusal) in [
        (NewGrant { expires_at: None, ..grant(NOW) }, GrantRefusal::Unbounded),
        (until(-1), GrantRefusal::Time),
        (until(59_999), GrantRefusal::Time),
        (until(DAY + 1), GrantRefusal::Time),
        (NewGrant { max_uses: Some(0), ..grant(NOW) }, GrantRefusal::NoUse),
    ] {
        assert_eq!(ledger.grant_insert(new).await.unwrap(), GrantOutcome::Refused(refusal));
    }
    for new in
        [until(60_000), until(DAY), NewGrant { via: DecidedVia::Config, expires_at: None, ..grant(NOW) }]
    {
        granted(&*ledger, new).await;
    }
}

async fn the_later_word_of_a_person_stands(open: Open<'_>) {
    let ledger = open();
    granted(&*ledger, grant(NOW)).await;
    let asked = ApprovalRequest { bypassable: false, ..ask(1, NOW) };
    let asked = created(ledger.approval_submit(asked).await.unwrap());
    made(ledger.approval_deny(decision(&asked.id, ALICE, NOW + 10)).await.unwrap());
    let denied = ledger.approval_submit(ask(1, NOW + 11)).await.unwrap();
    assert!(matches!(denied, SubmitOutcome::Denied(_)), "the grant is older: {denied:?}");
    granted(&*ledger, NewGrant { now: NOW + 10, ..grant(NOW) }).await;
    let denied = ledger.approval_submit(ask(1, NOW + 11)).await.unwrap();
    assert!(matches!(denied, SubmitOutcome::Denied(_)), "at the same time, no stands: {denied:?}");
    granted(&*ledger, NewGrant { now: NOW + 12, ..grant(NOW) }).await;
    let_through(ledger.approval_submit(ask(1, NOW + 13)).await.unwrap());
}

async fn a_use_that_was_not_sent_is_given_back_to_its_grant(open: Open<'_>) {
    let ledger = open();
    granted(&*ledger, NewGrant { max_uses: Some(1), ..grant(NOW) }).await;
    let used = let_through(ledger.approval_submit(ask(1, NOW)).await.unwrap());
    assert!(ledger.approval_rollback(&used.latest_use(), NOW).await.unwrap());
    assert!(!ledger.approval_rollback(&used.latest_use(), NOW).await.unwrap(), "once");
    let back = ledger.approval_fetch(&used.id, NOW).await.unwrap().unwrap();
    assert_eq!((back.status, back.execution), (ApprovalStatus::AutoApproved, Some(Execution::NotSent)));
    let again = let_through(ledger.approval_submit(ask(1, NOW)).await.unwrap());
    assert_ne!(again.id, used.id);
    ledger.approval_finish(&again.latest_use(), ExecutionEnd::Unknown, "", NOW).await.unwrap();
    assert!(!ledger.approval_rollback(&again.latest_use(), NOW).await.unwrap());
    created(ledger.approval_submit(ask(1, NOW)).await.unwrap());
}

async fn the_narrowest_grant_is_used_first(open: Open<'_>) {
    let ledger = open();
    let wide = granted(&*ledger, NewGrant { scope: GrantScope::Global, ..grant(NOW) }).await;
    let later = granted(&*ledger, NewGrant { max_uses: Some(1), ..grant(NOW) }).await;
    let sooner =
        granted(&*ledger, NewGrant { max_uses: Some(1), expires_at: Some(NOW + 60_000), ..grant(NOW) }).await;
    for (fingerprint, expected) in (1..).zip([sooner, later, wide]) {
        let used = let_through(ledger.approval_submit(ask(fingerprint, NOW)).await.unwrap());
        assert_eq!(used.grant, Some(expected.id));
    }
}

async fn a_use_of_a_grant_asks_nobody_and_ends_the_question(open: Open<'_>) {
    let ledger = open();
    let asked = created(ledger.approval_submit(ask(1, NOW)).await.unwrap());
    assert_eq!(told(&*ledger).await.len(), 1);
    granted(&*ledger, grant(NOW + 1)).await;
    let used = let_through(ledger.approval_submit(ask(1, NOW + 2)).await.unwrap());
    let question = ledger.approval_fetch(&asked.id, NOW + 2).await.unwrap().unwrap();
    assert_eq!((question.status, question.coalesced_into), (ApprovalStatus::Cancelled, Some(used.id)));
    // Who was asked is told that there is nothing to decide any more.
    let told: Vec<_> = told(&*ledger).await.into_iter().map(|told| told["event"].clone()).collect();
    assert_eq!(told, ["approval_cancelled"]);
    // However many the grant lets through, people can still be asked about other things.
    for fingerprint in 10..60 {
        let_through(ledger.approval_submit(ask(fingerprint, NOW + 2)).await.unwrap());
    }
    created(ledger.approval_submit(ApprovalRequest { bypassable: false, ..ask(99, NOW + 2) }).await.unwrap());
}
