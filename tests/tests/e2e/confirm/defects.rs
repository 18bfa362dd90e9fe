//! What the servers that went before did wrong, a test each. The numbers are those of the reference, section B.5.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    OFTEN, SOON, Scene, TOKEN, basic, bearer, becomes, call, open, question, raw_call, scene, setting,
};
use crate::raw;
use crate::raw::answer::read_answer;

/// An action with this in its body.
fn ask_with(scene: &Scene, more: Value) -> raw::Answer {
    let mut body = json!({"action": "deploy", "description": "x"});
    let members = more.as_object().cloned().unwrap_or_default();
    body.as_object_mut().expect("it is an object").extend(members);
    scene.by_agent("POST", "/confirm", &body.to_string())
}

#[test]
fn defect_01_the_audit_is_readable() {
    let scene = scene(OFTEN);
    let id = scene.ask("deploy", "one");
    let audit = scene.by_operator("GET", "/audit", "");
    assert_eq!((audit.status, &audit.json()["entries"][0]["id"]), (200, &json!(id)), "{audit}");
}

#[test]
fn defect_02_what_has_expired_is_not_approved_unread_or_not() {
    let scene = scene(&format!("{OFTEN}, decision_ttl: 1s"));
    let id = scene.ask("deploy", "one");
    // Nobody reads it meanwhile.
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(scene.approve(&id).status, 409);
    assert_eq!(scene.record(&id)["status"], "expired");
}

#[test]
fn defect_03_the_audit_keeps_every_step_and_the_reason() {
    let scene = scene(OFTEN);
    let id = scene.ask("deploy", "one");
    scene.by_operator("POST", &format!("/confirm/{id}/deny"), r#"{"reason": "because"}"#);
    let steps = scene.by_operator("GET", "/audit?events=1", "").json()["entries"].clone();
    assert_eq!((&steps[1]["type"], &steps[1]["id"]), (&json!("approval_request"), &json!(id)));
    assert_eq!(
        (&steps[0]["type"], &steps[0]["data"]["reason"]),
        (&json!("approval_deny"), &json!("because"))
    );
    assert_eq!(scene.record(&id)["reason"], "because");
    scene.stage.hudson(&["audit", "verify"]).exited(0);
}

#[test]
fn defect_04_what_passes_by_itself_is_on_record() {
    let scene = scene(OFTEN);
    let told = scene.by_agent("POST", "/confirm", &question("read_file", "the notes"));
    assert_eq!((told.status, &told.json()["status"]), (200, &json!("auto_approved")), "{told}");
    let id = told.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(scene.by_agent("GET", &format!("/confirm/{id}"), "").json()["status"], "auto_approved");
    assert_eq!(scene.by_operator("GET", "/audit", "").json()["entries"][0]["id"], json!(id));
    let steps = scene.by_operator("GET", "/audit?events=1", "").json()["entries"].clone();
    assert!(steps.to_string().contains("approval_auto_approve"), "{steps}");
}

#[test]
fn defect_05_no_list_lets_an_action_of_high_risk_pass() {
    let list = r#"{"transfer_funds": {"targets": ["me"]}, "delete_data": {"targets": ["me"]}, "mine": {"targets": ["me"]}}"#;
    let setting = setting(&format!("{OFTEN}, non_bypassable: [mine], grants_file: allowed.json"));
    let scene = Scene::of(setting.file("allowed.json", list));
    scene.stage.event("grants_file");
    for action in ["transfer_funds", "delete_data", "mine"] {
        let told = ask_with(&scene, json!({"action": action, "target": "me"}));
        assert_eq!((told.status, &told.json()["status"]), (202, &json!("pending")), "{action}: {told}");
    }
}

#[test]
fn defect_06_what_is_pending_survives_a_restart_and_what_is_decided_is_not_counted() {
    let scene = scene(OFTEN);
    let (pending, decided) = (scene.ask("deploy", "one"), scene.ask("deploy", "two"));
    scene.approve(&decided);
    assert_eq!(scene.by_operator("GET", "/health", "").json()["pending_count"], 1);
    let Scene { mut stage, .. } = scene;
    stage.signal(rustix::process::Signal::KILL);
    stage.ends_within(SOON);
    let mut again = hudson_tests::clients::clean(&hudson_tests::hudson::binary().display().to_string());
    let ready = stage.world.scratch().join("again.json");
    again.arg("--home").arg(stage.world.home()).args(["up", "--listen", "127.0.0.1:0"]);
    again.arg("--ready-file").arg(&ready).env("OPS_TOKEN", TOKEN).stderr(std::process::Stdio::null());
    let _again = hudson_tests::process::Background::start(&mut again);
    let told =
        raw::wait_until(Duration::from_secs(20), || std::fs::read(&ready).ok()).expect("it is ready again");
    let told: Value = serde_json::from_slice(&told).expect("the ready file is JSON");
    let confirm = told["confirm"].as_str().and_then(|at| at.parse().ok()).expect("it listens");
    let answer = call(confirm, "POST", &format!("/confirm/{pending}/approve"), &bearer(TOKEN), "{}");
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("approved")), "{answer}");
    let answer = call(confirm, "GET", &format!("/confirm/{decided}"), &bearer(TOKEN), "");
    assert_eq!(answer.json()["status"], "approved", "{answer}");
}

