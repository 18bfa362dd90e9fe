//! Another system that is told by a webhook, and decides by a call that is signed with the same secret.

use hudson_schema::ledger::{Approval, ApprovalStatus, DecidedVia, Fingerprint, Tier};
use serde_json::{Value, json};

use super::ledger::Ledger;
use super::{SOON, callbacks, hmac, parts, send, unix_seconds};
use crate::raw::upstream::ok;
use crate::raw::{self, Answer, Stage, Upstream};

const SECRET: &str = "whsec-tests-only-Zq81xX";

fn start(receiver: &Upstream) -> Stage {
    let address = receiver.address;
    let settings = format!(
        "control: {{callbacks: '127.0.0.1:0'}}\n\
         notify: [{{webhook: {{url: 'http://{address}/hook', secret_env: HS, decide: true, name: ops}}}}]\n"
    );
    super::stage(&settings, &[("HS", SECRET)])
}

fn decision(told: &Value, verdict: &str, nonce: &str, more: Value) -> Value {
    let mut decision = json!({"schema": "1", "id": told["approval"]["id"], "decision": verdict, "nonce": nonce,
        "action_digest": told["approval"]["action_digest"]});
    let (all, more) =
        (decision.as_object_mut().expect("an object"), more.as_object().expect("an object").clone());
    all.extend(more);
    decision
}

fn post_to(stage: &Stage, name: &str, secret: &str, timestamp: i64, body: &str) -> Answer {
    let signature = hmac(secret, &format!("{timestamp}.{body}"));
    let headers = format!(
        "content-type: application/json\r\nX-Hudson-Timestamp: {timestamp}\r\nX-Hudson-Signature: v1={signature}\r\n"
    );
    send(callbacks(stage), "POST", &format!("/webhook/{name}"), &headers, body)
}

fn post(stage: &Stage, body: &Value) -> Answer {
    post_to(stage, "ops", SECRET, unix_seconds(), &body.to_string())
}

/// What the receiver is told of an approval.
#[track_caller]
fn told(receiver: &Upstream, approval: &Approval) -> Value {
    let of = || {
        let seen = receiver.seen();
        seen.iter()
            .map(|request| parts(request).1)
            .find(|told| told["approval"]["id"] == approval.id.as_str())
    };
    raw::wait_until(SOON, of).expect("it is told")
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, super::json(answer)["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_signed_decision_is_taken_and_its_author_is_the_channel() {
    let receiver = Upstream::start(|_| ok("", b""));
    let stage = start(&receiver);
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask(1);
    let yes = decision(
        &told(&receiver, &asked),
        "approve",
        "n1",
        json!({"reason": "looks right", "decided_by": "the boss"}),
    );
    let answer = post(&stage, &yes);
    assert_eq!(answer.status, 200, "{}", super::json(&answer));
    assert_eq!(super::json(&answer)["decided_by"], "webhook:ops");
    let decided = ledger.fetch(&asked.id);
    assert_eq!((decided.status, decided.decided_via), (ApprovalStatus::Approved, Some(DecidedVia::Webhook)));
    assert_eq!(decided.decided_by.as_deref(), Some("webhook:ops"));
    assert_eq!(
        (decided.claimed_by.as_deref(), decided.reason.as_deref()),
        (Some("the boss"), Some("looks right"))
    );
    let asked = ledger.ask(2);
    assert_eq!(post(&stage, &decision(&told(&receiver, &asked), "deny", "n2", json!({}))).status, 200);
    assert_eq!(ledger.status(&asked.id), ApprovalStatus::Denied);
    ledger.refused(&[]);
}

#[test]
fn what_is_not_signed_now_or_not_of_this_changes_nothing() {
    let receiver = Upstream::start(|_| ok("", b""));
    let stage = start(&receiver);
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask(1);
    let told = told(&receiver, &asked);
    let yes = decision(&told, "approve", "n1", json!({}));
    let (body, now) = (yes.to_string(), unix_seconds());
    assert_eq!(code(&post_to(&stage, "ops", "another", now, &body)), (401, "signature".to_owned()));
    assert_eq!(code(&post_to(&stage, "oops", SECRET, now, &body)), (401, "signature".to_owned()));
    assert_eq!(code(&post_to(&stage, "ops", SECRET, now - 301, &body)), (401, "timestamp".to_owned()));
    assert_eq!(code(&post_to(&stage, "ops", SECRET, now, "[]")), (400, "malformed".to_owned()));
    // Hudson's own notification, sent back with its own signature.
    let own = receiver.seen().first().cloned().expect("one was sent");
    let (head, text) = own.split_once("\r\n\r\n").expect("a head");
    let signed: String =
        head.lines().filter(|line| line.starts_with("x-hudson-")).map(|line| format!("{line}\r\n")).collect();
    assert_eq!(
        code(&send(callbacks(&stage), "POST", "/webhook/ops", &signed, text)),
        (400, "malformed".to_owned())
    );
    let other = json!({"action_digest": Fingerprint([9; 32])});
    assert_eq!(
        code(&post(&stage, &decision(&told, "approve", "n1", other))),
        (403, "not_made_for_this".to_owned())
    );
    let unknown = json!({"id": format!("apr_{}", "a".repeat(26))});
    assert_eq!(code(&post(&stage, &decision(&told, "approve", "n1", unknown))), (404, "unknown".to_owned()));
    assert_eq!(ledger.status(&asked.id), ApprovalStatus::Pending);
    assert_eq!(post(&stage, &yes).status, 200);
    // Signed anew, it is the same answer; and another one comes too late.
    assert_eq!(code(&post(&stage, &yes)), (409, "replayed".to_owned()));
    assert_eq!(
        code(&post(&stage, &decision(&told, "deny", "n2", json!({})))),
        (409, "decided_already".to_owned())
    );
    assert_eq!(ledger.status(&asked.id), ApprovalStatus::Approved);
    let (ops, nobody) = ("webhook:ops", "webhook");
    ledger.refused(&[
        ("signature", ops),
        ("signature", nobody),
        ("timestamp", ops),
        ("malformed", ops),
        ("malformed", ops),
        ("not_made_for_this", ops),
        ("unknown", ops),
        ("replayed", ops),
        ("decided_already", ops),
    ]);
    assert!(!stage.log().contains(SECRET), "the secret is told");
}

#[test]
fn what_cannot_be_undone_is_approved_with_a_reason_alone_and_by_as_many_as_it_takes() {
    let receiver = Upstream::start(|_| ok("", b""));
    let stage = start(&receiver);
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask_with(1, |request| {
        request.tier = Tier::Critical;
        request.approvers = 2;
    });
    let told = told(&receiver, &asked);
    let without = decision(&told, "approve", "n1", json!({"reason": " "}));
    assert_eq!(code(&post(&stage, &without)), (422, "reason_required".to_owned()));
    let with = decision(&told, "approve", "n2", json!({"reason": "it is planned"}));
    let answer = post(&stage, &with);
    assert_eq!((answer.status, &super::json(&answer)["missing"]), (200, &json!(1)));
    assert_eq!(ledger.status(&asked.id), ApprovalStatus::Pending);
    // One who says so twice is still one.
    let again = post(&stage, &decision(&told, "approve", "n3", json!({"reason": "it is planned"})));
    assert_eq!(super::json(&again)["missing"], 1);
    ledger.approve(&asked.id);
    assert_eq!(ledger.status(&asked.id), ApprovalStatus::Approved);
}
