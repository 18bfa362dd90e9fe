//! The admin API: the same approvals, decided as often as one likes to say the same.

use serde_json::json;

use super::{OFTEN, call, scene, setting};
use crate::raw;

#[test]
fn the_same_decision_again_is_the_same_answer() {
    let scene = scene(OFTEN);
    let id = scene.ask("deploy", "one");
    let one = scene.by_admin("GET", &format!("/api/pending/{id}"), "");
    assert_eq!((one.status, &one.json()["status"]), (200, &json!("pending")), "{one}");
    assert_eq!(scene.by_admin("GET", "/api/pending", "").json()["pending"][0]["id"], json!(id));
    for _ in 0..2 {
        let told = scene.by_admin("POST", &format!("/api/approve/{id}"), r#"{"actor": "x", "reason": "ok"}"#);
        assert_eq!((told.status, &told.json()["status"]), (200, &json!("approved")), "{told}");
    }
    assert_eq!(scene.by_admin("POST", &format!("/api/deny/{id}"), "{}").status, 409, "another decision");
    assert_eq!(scene.by_admin("GET", "/api/pending/apr_aaaaaaaaaaaaaaaaaaaaaaaaaa", "").status, 404);
    assert_eq!(scene.by_admin("GET", "/confirm", "").status, 404, "nobody asks here");
    assert_eq!(call(scene.admin, "GET", "/api/pending", "", "").status, 401);
    assert_eq!(scene.by_admin("DELETE", &format!("/api/pending/{id}"), "").status, 405);
}

#[test]
fn a_critical_action_is_approved_with_a_reason_only() {
    let scene = scene(&format!("{OFTEN}, tiers: {{launch: critical}}"));
    let id = scene.ask("launch", "the rocket");
    for answer in [
        scene.by_admin("POST", &format!("/api/approve/{id}"), "{}"),
        scene.by_operator("POST", &format!("/confirm/{id}/approve"), r#"{"reason": " "}"#),
    ] {
        assert_eq!((answer.status, &answer.json()["code"]), (422, &json!("reason_required")), "{answer}");
    }
    let told = scene.by_admin("POST", &format!("/api/approve/{id}"), r#"{"reason": "all is checked"}"#);
    assert_eq!((told.status, &told.json()["status"]), (200, &json!("approved")), "{told}");
}

#[test]
fn two_people_are_asked_where_two_must_approve() {
    let tokens = "approvals: {approvers: {tokens: {ops: {env: OPS_TOKEN}, anna: {env: ANNA}}}, \
                  require_distinct_approvers: {medium: 2}}\n";
    let settings = format!("control: {{confirm: '127.0.0.1:0', admin: '127.0.0.1:0'}}\n{tokens}");
    let setting = setting("").settings(&settings).env("ANNA", "the-token-of-anna-0123456789");
    let scene = super::Scene::of(setting);
    let id = scene.ask("deploy", "one");
    for _ in 0..2 {
        let told = scene.approve(&id);
        assert_eq!(
            (told.status, &told.json()["missing"]),
            (202, &json!(1)),
            "one person is one, however often: {told}"
        );
    }
    let anna = super::bearer("the-token-of-anna-0123456789");
    let told = call(scene.confirm, "POST", &format!("/confirm/{id}/approve"), &anna, "{}");
    assert_eq!((told.status, &told.json()["resolved_by"]), (200, &json!("token:anna")), "{told}");
}

#[test]
fn it_is_off_unless_the_settings_say_so_and_loopback_only() {
    let stage = raw::routes(super::ROUTES).settings("control: {confirm: off}\n").start();
    let ready = std::fs::read_to_string(stage.world.scratch().join("ready.json")).expect("it is there");
    assert!(ready.contains("\"confirm\":null") && ready.contains("\"admin\":null"), "{ready}");
    for key in ["confirm", "admin"] {
        stage.world.configure("settings.yml", &format!("control: {{{key}: '0.0.0.0:0'}}\n"));
        let refused = stage.hudson(&["check"]);
        assert!(refused.everything().contains("is reached from other hosts"), "{refused}");
    }
}
