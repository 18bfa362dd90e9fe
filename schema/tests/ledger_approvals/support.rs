//! Short ways to ask, decide and use.

use crate::ledger_support::{NOW, Open, on_sqlite};
use hudson_schema::ledger::audit::Chain;
use hudson_schema::ledger::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) const TTL: i64 = 300_000;
pub(crate) const USE_TTL: i64 = 900_000;
pub(crate) const ALICE: &str = "unix:1000";
pub(crate) const BOB: &str = "telegram:7";

/// Runs a part of the story; then whatever it did, the audit is whole and tells of every event.
pub(crate) async fn tell(part: impl AsyncFn(Open<'_>)) {
    on_sqlite(async |open| {
        part(open).await;
        verify(&*open()).await;
    })
    .await;
}

/// The chain holds; each event is in it as its own row; no row tells a detail or a description.
pub(crate) async fn verify(ledger: &dyn Ledger) {
    let audit = ledger.audit_list(0, usize::MAX).await.unwrap();
    let mut chain = Chain::default();
    audit.iter().for_each(|row| chain.follow(row).unwrap());
    let rows: BTreeMap<i64, &AuditRecord> = audit.iter().map(|row| (row.seq, row)).collect();
    let mut told = 0;
    for approval in ledger.approval_list(all(i64::MIN)).await.unwrap() {
        for event in ledger.approval_events(&approval.id).await.unwrap() {
            let row = rows[&event.audit_seq];
            assert_eq!((&row.kind, &row.actor, row.ts), (&event.kind, &event.actor, event.ts));
            assert_eq!(row.bottle.as_deref(), Some(approval.bottle.as_str()));
            let data: Value = serde_json::from_str(&row.data).unwrap();
            assert_eq!(data["approval"], json!(approval.id));
            told += 1;
        }
    }
    assert!(told <= audit.iter().filter(|row| row.kind.starts_with("approval_")).count());
    for row in audit {
        assert!(!row.data.contains("for people") && !row.data.contains("amount"), "{row:?}");
    }
}

pub(crate) fn all(now: i64) -> ApprovalQuery {
    ApprovalQuery { most: usize::MAX, now, ..ApprovalQuery::default() }
}

pub(crate) fn of_status(status: ApprovalStatus, now: i64) -> ApprovalQuery {
    ApprovalQuery { status: Some(status), ..all(now) }
}

/// A request of the bottle `ci`, of this fingerprint.
pub(crate) fn ask(fingerprint: u8, now: i64) -> ApprovalRequest {
    ApprovalRequest {
        kind: ApprovalKind::Http,
        bottle: "ci".parse().unwrap(),
        session: Some("s1".to_owned()),
        requester: "run:r1".to_owned(),
        action: "charge".to_owned(),
        rate_key: "charge".to_owned(),
        target: "api.stripe.com".to_owned(),
        finding: None,
        tier: Tier::High,
        description: "a charge, for people".to_owned(),
        details: json!({"amount": 60_000, "card": {"number": "[redacted]"}}),
        fingerprint: Fingerprint([fingerprint; 32]),
        policy_revision: "p1".to_owned(),
        rule: Some("large charge".to_owned()),
        rule_hash: Some("h1".to_owned()),
        bypassable: true,
        automatic: None,
        approvers: 1,
        deciders: Vec::new(),
        decision_expires_at: now + TTL,
        use_ttl: USE_TTL,
        rules: ApprovalRules::default(),
        now,
    }
}

/// The same, where nothing limits how often.
pub(crate) fn ask_freely(fingerprint: u8, now: i64) -> ApprovalRequest {
    let rules =
        ApprovalRules { max_pending: u32::MAX, rate: None, fatigue: None, ..ApprovalRules::default() };
    ApprovalRequest { rules, ..ask(fingerprint, now) }
}

pub(crate) fn decision(id: &ApprovalId, actor: &str, now: i64) -> Decision {
    Decision {
        id: id.clone(),
        actor: actor.to_owned(),
        via: DecidedVia::Cli,
        claimed_by: None,
        reason: Some("checked".to_owned()),
        now,
    }
}

pub(crate) fn using(approval: &Approval, now: i64) -> ConsumeRequest {
    ConsumeRequest {
        id: approval.id.clone(),
        bottle: approval.bottle.clone(),
        fingerprint: approval.fingerprint,
        policy_revision: approval.policy_revision.clone(),
        now,
    }
}

pub(crate) fn cancel_all(now: i64) -> ApprovalCancel {
    ApprovalCancel {
        bottle: "ci".parse().unwrap(),
        id: None,
        actor: ALICE.to_owned(),
        via: DecidedVia::Cli,
        reason: "the bottle was killed".to_owned(),
        now,
    }
}

pub(crate) fn sweep(now: i64) -> ApprovalSweep {
    ApprovalSweep { most: 1_000, forget_before: None, now }
}

pub(crate) fn created(outcome: SubmitOutcome) -> Approval {
    match outcome {
        SubmitOutcome::Created(approval) => approval,
        other => panic!("not created: {other:?}"),
    }
}

pub(crate) fn let_through(outcome: SubmitOutcome) -> Approval {
    match outcome {
        SubmitOutcome::Approved(approval) => approval,
        other => panic!("not let through: {other:?}"),
    }
}

pub(crate) fn made(decided: Decided) -> Approval {
    match decided {
        Decided::Made(approval) => approval,
        other => panic!("not made: {other:?}"),
    }
}

pub(crate) fn consumed(outcome: ConsumeOutcome) -> Approval {
    match outcome {
        ConsumeOutcome::Consumed(approval) => approval,
        other => panic!("not consumed: {other:?}"),
    }
}

/// One that is pending.
pub(crate) async fn pending(ledger: &dyn Ledger, fingerprint: u8, now: i64) -> Approval {
    created(ledger.approval_submit(ask_freely(fingerprint, now)).await.unwrap())
}

/// One that is approved.
pub(crate) async fn approved(ledger: &dyn Ledger, fingerprint: u8, now: i64) -> Approval {
    let open = pending(ledger, fingerprint, now).await;
    made(ledger.approval_approve(decision(&open.id, ALICE, now)).await.unwrap())
}

/// One that is in use.
pub(crate) async fn in_use(ledger: &dyn Ledger, fingerprint: u8, now: i64) -> Approval {
    let ready = approved(ledger, fingerprint, now).await;
    consumed(ledger.approval_consume(using(&ready, now)).await.unwrap())
}

pub(crate) async fn status(ledger: &dyn Ledger, id: &ApprovalId, now: i64) -> ApprovalStatus {
    ledger.approval_fetch(id, now).await.unwrap().unwrap().status
}

/// The kinds of an approval's events.
pub(crate) async fn steps(ledger: &dyn Ledger, id: &ApprovalId) -> Vec<String> {
    ledger.approval_events(id).await.unwrap().into_iter().map(|event| event.kind).collect()
}

/// What was told outside of approvals: each event, and its approval.
pub(crate) async fn told(ledger: &dyn Ledger) -> Vec<Value> {
    let rules = NotifyRules::default();
    let claim =
        NotifyClaim { channels: vec!["one".into()], rules, now: NOW + 1_000_000_000, lease: 1, most: 99 };
    let claimed = ledger.notify_claim(claim).await.unwrap();
    claimed.iter().map(|one| serde_json::from_str(&one.payload).unwrap()).collect()
}
