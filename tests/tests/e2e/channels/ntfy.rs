//! ntfy: buttons that the phone presses by itself, once, by a URL that holds its own proof.

use hudson_schema::ledger::{ApprovalStatus, DecidedVia};
use serde_json::{Value, json};

use super::ledger::{Ledger, now};
use super::{SOON, callbacks, parts, send};
use crate::raw::upstream::ok;
use crate::raw::{self, Stage, Upstream};

const SECRET: &str = "ntfy-tests-only-secret";

/// https://docs.ntfy.sh/publish/#publish-as-json
fn ntfy() -> Upstream {
    Upstream::start(|request| {
        let (head, body) = parts(request);
        assert!(head.starts_with("POST / HTTP/1.1"), "{head}");
        assert!(body["actions"].as_array().is_none_or(|actions| actions.len() <= 3), "{body:#}");
        let answer = json!({"id": "xE73Iyuabi", "event": "message", "topic": body["topic"], "message": body["message"]});
        ok("content-type: application/json\r\n", answer.to_string().as_bytes())
    })
}

fn start(ntfy: &Upstream) -> Stage {
    let address = ntfy.address;
    let settings = format!(
        "control: {{callbacks: '127.0.0.1:0', callback_url: 'https://hudson.example.com/h'}}\n\
         notify: [{{ntfy: {{topic: ops, decide: true, secret_env: NS, url: 'http://{address}'}}}}]\n"
    );
    super::stage(&settings, &[("NS", SECRET)])
}

#[track_caller]
fn seen(ntfy: &Upstream, place: usize) -> Value {
    parts(&raw::wait_until(SOON, || ntfy.seen().get(place).cloned()).expect("a message comes")).1
}

/// The path by which Hudson sees a button: what stands in front of it is the operator's own server.
fn button(message: &Value, place: usize) -> String {
    let action = &message["actions"][place];
    assert_eq!((&action["action"], &action["method"]), (&json!("http"), &json!("POST")));
    let url = action["url"].as_str().expect("it has a URL");
    url.strip_prefix("https://hudson.example.com/h").expect("it leads to Hudson").to_owned()
}

#[test]
fn a_phone_decides_by_a_url_that_is_good_once() {
    let ntfy = ntfy();
    let stage = start(&ntfy);
    let ledger = Ledger::of(&stage);
    let at = callbacks(&stage);
    let asked = ledger.ask(1);
    let message = seen(&ntfy, 0);
    assert!(message["message"].as_str().is_some_and(|text| text.contains("digest: 01010101")), "{message:#}");
    let (yes, no) = (button(&message, 0), button(&message, 1));
    // What looks at links does not decide.
    assert_eq!(send(at, "GET", &yes, "", "").status, 405);
    let mut forged = yes.clone();
    forged.replace_range(yes.len() - 3.., "AAA");
    assert_eq!(send(at, "POST", &forged, "", "").status, 403);
    assert_eq!(send(at, "POST", &no.replacen("/d:", "/a:", 1), "", "").status, 403);
    assert_eq!(ledger.status(&asked.id), ApprovalStatus::Pending);
    let answer = send(at, "POST", &yes, "", "");
    assert_eq!((answer.status, &super::json(&answer)["status"]), (200, &json!("approved")));
    let decided = ledger.fetch(&asked.id);
    assert!(decided.decided_by.as_deref().is_some_and(|by| by.starts_with("ntfy:ops")), "{decided:?}");
    assert_eq!(decided.decided_via, Some(DecidedVia::Ntfy));
    assert_eq!(send(at, "POST", &yes, "", "").status, 409);
    assert_eq!(send(at, "POST", &no, "", "").status, 409);
    let changed = seen(&ntfy, 1);
    assert_eq!((&changed["sequence_id"], changed.get("actions")), (&json!("xE73Iyuabi"), None));
    let why: Vec<String> = ledger.refusals().into_iter().map(|(why, _)| why).collect();
    assert_eq!(why, ["no_button", "no_button", "replayed", "decided_already"]);
}

#[test]
fn a_url_is_good_for_as_long_as_there_is_something_to_decide() {
    let ntfy = ntfy();
    let stage = start(&ntfy);
    let ledger = Ledger::of(&stage);
    let asked = ledger.ask_with(1, |request| request.decision_expires_at = now() + 1_500);
    let yes = button(&seen(&ntfy, 0), 0);
    ledger.wait_for(&asked.id, ApprovalStatus::Expired);
    let answer = send(callbacks(&stage), "POST", &yes, "", "");
    assert_eq!((answer.status, &super::json(&answer)["error"]["code"]), (409, &json!("expired")));
    assert_eq!(ledger.status(&asked.id), ApprovalStatus::Expired);
    // Without `decide` there are no buttons, and how to decide is said.
    let quiet = format!("notify: [{{ntfy: {{topic: ops, url: 'http://{}'}}}}]\n", ntfy.address);
    let stage = super::stage(&quiet, &[]);
    let ledger = Ledger::of(&stage);
    let before = ntfy.seen().len();
    let asked = ledger.ask(9);
    let told = seen(&ntfy, before);
    assert!(
        told.get("actions").is_none_or(|actions| actions.as_array().is_some_and(Vec::is_empty)),
        "{told:#}"
    );
    let how = format!("hudson approvals approve {}", asked.id);
    assert!(told["message"].as_str().is_some_and(|text| text.contains(&how)), "{told:#}");
}
