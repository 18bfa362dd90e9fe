//! Answers that come by a channel, and how many people are told of what is asked.

use crate::ledger_support::{NOW, Open};
use crate::support::*;
use hudson_schema::ledger::*;
use serde_json::{Value, json};

story! { sqlite, crate::support::tell:
    an_answer_is_heard_once_and_about_what_was_shown
    of_answers_at_once_one_decides
    a_refused_answer_is_in_the_audit_and_changes_nothing
    one_channel_is_told_where_one_is_enough_and_so_of_what_comes_of_it
    what_is_too_much_in_an_hour_is_told_once
}

fn answer(approval: &Approval, verdict: Verdict, nonce: &str, now: i64) -> ApprovalAnswer {
    ApprovalAnswer {
        decision: Decision { via: DecidedVia::Telegram, ..decision(&approval.id, BOB, now) },
        verdict,
        fingerprint: approval.fingerprint,
        nonce: nonce.to_owned(),
        nonce_until: now + 1_000_000,
    }
}

async fn an_answer_is_heard_once_and_about_what_was_shown(open: Open<'_>) {
    let ledger = open();
    let shown = pending(&*ledger, 1, NOW).await;
    let other =
        ApprovalAnswer { fingerprint: Fingerprint([9; 32]), ..answer(&shown, Verdict::Approve, "n", NOW) };
    let answered = ledger.approval_answer(other).await.unwrap();
    assert_eq!(answered, Answered::OtherRequest(shown.clone()));
    // What was edited since is another thing, also while others still have to say so.
    let edit =
        ApprovalEdit { fingerprint: Fingerprint([3; 32]), description: String::new(), details: json!({}) };
    let two = created(ledger.approval_submit(ApprovalRequest { approvers: 2, ..ask(2, NOW) }).await.unwrap());
    ledger.approval_modify(decision(&two.id, ALICE, NOW), edit).await.unwrap();
    let stale = ledger.approval_answer(answer(&two, Verdict::Approve, "m", NOW)).await.unwrap();
    assert!(matches!(stale, Answered::OtherRequest(_)), "{stale:?}");
    assert_eq!(status(&*ledger, &two.id, NOW).await, ApprovalStatus::Pending);

    let yes = || answer(&shown, Verdict::Approve, "n", NOW + 1);
    let Answered::Decided(Decided::Made(approved)) = ledger.approval_answer(yes()).await.unwrap() else {
        panic!()
    };
    assert_eq!(
        (approved.status, approved.decided_via),
        (ApprovalStatus::Approved, Some(DecidedVia::Telegram))
    );
    let again = open().approval_answer(yes()).await.unwrap();
    assert_eq!(again, Answered::Heard(approved.clone()), "by any process");
    let no = ledger.approval_answer(answer(&shown, Verdict::Deny, "o", NOW + 2)).await.unwrap();
    assert_eq!(no, Answered::Decided(Decided::Conflict(approved)));
    let unknown = ApprovalAnswer {
        decision: decision(&ApprovalId::of_random([1; 16]), BOB, NOW),
        ..answer(&shown, Verdict::Deny, "p", NOW)
    };
    assert_eq!(ledger.approval_answer(unknown).await.unwrap(), Answered::Decided(Decided::Unknown));
    let late = pending(&*ledger, 4, NOW).await;
    let late = ledger.approval_answer(answer(&late, Verdict::Approve, "q", NOW + TTL)).await.unwrap();
    assert!(matches!(late, Answered::Decided(Decided::Expired(_))), "{late:?}");
}

async fn of_answers_at_once_one_decides(open: Open<'_>) {
    let ledgers = [open(), open(), open()];
    let shown = pending(&*ledgers[0], 1, NOW).await;
    let all = ledgers.iter().cycle().take(30).cloned().map(|ledger| {
        let one = answer(&shown, Verdict::Deny, "the same press", NOW);
        tokio::spawn(async move { ledger.approval_answer(one).await.unwrap() })
    });
    let (mut made, mut heard) = (0, 0);
    for one in all.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Answered::Decided(Decided::Made(_)) => made += 1,
            Answered::Heard(_) => heard += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((made, heard), (1, 29));
}

async fn a_refused_answer_is_in_the_audit_and_changes_nothing(open: Open<'_>) {
    let ledger = open();
    let shown = pending(&*ledger, 1, NOW).await;
    let refused = |approval: Option<ApprovalId>| RefusedAnswer {
        approval,
        actor: "telegram:8".to_owned(),
        via: DecidedVia::Telegram,
        why: "not_an_approver",
        more: 3,
        now: NOW + 1,
    };
    let unknown = ApprovalId::of_random([1; 16]);
    for approval in [Some(shown.id.clone()), Some(unknown), None] {
        ledger.approval_refuse(refused(approval)).await.unwrap();
    }
    assert_eq!(status(&*ledger, &shown.id, NOW + 1).await, ApprovalStatus::Pending);
    assert_eq!(steps(&*ledger, &shown.id).await, ["approval_request", "approval_refuse"]);
    let audit = ledger.audit_list(0, usize::MAX).await.unwrap();
    let rows: Vec<_> = audit.iter().filter(|row| row.kind == "approval_refuse").collect();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let data: Value = serde_json::from_str(&row.data).unwrap();
        assert_eq!(
            (&data["why"], &data["more"], row.actor.as_str()),
            (&json!("not_an_approver"), &json!(3), "telegram:8")
        );
    }
}