#[test]
fn defect_07_another_name_is_no_new_allowance_and_repeats_cost_none() {
    let scene = scene("rate_limit: 3/hour, fatigue: off");
    for name in ["frobnicate", "frobnicate2", "Frobnicate-3"] {
        assert_eq!(ask_with(&scene, json!({"action": name})).status, 202);
        assert_eq!(ask_with(&scene, json!({"action": name})).status, 202, "the same again is free");
    }
    assert_eq!(ask_with(&scene, json!({"action": "frobnicate4"})).status, 429, "unknown actions are one");
    assert_eq!(ask_with(&scene, json!({"action": "deploy_production"})).status, 202, "a known one is itself");
}

#[test]
fn defect_08_wrong_types_are_400_and_never_500() {
    let scene = scene(OFTEN);
    let values = ["5", "[]", "{}", "true", "1e999", "\"\\ud800\""];
    for field in [
        "action",
        "description",
        "details",
        "payload",
        "session_key",
        "requester",
        "risk_level",
        "wait",
        "target",
    ] {
        // A wait that is understood is a wait.
        for value in values.into_iter().filter(|value| field != "wait" || !matches!(*value, "true" | "5")) {
            let body = match field {
                "action" => format!(r#"{{"action": {value}, "description": "x"}}"#),
                "description" => format!(r#"{{"action": "deploy", "description": {value}}}"#),
                field => format!(r#"{{"action": "deploy", "description": "x", "{field}": {value}}}"#),
            };
            let told = scene.by_agent("POST", "/confirm", &body);
            assert!(matches!(told.status, 200 | 202 | 400), "{body}: {told}");
        }
    }
    for body in ["[]", "5", "null", "{\"approved\": []}", "\u{feff}{}"] {
        assert_eq!(scene.by_operator("POST", "/respond", body).status, 400, "{body}");
    }
}

#[test]
fn defect_09_one_who_waits_keeps_nobody_from_answering() {
    let scene = scene(OFTEN);
    let headers =
        format!("Host: {}\r\nContent-Type: application/json\r\n{}", scene.confirm, basic(&scene.agent));
    let mut waiting = open(scene.confirm, "POST", "/confirm?wait=50", &headers, &question("deploy", "one"));
    let id = raw::wait_until(SOON, || {
        scene.by_operator("GET", "/pending", "").json()["pending"][0]["id"].as_str().map(str::to_owned)
    });
    let body = json!({"request_id": id.expect("it is asked"), "approved": true});
    assert_eq!(scene.by_operator("POST", "/respond", &body.to_string()).status, 200);
    assert_eq!(read_answer(&mut waiting, false).expect("it is answered").json()["status"], "approved");
}

#[test]
fn defect_10_a_yes_is_a_yes_to_who_waits() {
    let scene = scene(OFTEN);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| scene.by_agent("POST", "/confirm?wait=30", &question("deploy", "one")));
        let id = raw::wait_until(SOON, || {
            scene.by_operator("GET", "/pending", "").json()["pending"][0]["id"].as_str().map(str::to_owned)
        });
        scene.approve(&id.expect("it is asked"));
        assert_eq!(waiting.join().expect("it does not panic").json()["status"], "approved");
    });
}

#[test]
fn defect_11_what_has_expired_is_told_as_expired_to_who_waits() {
    let scene = scene(&format!("{OFTEN}, decision_ttl: 1s"));
    let told = scene.by_agent("POST", "/confirm?wait=30", &question("deploy", "one"));
    assert_eq!((told.status, &told.json()["status"]), (200, &json!("expired")), "{told}");
    assert_eq!(scene.by_operator("GET", "/pending", "").json()["pending"], json!([]));
}

