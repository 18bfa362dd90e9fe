//! Discord: a message with buttons, and interactions signed with Ed25519 as Discord signs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use hudson_schema::ledger::{ApprovalStatus, DecidedVia};
use serde_json::{Value, json};

use super::ledger::Ledger;
use super::{SOON, callbacks, parts, send, unix_seconds};
use crate::raw::upstream::ok;
use crate::raw::{self, Answer, Stage, Upstream};

const TOKEN: &str = "tests-only-MTk4NjIy";
const CHANNEL: u64 = 345_626_669_114_982_999;
const ME: &str = "53908232506183680";

/// https://discord.com/developers/docs/resources/message
fn discord() -> Upstream {
    let sent = Arc::new(AtomicUsize::new(0));
    Upstream::start(move |request| {
        let (head, body) = parts(request);
        let lines = head.to_ascii_lowercase();
        assert!(lines.contains(&format!("authorization: bot {}", TOKEN.to_ascii_lowercase())), "{head}");
        assert_eq!(body["allowed_mentions"], json!({"parse": []}));
        assert!(body["content"].as_str().is_some_and(|content| content.chars().count() <= 2_000), "{body:#}");
        let id = 1_162 + sent.fetch_add(1, Ordering::Relaxed);
        let answer =
            json!({"id": id.to_string(), "channel_id": CHANNEL.to_string(), "content": body["content"]});
        ok("content-type: application/json\r\n", answer.to_string().as_bytes())
    })
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed has 32 bytes")
}

fn start(discord: &Upstream) -> Stage {
    let public: String = key().public_key().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let address = discord.address;
    let settings = format!(
        "control: {{callbacks: '127.0.0.1:0'}}\n\
         notify: [{{discord: {{token_env: DC, channel: {CHANNEL}, public_key: {public}, approvers: [{ME}], \
         url: 'http://{address}'}}}}]\n"
    );
    super::stage(&settings, &[("DC", TOKEN)])
}

fn post(stage: &Stage, key: &Ed25519KeyPair, timestamp: i64, body: &str) -> Answer {
    let signature = key.sign(format!("{timestamp}{body}").as_bytes());
    let signature: String = signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let headers = format!(
        "content-type: application/json\r\nX-Signature-Timestamp: {timestamp}\r\nX-Signature-Ed25519: {signature}\r\n"
    );
    send(callbacks(stage), "POST", "/discord", &headers, body)
}

fn press(id: u64, user: &str, channel: u64, message: &str, data: &str) -> String {
    json!({
        "version": 1, "type": 3, "id": id.to_string(), "token": "t", "application_id": "290926444748734465",
        "guild_id": "290926798626357999", "channel_id": channel.to_string(),
        "member": {"user": {"id": user, "username": "somebody"}, "roles": []},
        "message": {"id": message, "type": 0},
        "data": {"custom_id": data, "component_type": 2},
    })
    .to_string()
}

#[track_caller]
fn seen(discord: &Upstream, place: usize) -> (String, Value) {
    let request = raw::wait_until(SOON, || discord.seen().get(place).cloned()).expect("a call comes");
    let (head, body) = parts(&request);
    (head.lines().next().unwrap_or_default().to_owned(), body)
}

fn button(message: &Value, place: usize) -> String {
    message["components"][0]["components"][place]["custom_id"].as_str().expect("there is a button").to_owned()
}

#[test]
fn discords_ping_is_answered_and_a_wrong_signature_is_not() {
    let discord = discord();
    let stage = start(&discord);
    let ping = r#"{"type":1,"id":"1"}"#;
    let answer = post(&stage, &key(), unix_seconds(), ping);
    assert_eq!((answer.status, super::json(&answer)), (200, json!({"type": 1})));
    let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).expect("a seed");
    assert_eq!(post(&stage, &other, unix_seconds(), ping).status, 401);
    assert_eq!(post(&stage, &key(), unix_seconds() - 301, ping).status, 401);
    Ledger::of(&stage).refused(&[("signature", "discord"), ("timestamp", "discord")]);
}

#[test]
fn a_button_in_discord_decides_and_the_answer_changes_the_message() {
    let discord = discord();
    let stage = start(&discord);
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask(1);
    let (line, message) = seen(&discord, 0);
    assert_eq!(line, format!("POST /api/v10/channels/{CHANNEL}/messages HTTP/1.1"));
    let (yes, no) = (button(&message, 0), button(&message, 1));
    let now = unix_seconds();
    let words = |answer: &Answer| {
        let told = super::json(answer);
        assert_eq!(
            (answer.status, &told["type"], &told["data"]["flags"]),
            (200, &json!(4), &json!(64)),
            "{told:#}"
        );
        told["data"]["content"].as_str().expect("it is told").to_owned()
    };
    // It is on record before anybody can press it for long.
    raw::wait_until(SOON, || {
        let answer = post(&stage, &key(), now, &press(1, "80351110224678912", CHANNEL, "1162", &yes));
        words(&answer).contains("may decide").then_some(())
    })
    .expect("the wrong person is told");
    let elsewhere = post(&stage, &key(), now, &press(2, ME, CHANNEL + 1, "1162", &yes));
    assert!(words(&elsewhere).contains("nothing was asked"));
    let other = post(&stage, &key(), now, &press(3, ME, CHANNEL, "9999", &yes));
    assert!(words(&other).contains("not the one that asks"));
    let forged = post(&stage, &key(), now, &press(4, ME, CHANNEL, "1162", &no.replacen('d', "a", 1)));
    assert!(words(&forged).contains("not made for"));
    assert_eq!(ledger.status(&asked.id), ApprovalStatus::Pending);

    let right = press(5, ME, CHANNEL, "1162", &yes);
    let answer = raw::wait_until(SOON, || {
        let answer = post(&stage, &key(), now, &right);
        (super::json(&answer)["type"] == 7).then_some(answer)
    });
    let told = super::json(&answer.expect("it is decided"));
    assert_eq!(told["data"]["components"], json!([]));
    let content = told["data"]["content"].as_str().expect("the message");
    assert!(content.contains(&format!("Hudson: approved by discord:{ME}")), "{content}");
    let decided = ledger.fetch(&asked.id);
    assert_eq!((decided.status, decided.decided_via), (ApprovalStatus::Approved, Some(DecidedVia::Discord)));
    assert!(words(&post(&stage, &key(), now, &right)).contains("heard before"));
    let (line, changed) = seen(&discord, 1);
    assert_eq!(line, format!("PATCH /api/v10/channels/{CHANNEL}/messages/1162 HTTP/1.1"));
    assert_eq!(changed["components"], json!([]));
    let why: Vec<String> = ledger.refusals().into_iter().map(|(why, _)| why).collect();
    assert_eq!(
        why.iter().filter(|why| *why != "other_message" && *why != "not_an_approver").collect::<Vec<_>>(),
        ["other_place", "not_made_for_this", "replayed"]
    );
    assert!(!stage.log().contains("tests-only"), "the token is told");
}
