//! Slack: a message with buttons, and what comes back, signed as Slack signs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hudson_schema::ledger::{ApprovalStatus, DecidedVia};
use serde_json::{Value, json};

use super::ledger::Ledger;
use super::{SOON, callbacks, hmac, parts, send, unix_seconds};
use crate::raw::upstream::ok;
use crate::raw::{self, Answer, Stage, Upstream};

const TOKEN: &str = "xoxb-tests-only-4471";
const SIGNING: &str = "8f742231b10e8888tests-only";
const CHANNEL: &str = "C024BE91L";

/// https://api.slack.com/methods: what the app calls is answered with 200 and `ok`, and a message has a `ts`.
fn slack() -> Upstream {
    let sent = Arc::new(AtomicUsize::new(0));
    Upstream::start(move |request| {
        let (head, body) = parts(request);
        let lines = head.to_ascii_lowercase();
        let answer = match () {
            () if !lines.contains(&format!("authorization: bearer {TOKEN}")) => {
                json!({"ok": false, "error": "invalid_auth"})
            }
            () if body["channel"] != CHANNEL => json!({"ok": false, "error": "channel_not_found"}),
            () if lines.starts_with("post /api/chat.postmessage ") => {
                let ts = format!("1503435956.{:06}", sent.fetch_add(1, Ordering::Relaxed));
                json!({"ok": true, "channel": CHANNEL, "ts": ts, "message": {"text": body["text"]}})
            }
            () if lines.starts_with("post /api/chat.update ") => {
                json!({"ok": true, "channel": CHANNEL, "ts": body["ts"]})
            }
            () if lines.starts_with("post /api/chat.postephemeral ") => {
                json!({"ok": true, "message_ts": "1502210682.580145"})
            }
            () => json!({"ok": false, "error": "unknown_method"}),
        };
        ok("content-type: application/json\r\n", answer.to_string().as_bytes())
    })
}

fn start(slack: &Upstream) -> Stage {
    let address = slack.address;
    let settings = format!(
        "control: {{callbacks: '127.0.0.1:0'}}\n\
         notify: [{{slack: {{token_env: SL, channel: {CHANNEL}, signing_secret_env: SS, approvers: [U024BE7LH], \
         url: 'http://{address}'}}}}]\n"
    );
    super::stage(&settings, &[("SL", TOKEN), ("SS", SIGNING)])
}

/// The calls of a method so far.
fn calls(slack: &Upstream, method: &str) -> Vec<Value> {
    let start = format!("POST /api/{method} ");
    let seen = slack.seen();
    seen.iter().filter(|request| request.starts_with(&start)).map(|request| parts(request).1).collect()
}

#[track_caller]
fn call(slack: &Upstream, method: &str, place: usize) -> Value {
    raw::wait_until(SOON, || calls(slack, method).get(place).cloned())
        .unwrap_or_else(|| panic!("no {method}: {:#?}", slack.seen()))
}

/// What a button of a message carries.
fn button(message: &Value, place: usize) -> String {
    message["blocks"][1]["elements"][place]["value"].as_str().expect("there is a button").to_owned()
}

fn form(user: &str, channel: &str, ts: &str, value: &str) -> String {
    let payload = json!({
        "type": "block_actions",
        "team": {"id": "T1DC2JH3J"},
        "user": {"id": user, "username": "somebody"},
        "container": {"type": "message", "message_ts": ts, "channel_id": channel},
        "response_url": "http://127.0.0.1:1/never",
        "actions": [{"action_id": "hudson_approve", "type": "button", "value": value, "action_ts": "1548426417.840180"}],
    });
    let payload = payload.to_string();
    let escaped = percent_encoding::utf8_percent_encode(&payload, percent_encoding::NON_ALPHANUMERIC);
    format!("payload={escaped}")
}

fn post(stage: &Stage, secret: &str, timestamp: i64, body: &str) -> Answer {
    let signature = hmac(secret, &format!("v0:{timestamp}:{body}"));
    let headers = format!(
        "content-type: application/x-www-form-urlencoded\r\nX-Slack-Request-Timestamp: {timestamp}\r\n\
         X-Slack-Signature: v0={signature}\r\n"
    );
    send(callbacks(stage), "POST", "/slack", &headers, body)
}

#[test]
fn a_button_in_slack_decides_and_the_message_is_changed() {
    let slack = slack();
    let stage = start(&slack);
    let ledger = Ledger::of(&stage);
    for (place, status) in [ApprovalStatus::Approved, ApprovalStatus::Denied].into_iter().enumerate() {
        let asked = ledger.ask(u8::try_from(place).expect("few") + 1);
        let message = call(&slack, "chat.postMessage", place);
        let text = message["blocks"][0]["text"]["text"].as_str().expect("a text");
        assert!(
            text.contains(asked.id.as_str()) && message["blocks"][0]["text"]["type"] == "plain_text",
            "{message:#}"
        );
        let ts = format!("1503435956.{place:06}");
        // It is on record before anybody can press it for long.
        let answer = raw::wait_until(SOON, || {
            let answer = post(
                &stage,
                SIGNING,
                unix_seconds(),
                &form("U024BE7LH", CHANNEL, &ts, &button(&message, place)),
            );
            (ledger.status(&asked.id) == status).then_some(answer)
        });
        let answer = answer.expect("it is decided");
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        let decided = ledger.fetch(&asked.id);
        assert_eq!(decided.decided_by.as_deref(), Some("slack:U024BE7LH"));
        assert_eq!(decided.decided_via, Some(DecidedVia::Slack));
        let changed = call(&slack, "chat.update", place);
        assert_eq!((&changed["ts"], changed["blocks"].as_array().map(Vec::len)), (&json!(ts), Some(1)));
    }
    assert!(!stage.log().contains("tests-only"), "a secret is told");
}