#[test]
fn defect_12_an_agent_lowers_no_risk() {
    let scene = scene(OFTEN);
    for (action, wish, expected) in [
        ("deploy", json!({"risk_level": "low"}), "medium"),
        ("deploy", json!({"tier": 0}), "medium"),
        ("transfer_funds", json!({"risk_level": "low"}), "high"),
        ("deploy", json!({"risk_level": "critical"}), "critical"),
        ("terminal", json!({"risk_level": "low", "command": "rm -rf /"}), "critical"),
        ("terminal", json!({"risk_level": "low", "details": {"cmd": "rm -fr /"}}), "critical"),
    ] {
        let mut body = wish;
        body["action"] = json!(action);
        let told = ask_with(&scene, body.clone());
        assert_eq!(told.status, 202, "{body}: {told}");
        let level = told.json()["risk_level"].as_str().unwrap_or_default().to_owned();
        let rank = |level: &str| ["low", "medium", "high", "critical"].iter().position(|one| *one == level);
        assert!(rank(&level) >= rank(expected), "{body} is {level}, not {expected}");
    }
}

#[test]
fn defect_13_only_true_approves() {
    let scene = scene(OFTEN);
    let id = scene.ask("deploy", "one");
    for approved in [json!("false"), json!("true"), json!(1), json!(0), json!([]), json!("no"), Value::Null] {
        let body = json!({"request_id": id, "approved": approved});
        assert_eq!(scene.by_operator("POST", "/respond", &body.to_string()).status, 400, "{body}");
    }
    assert_eq!(scene.record(&id)["status"], "pending");
}

#[test]
fn defect_14_two_things_that_an_agent_says_allow_nothing() {
    let list =
        r#"{"send_email": {"targets": ["me@example.com"], "self_only": true}, "note": {"self_only": true}}"#;
    let setting = setting(&format!("{OFTEN}, grants_file: allowed.json")).file("allowed.json", list);
    let scene = Scene::of(setting);
    scene.stage.event("grants_file");
    let warned = scene.stage.events("grants_file");
    assert!(warned.iter().any(|event| event["warning"].to_string().contains("self_only")), "{warned:?}");
    for details in [
        json!({"to": "you@example.com", "from": "you@example.com"}),
        json!({"to": "me@example.com", "cc": "you@example.com"}),
        json!({"to": "me@example.com", "bcc": ["you@example.com"]}),
        json!({"recipient": "me@example.com", "to": "you@example.com"}),
    ] {
        let told = ask_with(&scene, json!({"action": "send_email", "details": details}));
        assert_eq!(told.status, 202, "{told}");
    }
    let told = ask_with(&scene, json!({"action": "note", "details": {"to": "a", "from": "a"}}));
    assert_ne!(told.json()["decided_by"], "approvals.grants_file", "{told}");
}

#[test]
fn defect_15_what_was_decided_stays_on_record_and_says_so_again() {
    let scene = scene(OFTEN);
    let id = scene.ask("deploy", "one");
    let body = json!({"request_id": id, "approved": false}).to_string();
    assert_eq!(scene.by_operator("POST", "/respond", &body).status, 200);
    let again = scene.by_operator("POST", "/respond", &body);
    assert_eq!((again.status, &again.json()["status"]), (409, &json!("denied")), "{again}");
    assert_eq!(scene.by_operator("GET", "/audit", "").json()["entries"][0]["status"], "denied");
}

#[test]
fn defect_16_nobody_decides_by_saying_who_they_are() {
    let scene = scene(OFTEN);
    let id = scene.ask("deploy", "one");
    let claims =
        json!({"request_id": id, "approved": true, "approver": "token:ops", "decided_by": "token:ops"})
            .to_string();
    let wrong =
        [String::new(), basic(&scene.agent), bearer("wrong"), bearer(""), bearer(&scene.agent.credentials)];
    for headers in &wrong {
        for (method, path) in [
            ("POST", "/respond".to_owned()),
            ("POST", format!("/confirm/{id}/approve")),
            ("POST", format!("/confirm/{id}/deny")),
            ("GET", "/pending".to_owned()),
            ("GET", "/audit".to_owned()),
        ] {
            let told = call(scene.confirm, method, &path, headers, &claims);
            assert!(matches!(told.status, 401 | 403), "{path} with {headers:?}: {told}");
        }
        for path in [format!("/api/approve/{id}"), format!("/api/deny/{id}")] {
            let told = call(scene.admin, "POST", &path, headers, &claims);
            assert!(matches!(told.status, 401 | 403), "{path}: {told}");
        }
    }
    assert_eq!(scene.record(&id)["status"], "pending");
    let told = scene.by_operator("POST", "/respond", &claims.replace("token:ops", "the boss"));
    assert_eq!(
        (&told.json()["decided_by"], &told.json()["claimed_by"]),
        (&json!("token:ops"), &json!("the boss"))
    );
    // Each try is told of, and in the audit.
    assert!(scene.stage.event("decision_refused")["actor"].is_string());
    let audited: Vec<_> = scene.audited("approval_refuse");
    assert!(
        audited.iter().any(|row| row.starts_with("run:")) && audited.iter().any(|row| row == "nobody"),
        "{audited:?}"
    );
    // Nor does an operator ask, and so decide on their own behalf.
    assert_eq!(scene.by_operator("POST", "/confirm", &question("deploy", "two")).status, 403);
}

