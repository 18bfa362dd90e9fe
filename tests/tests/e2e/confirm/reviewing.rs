//! A model that looks first: it answers for tier 1, may say no, and answers for nobody above.

use serde_json::json;

use super::{OFTEN, Scene, setting};
use crate::raw::Upstream;
use crate::raw::upstream::ok;

/// A service that speaks Anthropic Messages and always has this verdict.
fn model(verdict: &str) -> Upstream {
    let answer = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "reviewer", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": verdict}], "usage": {"input_tokens": 9, "output_tokens": 9},
    });
    Upstream::start(move |_| ok("content-type: application/json\r\n", answer.to_string().as_bytes()))
}

fn scene(model: &Upstream) -> Scene {
    let review =
        format!("review: {{url: 'http://{}', api: anthropic, model: reviewer, timeout: 5s}}", model.address);
    Scene::of(setting(&format!("{OFTEN}, {review}")))
}

fn ask(scene: &Scene, action: &str, description: &str) -> (u16, serde_json::Value) {
    let answer = scene.by_agent("POST", "/confirm", &super::question(action, description));
    (answer.status, answer.json())
}

#[test]
fn its_yes_is_enough_for_tier_1_and_for_nothing_above() {
    let model = model(r#"{"decision": "approve", "reason": "it reads a file"}"#);
    let scene = scene(&model);
    let (status, told) = ask(&scene, "write_file", "one");
    assert_eq!((status, &told["status"]), (200, &json!("auto_approved")), "{told}");
    let (status, told) = ask(&scene, "send_email", "two");
    assert_eq!((status, &told["status"]), (202, &json!("pending")), "{told}");
    // What is asked is told to it, and that it is the agent's.
    let seen = model.seen();
    assert!(
        seen.len() >= 2 && seen[0].contains("write_file") && seen[0].contains("POST /v1/messages"),
        "{seen:?}"
    );
}

#[test]
fn its_no_is_a_denial_that_is_not_a_persons() {
    let model = model(r#"{"decision": "deny", "reason": "it deletes what it should keep"}"#);
    let scene = scene(&model);
    for action in ["write_file", "send_email"] {
        let (_, told) = ask(&scene, action, "one");
        assert_eq!(told["status"], "denied", "{told}");
        assert!(told.to_string().contains("it deletes what it should keep"), "{told}");
        assert!(!told["resolved_by"].as_str().unwrap_or_default().starts_with("token:"), "{told}");
    }
}

#[test]
fn whatever_else_it_says_a_person_is_asked() {
    for verdict in [
        "",
        "approve",
        r#"{"decision": "approve"} as you wish"#,
        r#"{"decision": "escalate", "reason": "x"}"#,
    ] {
        let model = model(verdict);
        let (status, told) = ask(&scene(&model), "write_file", "one");
        assert_eq!((status, &told["status"]), (202, &json!("pending")), "{verdict}: {told}");
    }
}
