//! The tests of the two confirmation servers that went before, with credentials added.

use serde_json::{Value, json};

use super::{OFTEN, Scene, becomes, call, question, scene, setting};
use crate::raw;

#[test]
fn submit_answers_202_with_all_fields() {
    let scene = scene(OFTEN);
    let body = r#"{"action": "deploy_production", "description": "v2.1", "details": {"version": "2.1"},
                   "requester": "release-bot", "session_key": "s1", "timeout_seconds": 60}"#;
    let told = scene.by_agent("POST", "/confirm", body);
    assert_eq!(told.status, 202, "{told}");
    let told = told.json();
    assert_eq!((&told["action"], &told["status"]), (&json!("deploy_production"), &json!("pending")));
    assert_eq!((&told["timeout_seconds"], &told["id"]), (&json!(60), &told["request_id"]));
    let id = told["id"].as_str().expect("an id");
    assert_eq!(told["approve_url"], format!("http://{}/confirm/{id}/approve", scene.confirm));
    assert_eq!(told["deny_url"], format!("http://{}/confirm/{id}/deny", scene.confirm));
    assert!(told["message"].as_str().is_some_and(|message| message.contains("person")), "{told}");
    let read = scene.by_agent("GET", &format!("/confirm/{id}"), "");
    assert_eq!(read.status, 200, "{read}");
    let read = read.json();
    for (name, value) in [
        ("id", json!(id)),
        ("request_id", json!(id)),
        ("description", json!("v2.1")),
        ("details", json!({"version": "2.1"})),
        ("payload", json!({"version": "2.1"})),
        ("requester", json!("release-bot")),
        ("session_key", json!("s1")),
        ("status", json!("pending")),
        ("timeout_seconds", json!(60)),
        ("is_pending", json!(true)),
        ("is_expired", json!(false)),
        ("resolved_at", Value::Null),
        ("resolved_by", Value::Null),
    ] {
        assert_eq!(read[name], value, "{name}");
    }
    assert!(read["created_at"].as_f64().is_some_and(|at| at > 1e9), "{read}");
    assert!(read["created_at_iso"].as_str().is_some_and(|at| at.ends_with('Z')), "{read}");
}