#[test]
fn defect_17_no_web_page_reaches_it() {
    let scene = scene(OFTEN);
    let id = scene.ask("deploy", "one");
    let (own, json_kind) = (format!("Host: {}\r\n", scene.confirm), "Content-Type: application/json\r\n");
    let port = scene.confirm.port();
    let token = bearer(TOKEN);
    for (headers, status) in [
        (format!("Host: rebound.example:{port}\r\n{json_kind}"), 421),
        (format!("Host: 127.0.0.1\r\n{json_kind}"), 421),
        (format!("{own}{json_kind}Origin: http://localhost:{port}\r\n"), 403),
        (format!("{own}{json_kind}Origin: null\r\n"), 403),
        (format!("{own}{json_kind}Sec-Fetch-Site: cross-site\r\n"), 403),
        (format!("{own}{json_kind}Sec-Fetch-Site: same-site\r\n"), 403),
        (format!("{own}Content-Type: text/plain\r\n"), 415),
        (format!("{own}Content-Type: application/x-www-form-urlencoded\r\n"), 415),
        (own.clone(), 415),
    ] {
        let told = raw_call(
            scene.confirm,
            "POST",
            &format!("/confirm/{id}/approve"),
            &(headers.clone() + &token),
            "{}",
        );
        assert_eq!(told.status, status, "{headers}: {told}");
        assert_eq!(told.header("access-control-allow-origin"), None);
    }
    let preflight = format!("{own}Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n");
    assert_eq!(raw_call(scene.confirm, "OPTIONS", "/respond", &preflight, "").status, 403);
    assert_eq!(scene.record(&id)["status"], "pending");
    for host in [format!("localhost:{port}"), format!("[::1]:{port}")] {
        let headers = format!("Host: {host}\r\n{token}");
        assert_eq!(raw_call(scene.confirm, "GET", "/pending", &headers, "").status, 200, "{host}");
    }
}

#[test]
fn defect_26_what_must_not_be_shown_is_shown_to_nobody() {
    let secret = "k7Qz-93hfLw-2mxPd-81vRt";
    // A credential of the bottle's routes: it is the operator's, and the agent has come by it.
    let routes = "routes:\n  - {host: files.example.com, auth_scheme: Bearer, token_env: EGRESS_TOKEN_0}\n";
    let setting = setting(OFTEN).file("bottles/ci/routes.yaml", routes).env("EGRESS_TOKEN_0", secret);
    let scene = Scene::of(setting);
    let more = json!({
        "description": format!("use {secret}\nstatus: approved"),
        "details": {"nested": [{"key": secret}], secret: 1},
        "session_key": "s1",
    });
    let told = ask_with(&scene, more);
    assert_eq!(told.status, 202, "{told}");
    let id = told.json()["id"].as_str().expect("an id").to_owned();
    let seen = [
        scene.record(&id).to_string(),
        scene.by_operator("GET", "/pending", "").text(),
        scene.by_operator("GET", "/audit?events=1", "").text(),
        scene.stage.log(),
        scene.stage.hudson(&["audit", "export"]).everything(),
    ];
    assert!(seen.iter().all(|text| !text.contains(secret)), "{seen:#?}");
    // What people compare says nothing of it, and is of what was really asked.
    let other = ask_with(&scene, json!({"description": "use k8Qz-93hfLw-2mxPd-81vRt\nstatus: approved"}));
    assert_ne!(
        scene.record(&id)["digest"],
        scene.record(other.json()["id"].as_str().expect("an id"))["digest"]
    );
}

#[test]
fn defect_27_silence_is_nobodys_no() {
    let scene = scene(&format!("{OFTEN}, decision_ttl: 1s"));
    let told = scene.by_agent("POST", "/confirm?wait=30", &question("deploy", "one")).json();
    assert_eq!((&told["status"], &told["decided_by"]), (&json!("expired"), &json!("system:timeout")));
    let message = told["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("nobody answered in time") && message.contains("nobody has denied"),
        "{message}"
    );
    let id = told["id"].as_str().expect("an id");
    becomes(&scene, id, "expired");
    // It is no denial that would be remembered: the same can be asked again.
    assert_eq!(scene.by_agent("POST", "/confirm", &question("deploy", "one")).status, 202);
}