#[test]
fn what_slack_has_not_signed_now_for_this_is_refused() {
    let slack = slack();
    let stage = start(&slack);
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask(1);
    let message = call(&slack, "chat.postMessage", 0);
    let (yes, ts, me) = (button(&message, 0), "1503435956.000000", "U024BE7LH");
    let right = form(me, CHANNEL, ts, &yes);
    let now = unix_seconds();
    assert_eq!(post(&stage, "another secret", now, &right).status, 401);
    assert_eq!(post(&stage, SIGNING, now - 301, &right).status, 401);
    assert_eq!(post(&stage, SIGNING, now + 400, &right).status, 401);
    // Signed, and changed after that.
    let signature = hmac(SIGNING, &format!("v0:{now}:{right}"));
    let headers = format!("X-Slack-Request-Timestamp: {now}\r\nX-Slack-Signature: v0={signature}\r\n");
    let changed = right.replace(me, "U00000001");
    assert_eq!(send(callbacks(&stage), "POST", "/slack", &headers, &changed).status, 401);
    assert_eq!(send(callbacks(&stage), "POST", "/slack", "", &right).status, 401);
    assert_eq!(post(&stage, SIGNING, now, "payload=%7B").status, 400);
    // Signed, by the wrong person or for the wrong message: who pressed is told, and nobody else.
    assert_eq!(post(&stage, SIGNING, now, &form("U00000001", CHANNEL, ts, &yes)).status, 200);
    let told = call(&slack, "chat.postEphemeral", 0);
    assert_eq!((&told["user"], &told["channel"]), (&json!("U00000001"), &json!(CHANNEL)));
    assert!(
        told["blocks"][0]["text"]["text"].as_str().is_some_and(|text| text.contains("may decide")),
        "{told:#}"
    );
    post(&stage, SIGNING, now, &form(me, "C99999999", ts, &yes));
    post(&stage, SIGNING, now, &form(me, CHANNEL, "1.1", &yes));
    assert_eq!(ledger.status(&asked.id), ApprovalStatus::Pending);
    // The right one, twice.
    assert_eq!(post(&stage, SIGNING, now, &right).status, 200);
    ledger.wait_for(&asked.id, ApprovalStatus::Approved);
    assert_eq!(post(&stage, SIGNING, now, &right).status, 200);
    ledger.refused(&[
        ("signature", "slack"),
        ("timestamp", "slack"),
        ("timestamp", "slack"),
        ("signature", "slack"),
        ("signature", "slack"),
        ("malformed", "slack"),
        ("not_an_approver", "slack:U00000001"),
        ("other_place", "slack:U024BE7LH"),
        ("other_message", "slack:U024BE7LH"),
        ("replayed", "slack:U024BE7LH"),
    ]);
}

#[test]
fn a_flood_of_forged_answers_fills_no_audit() {
    let slack = slack();
    let stage = start(&slack);
    let ledger = Ledger::of(&stage);
    for _ in 0..60 {
        assert_eq!(send(callbacks(&stage), "POST", "/slack", "", "payload=x").status, 401);
    }
    assert_eq!(ledger.refusals().len(), 10);
    assert_eq!(stage.events("approval_answer_refused").len(), 10);
}

#[test]
fn nothing_else_is_served_there_and_no_bottle_reaches_it() {
    let slack = slack();
    let stage = start(&slack);
    let address = callbacks(&stage);
    for (method, path, status) in [
        ("GET", "/slack", 405),
        ("DELETE", "/slack", 405),
        ("POST", "/", 404),
        ("POST", "/slack/", 404),
        ("POST", "/telegram", 404),
        ("POST", "/confirm", 404),
        ("POST", "/api/approve/x", 404),
        ("POST", "/ntfy/a:b:c", 403),
        ("POST", "/webhook/ops", 401),
        ("POST", "/discord", 401),
    ] {
        assert_eq!(send(address, method, path, "", "").status, status, "{method} {path}");
    }
    let huge = "x".repeat(300_000);
    assert_eq!(send(address, "POST", "/slack", "", &huge).status, 413);
    // A route that allows everything but Hudson's own listeners.
    let port = address.port();
    let route = |host: &str| {
        format!(
            "  - {{host: {host}, scheme: http, port: {port}, allow_addresses: [127.0.0.0/8, '::1/128']}}\n"
        )
    };
    let routes = format!("routes:\n{}{}", route("127.0.0.1"), route("localhost"));
    stage.world.configure("bottles/ci/routes.yaml", &routes);
    let agent = stage.agent();
    for host in ["127.0.0.1", "localhost"] {
        let answer = agent.plain("POST", &format!("http://{host}:{port}/slack"), "content-length: 0\r\n");
        answer.refused(403, "address_blocked");
    }
}
