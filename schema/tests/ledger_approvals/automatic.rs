//! What passes without a person, and what never does; and how many approvals there are, and when the next one ends.

use crate::ledger_support::{NOW, Open};
use crate::support::*;
use hudson_schema::ledger::*;

story! { sqlite, crate::support::tell:
    what_passes_by_itself_is_on_record_like_any_other
    nothing_that_does_harm_passes_by_itself
    a_persons_no_stands_before_what_passes_by_itself
    what_is_denied_at_once_asks_nobody_and_counts
    approvals_are_counted_as_they_are_at_the_time
    the_next_end_is_known
}

fn by_itself(request: ApprovalRequest) -> ApprovalRequest {
    let automatic = Automatic::Pass { by: "policy".to_owned(), reason: "tier 0".to_owned() };
    ApprovalRequest { tier: Tier::Safe, automatic: Some(automatic), ..request }
}

async fn what_passes_by_itself_is_on_record_like_any_other(open: Open<'_>) {
    let ledger = open();
    let passed = let_through(ledger.approval_submit(by_itself(ask(1, NOW))).await.unwrap());
    assert_eq!(passed.status, ApprovalStatus::AutoApproved);
    let said = (passed.decided_by.as_deref(), passed.decided_via, passed.reason.as_deref(), &passed.grant);
    assert_eq!(said, (Some("policy"), Some(DecidedVia::System), Some("tier 0"), &None));
    assert_eq!(ledger.approval_fetch(&passed.id, NOW).await.unwrap().as_ref(), Some(&passed));
    assert_eq!(steps(&*ledger, &passed.id).await, ["approval_auto_approve"]);
    // It is one use, and the next is another.
    let next = let_through(ledger.approval_submit(by_itself(ask(1, NOW))).await.unwrap());
    assert_ne!(next.id, passed.id);
    for is_first in [true, false] {
        let told = ledger.approval_finish(&passed.latest_use(), ExecutionEnd::Unknown, "", NOW).await;
        assert_eq!(told.unwrap(), is_first);
    }
}

async fn nothing_that_does_harm_passes_by_itself(open: Open<'_>) {
    let ledger = open();
    let asked = |fingerprint| by_itself(ask_freely(fingerprint, NOW));
    let mut rules = asked(0).rules;
    rules.non_bypassable.insert("charge".to_owned());
    for harmful in [
        ApprovalRequest { tier: Tier::High, ..asked(1) },
        ApprovalRequest { tier: Tier::Critical, ..asked(2) },
        ApprovalRequest { action: "transfer_funds".to_owned(), ..asked(3) },
        ApprovalRequest { bypassable: false, ..asked(4) },
        ApprovalRequest { rules, ..asked(5) },
    ] {
        assert!(!harmful.may_pass_by_itself());
        created(ledger.approval_submit(harmful).await.unwrap());
    }
    let_through(ledger.approval_submit(ApprovalRequest { tier: Tier::Medium, ..asked(6) }).await.unwrap());
}

async fn a_persons_no_stands_before_what_passes_by_itself(open: Open<'_>) {
    let ledger = open();
    let pending = created(ledger.approval_submit(ask(1, NOW)).await.unwrap());
    // What was asked meanwhile is asked no more.
    let passed = let_through(ledger.approval_submit(by_itself(ask(1, NOW))).await.unwrap());
    let ended = ledger.approval_fetch(&pending.id, NOW).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.coalesced_into), (ApprovalStatus::Cancelled, Some(passed.id)));
    let pending = created(ledger.approval_submit(ask(2, NOW)).await.unwrap());
    ledger.approval_deny(decision(&pending.id, ALICE, NOW)).await.unwrap();
    let again = ledger.approval_submit(by_itself(ask(2, NOW + 1))).await.unwrap();
    assert!(matches!(again, SubmitOutcome::Denied(denied) if denied.id == pending.id));
}

async fn what_is_denied_at_once_asks_nobody_and_counts(open: Open<'_>) {
    let ledger = open();
    let ask = |fingerprint, now| {
        let automatic = Automatic::Deny { by: "model:m".to_owned(), reason: "it smells".to_owned() };
        let rules = ApprovalRules { rate: Some(Rate { count: 2, window: 1_000 }), ..ask(0, now).rules };
        ApprovalRequest { automatic: Some(automatic), rules, ..ask(fingerprint, now) }
    };
    for fingerprint in [1, 2] {
        let SubmitOutcome::Denied(denied) = ledger.approval_submit(ask(fingerprint, NOW)).await.unwrap()
        else {
            panic!("not denied")
        };
        assert_eq!((denied.status, denied.decided_by.as_deref()), (ApprovalStatus::Denied, Some("model:m")));
        assert_eq!(
            (denied.decided_via, denied.reason.as_deref()),
            (Some(DecidedVia::System), Some("it smells"))
        );
        assert_eq!(steps(&*ledger, &denied.id).await, ["approval_request", "approval_deny"]);
    }
    let limited = ledger.approval_submit(ask(3, NOW)).await.unwrap();
    assert!(matches!(limited, SubmitOutcome::RateLimited { .. }), "{limited:?}");
    let events: Vec<_> = told(&*ledger).await.into_iter().map(|told| told["event"].clone()).collect();
    assert_eq!(events, ["approval_decided", "approval_decided"], "nobody is asked what is decided");
    // What a person has approved stands before what a model says.
    let approved = approved(&*ledger, 9, NOW + 2_000).await;
    assert_eq!(let_through(ledger.approval_submit(ask(9, NOW + 2_001)).await.unwrap()).id, approved.id);
}

async fn approvals_are_counted_as_they_are_at_the_time(open: Open<'_>) {
    let ledger = open();
    assert_eq!(ledger.approval_count(NOW).await.unwrap(), []);
    created(ledger.approval_submit(ask(1, NOW)).await.unwrap());
    let approved = created(ledger.approval_submit(ask(2, NOW)).await.unwrap());
    ledger.approval_approve(decision(&approved.id, ALICE, NOW)).await.unwrap();
    let_through(ledger.approval_submit(by_itself(ask(3, NOW))).await.unwrap());
    let of = |status, count| ApprovalCount { kind: ApprovalKind::Http, status, count };
    let (auto, expired) = (of(ApprovalStatus::AutoApproved, 1), of(ApprovalStatus::Expired, 1));
    let counted = ledger.approval_count(NOW).await.unwrap();
    assert_eq!(counted, [of(ApprovalStatus::Approved, 1), auto, of(ApprovalStatus::Pending, 1)]);
    let later = ledger.approval_count(NOW + TTL).await.unwrap();
    assert_eq!(later, [of(ApprovalStatus::Approved, 1), auto, expired], "swept or not");
}

async fn the_next_end_is_known(open: Open<'_>) {
    let ledger = open();
    assert_eq!(ledger.approval_due().await.unwrap(), None);
    created(ledger.approval_submit(ask(1, NOW + 10)).await.unwrap());
    let first = created(ledger.approval_submit(ask(2, NOW)).await.unwrap());
    assert_eq!(ledger.approval_due().await.unwrap(), Some(NOW + TTL));
    ledger.approval_approve(decision(&first.id, ALICE, NOW)).await.unwrap();
    assert_eq!(ledger.approval_due().await.unwrap(), Some(NOW + TTL + 10));
    ledger.approval_expire(sweep(NOW + TTL + 10)).await.unwrap();
    assert_eq!(ledger.approval_due().await.unwrap(), Some(NOW + USE_TTL));
    ledger.approval_expire(sweep(NOW + USE_TTL)).await.unwrap();
    assert_eq!(ledger.approval_due().await.unwrap(), None);
}