fn claim(rules: NotifyRules, now: i64) -> NotifyClaim {
    NotifyClaim { channels: vec!["one".into(), "two".into()], most: 99, lease: 100_000_000, rules, now }
}

/// What is claimed: which event for which channel.
async fn claimed(ledger: &dyn Ledger, rules: NotifyRules, now: i64) -> Vec<Notification> {
    let mut claimed = ledger.notify_claim(claim(rules, now)).await.unwrap();
    claimed.sort_by(|one, other| (&one.kind, &one.channel).cmp(&(&other.kind, &other.channel)));
    claimed
}

fn of(claimed: &[Notification]) -> Vec<(&str, &str)> {
    claimed.iter().map(|one| (one.kind.as_str(), one.channel.as_str())).collect()
}

async fn one_channel_is_told_where_one_is_enough_and_so_of_what_comes_of_it(open: Open<'_>) {
    let ledger = open();
    let rules = NotifyRules { first_success: true, ..NotifyRules::default() };
    let first = pending(&*ledger, 1, NOW).await;
    let asked = claimed(&*ledger, rules, NOW).await;
    assert_eq!(of(&asked), [("approval_requested", "one")]);
    assert!(ledger.notify_finish(&asked[0], NotifyEnd::Delivered, NOW).await.unwrap());
    let second = pending(&*ledger, 2, NOW + 1).await;
    let asked = claimed(&*ledger, rules, NOW + 1).await;
    let over = NotifyEnd::HandedOver { error: "answered 500".into(), to: "two".into() };
    assert!(ledger.notify_finish(&asked[0], over.clone(), NOW + 2).await.unwrap());
    assert!(!ledger.notify_finish(&asked[0], over, NOW + 2).await.unwrap(), "once");
    let handed = claimed(&*ledger, rules, NOW + 2).await;
    assert_eq!((of(&handed), handed[0].attempt), (vec![("approval_requested", "two")], 1));
    assert_eq!(handed[0].id, asked[0].id);
    assert!(ledger.notify_finish(&handed[0], NotifyEnd::Delivered, NOW + 2).await.unwrap());
    // Each channel is told of what it was asked.
    for (approval, channel) in [(first, "one"), (second, "two")] {
        ledger.approval_deny(decision(&approval.id, ALICE, NOW + 3)).await.unwrap();
        let told = claimed(&*ledger, rules, NOW + 3).await;
        assert_eq!(of(&told), [("approval_decided", channel)]);
        assert!(ledger.notify_finish(&told[0], NotifyEnd::Delivered, NOW + 3).await.unwrap());
    }
}

async fn what_is_too_much_in_an_hour_is_told_once(open: Open<'_>) {
    const HOUR: i64 = 3_600_000;
    let ledger = open();
    let rules = NotifyRules { per_hour: 2, ..NotifyRules::default() };
    let asked = async |fingerprint: u8, now: i64| {
        let freely = ApprovalRequest { decision_expires_at: now + 10 * HOUR, ..ask_freely(fingerprint, now) };
        created(ledger.approval_submit(freely).await.unwrap())
    };
    for fingerprint in 1..=5 {
        asked(fingerprint, NOW).await;
    }
    let told = claimed(&*ledger, rules, NOW).await;
    let both = |kind: &'static str| [(kind, "one"), (kind, "two")];
    let mut expected = [both("approval_requested"), both("approval_requested")].concat();
    expected.sort_unstable();
    expected.extend(both("approvals_waiting"));
    assert_eq!(of(&told), expected);
    let sum: Value = serde_json::from_str(&told[4].payload).unwrap();
    assert_eq!(
        (&sum["event"], &sum["waiting"], &sum["bottle"]),
        (&json!("approvals_waiting"), &json!(5), &json!("ci"))
    );
    let withheld = asked(6, NOW + 1).await;
    assert_eq!(of(&claimed(&*ledger, rules, NOW + 1).await), [], "no more until the hour is over");
    ledger.approval_deny(decision(&withheld.id, ALICE, NOW + 2)).await.unwrap();
    assert_eq!(of(&claimed(&*ledger, rules, NOW + 2).await), [], "nor what becomes of them");
    asked(7, NOW + HOUR).await;
    let told = ledger.notify_claim(claim(rules, NOW + HOUR)).await.unwrap();
    assert!(
        told.iter().any(|one| one.kind == "approval_requested" && one.payload.contains(&"07".repeat(32)))
    );
}