#[test]
fn defaults_are_those_of_before_and_time_outs_are_clamped() {
    let scene = scene(OFTEN);
    let timeout = |number: usize, value: &str| {
        let body =
            format!(r#"{{"action": "deploy", "description": "{number}", "timeout_seconds": {value}}}"#);
        scene.by_agent("POST", "/confirm", &body).json()["timeout_seconds"].clone()
    };
    let expected = [("5", 30), ("99999", 3600), ("\"soon\"", 300), ("null", 300), ("45", 45), ("-1", 30)];
    for (number, (value, seconds)) in expected.into_iter().enumerate() {
        assert_eq!(timeout(number, value), seconds, "{value}");
    }
    let id = scene.ask("deploy", "without more");
    let read = scene.record(&id);
    assert_eq!((&read["requester"], &read["details"]), (&json!("agent"), &json!({})), "{read}");
    assert_eq!((&read["session_key"], &read["timeout_seconds"]), (&Value::Null, &json!(300)), "{read}");
}

#[test]
fn approve_and_deny_answer_once_and_then_409() {
    let scene = scene(OFTEN);
    let id = scene.ask("deploy", "one");
    let told = scene.by_operator("POST", &format!("/confirm/{id}/approve"), r#"{"approver": "anna"}"#);
    assert_eq!(told.status, 200, "{told}");
    let told = told.json();
    assert_eq!(
        (&told["id"], &told["action"], &told["status"]),
        (&json!(id), &json!("deploy"), &json!("approved"))
    );
    assert_eq!((&told["resolved_by"], &told["claimed_by"]), (&json!("token:ops"), &json!("anna")));
    assert!(told["resolved_at"].as_f64().is_some(), "{told}");
    for what in ["approve", "deny"] {
        let again = scene.by_operator("POST", &format!("/confirm/{id}/{what}"), "");
        assert_eq!((again.status, &again.json()["status"]), (409, &json!("approved")), "{again}");
    }
    let id = scene.ask("deploy", "two");
    let body = r#"{"denier": "bob", "reason": "not on a Friday"}"#;
    let told = scene.by_operator("POST", &format!("/confirm/{id}/deny"), body);
    assert_eq!((told.status, &told.json()["status"]), (200, &json!("denied")), "{told}");
    assert_eq!(told.json()["reason"], "not on a Friday");
    assert_eq!(scene.approve(&id).status, 409);
    let unknown = "apr_aaaaaaaaaaaaaaaaaaaaaaaaaa";
    for id in [unknown, "nope", "0123456789ab"] {
        assert_eq!(scene.approve(id).status, 404);
        assert_eq!(scene.by_operator("GET", &format!("/confirm/{id}"), "").status, 404);
        assert_eq!(scene.by_agent("GET", &format!("/confirm/{id}"), "").status, 404);
    }
}

#[test]
fn what_is_allow_listed_is_approved_at_once() {
    let list = r#"{"send_email": {"targets": ["me@example.com"], "self_only": false}}"#;
    let setting = setting(&format!("{OFTEN}, grants_file: allowed.json")).file("allowed.json", list);
    let scene = Scene::of(setting);
    scene.stage.event("grants_file");
    let send = |to: &str| {
        let body = format!(r#"{{"action": "send_email", "description": "x", "details": {{{to}}}}}"#);
        scene.by_agent("POST", "/confirm", &body)
    };
    let told = send(r#""to": "me@example.com""#);
    assert_eq!((told.status, &told.json()["status"]), (200, &json!("auto_approved")), "{told}");
    assert!(told.json()["message"].is_string());
    assert_eq!(send(r#""to": "you@example.com""#).status, 202);
    assert_eq!(
        send(r#""to": "me@example.com", "bcc": "you@example.com""#).status,
        202,
        "who is in copy counts"
    );
    // A line that is gone is a grant that is gone, and a file that is broken changes nothing.
    scene.stage.world.configure("allowed.json", "{\"send_email\": ");
    raw::wait_until(super::SOON * 3, || {
        scene.stage.events("grants_file").iter().any(|event| event["error"].is_string()).then_some(())
    })
    .expect("a bad file is told of");
    assert_eq!(send(r#""to": "me@example.com", "n": 1"#).status, 200);
    scene.stage.world.configure("allowed.json", "{}");
    raw::wait_until(super::SOON * 3, || {
        scene.stage.events("grants_file").iter().any(|event| event["revoked"] == 1).then_some(())
    })
    .expect("the grant is revoked");
    assert_eq!(send(r#""to": "me@example.com", "n": 2"#).status, 202);
}

#[test]
fn too_many_of_one_action_are_429() {
    let scene = Scene::of(setting("fatigue: off").env("CONFIRMATION_RATE_LIMIT", "2"));
    scene.ask("deploy", "1");
    scene.ask("deploy", "2");
    let told = scene.by_agent("POST", "/confirm", &question("deploy", "3"));
    assert_eq!(told.status, 429, "{told}");
    assert!(told.json()["error"].is_string() && told.header("retry-after").is_some(), "{told}");
    assert_eq!((&told.json()["remaining"], &told.json()["window_seconds"]), (&json!(0), &json!(3600)));
    // What is asked again is not asked, and another action is another allowance.
    scene.ask("deploy", "1");
    scene.ask("delete_data", "1");
}

#[test]
fn what_cannot_be_read_is_400_and_what_is_too_long_413() {
    let scene = scene(OFTEN);
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\"text\"",
        r#"{"action": "deploy"}"#,
        r#"{"description": "x"}"#,
        r#"{"action": 5, "description": "x"}"#,
        r#"{"action": "deploy", "description": {}}"#,
        r#"{"action": "deploy", "description": "x", "details": 5}"#,
        r#"{"action": "deploy", "description": "x", "session_key": 5}"#,
        r#"{"action": "deploy", "description": "x", "details": {"a": 1, "a": 2}}"#,
    ] {
        let told = scene.by_agent("POST", "/confirm", body);
        assert_eq!(told.status, 400, "{body}: {told}");
        assert!(told.json()["error"].is_string(), "{told}");
    }
    let long = question("deploy", &"x".repeat(1 << 20));
    assert_eq!(scene.by_agent("POST", "/confirm", &long).status, 413);
    assert_eq!(scene.by_operator("GET", "/pending", "").json()["pending"], json!([]));
}

#[test]
fn what_nobody_decides_expires_and_is_approved_by_nobody() {
    let scene = scene(&format!("{OFTEN}, decision_ttl: 1s"));
    let id = scene.ask("deploy", "one");
    let told = becomes(&scene, &id, "expired");
    assert_eq!(
        (&told["status"], &told["resolved_by"]),
        (&json!("expired"), &json!("system:timeout")),
        "{told}"
    );
    assert_eq!(told["is_expired"], true);
    for answer in [
        scene.approve(&id),
        scene.by_admin("POST", &format!("/api/approve/{id}"), "{}"),
        scene.by_operator("POST", "/respond", &json!({"request_id": id, "approved": true}).to_string()),
    ] {
        assert_eq!((answer.status, &answer.json()["status"]), (409, &json!("expired")), "{answer}");
    }
}

#[test]
fn audit_and_health_tell_what_they_told() {
    let scene = scene(OFTEN);
    let first = scene.ask("deploy", "one");
    let second = scene.ask("deploy", "two");
    scene.by_operator("POST", &format!("/confirm/{first}/deny"), r#"{"reason": "no"}"#);
    let audit = scene.by_operator("GET", "/audit?limit=50", "");
    assert_eq!((audit.status, &audit.json()["count"]), (200, &json!(2)), "{audit}");
    let entries = audit.json()["entries"].clone();
    assert_eq!((&entries[0]["id"], &entries[1]["id"]), (&json!(second), &json!(first)));
    assert_eq!((&entries[1]["status"], &entries[1]["reason"]), (&json!("denied"), &json!("no")));
    assert_eq!(scene.by_operator("GET", "/audit?limit=1", "").json()["count"], 1);
    let events = scene.by_operator("GET", "/audit?events=1", "").json()["entries"].clone();
    let types: Vec<&str> =
        events.as_array().into_iter().flatten().filter_map(|one| one["type"].as_str()).collect();
    assert_eq!(types, ["approval_deny", "approval_request", "approval_request"]);
    for health in [scene.by_operator("GET", "/health", ""), scene.by_agent("GET", "/health", "")] {
        let told = health.json();
        assert_eq!((&told["status"], &told["service"]), (&json!("ok"), &json!("hermes-confirmation-daemon")));
        assert_eq!((&told["pending"], &told["pending_count"]), (&json!(1), &json!(1)));
        assert!(told["timestamp"].as_f64().is_some(), "{told}");
    }
    // Who is nobody learns that it works, and no more.
    let nobody = call(scene.confirm, "GET", "/health", "", "");
    assert_eq!((nobody.status, &nobody.json()["pending"]), (200, &Value::Null), "{nobody}");
}

#[test]
fn respond_decides_what_confirm_waits_for() {
    let scene = scene(OFTEN);
    let respond = |body: Value| scene.by_operator("POST", "/respond", &body.to_string());
    let pending = || scene.by_operator("GET", "/pending", "").json()["pending"].clone();
    let wait = |description: &str, approved: bool, reason: &str| {
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let body =
                    json!({"action": "deploy", "description": description, "payload": {}, "wait": true});
                scene.by_agent("POST", "/confirm", &body.to_string())
            });
            let one = raw::wait_until(super::SOON, || pending().as_array()?.first().cloned())
                .expect("it is pending");
            assert_eq!((&one["is_pending"], &one["is_expired"]), (&json!(true), &json!(false)));
            let body = json!({"request_id": one["request_id"], "approved": approved, "decided_by": "carl", "reason": reason});
            let told = respond(body.clone());
            assert_eq!((told.status, &told.json()["request_id"]), (200, &one["request_id"]), "{told}");
            assert_eq!(respond(body).status, 409, "a repeated answer");
            waiting.join().expect("it does not panic")
        })
    };
    let yes = wait("one", true, "fine");
    assert_eq!(
        (yes.status, &yes.json()["status"], &yes.json()["reason"]),
        (200, &json!("approved"), &json!("fine"))
    );
    assert_eq!(yes.json()["decided_by"], "token:ops");
    let no = wait("two", false, "never");
    assert_eq!(
        (no.status, &no.json()["status"], &no.json()["reason"]),
        (200, &json!("denied"), &json!("never"))
    );
    assert_eq!(pending(), json!([]));
    for (body, status) in [
        (json!({"approved": true}), 400),
        (json!({"request_id": "apr_aaaaaaaaaaaaaaaaaaaaaaaaaa"}), 400),
        (json!({"request_id": 5, "approved": true}), 400),
        (json!([]), 400),
        (json!({"request_id": "apr_aaaaaaaaaaaaaaaaaaaaaaaaaa", "approved": true}), 404),
        (json!({"request_id": "0123456789ab", "approved": true}), 404),
    ] {
        assert_eq!(respond(body.clone()).status, status, "{body}");
    }
}

#[test]
fn a_default_wait_holds_as_the_daemon_did() {
    let scene = scene(&format!("{OFTEN}, decision_ttl: 1s, default_wait: 30s"));
    let told = scene.by_agent("POST", "/confirm", &question("deploy", "one"));
    assert_eq!((told.status, &told.json()["status"]), (200, &json!("expired")), "{told}");
    assert!(
        told.json()["reason"].as_str().is_some_and(|why| why.contains("silence is not consent")),
        "{told}"
    );
    // And who does not want that says so.
    let told = scene.by_agent("POST", "/confirm?wait=0", &question("deploy", "two"));
    assert_eq!(told.status, 202, "{told}");
}
