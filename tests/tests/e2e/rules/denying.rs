//! What rules deny and what they let through, by every part of a request.

use super::{HOST, Scene, routes};
use crate::raw;

#[test]
fn a_rule_denies_with_its_own_words_and_nothing_leaves() {
    let scene = Scene::new(&[
        "{name: no large charge, action: deny, on_deny: Ask accounting, conditions: [{path: body.amount, op: gt, value: 50000}, {path: method, op: eq, value: POST}]}",
    ]);
    let answer = scene.post(r#"{"amount":50001}"#).refused(403, "rule_denied");
    let answer = answer.says("Ask accounting. The rule").says("no large charge").says("line 6");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(scene.arrived(), 0);
    scene.post(r#"{"amount":50000}"#).passed().says(r#"{"amount":50000}"#);
    scene.get("/charges").passed();
    let event = scene.stage.event("refusal");
    assert_eq!((&event["code"], &event["bottle"]), (&"rule_denied".into(), &"ci".into()), "{event}");
}

#[test]
fn every_part_of_a_request_can_be_asked_for() {
    let scene = Scene::new(&[
        "{name: by method, action: deny, conditions: [{path: method, op: in, value: [DELETE, PATCH]}]}",
        "{name: by path, action: deny, conditions: [{path: path, op: regex, value: '/admin(/.*)?'}]}",
        "{name: by query, action: deny, conditions: [{path: query.force, op: exists}]}",
        "{name: by header, action: deny, conditions: [{path: header.x-mode, op: neq, value: safe}]}",
        "{name: by body, action: deny, conditions: [{path: body.tags, op: contains, value: prod}]}",
        "{name: by bottle, action: deny, conditions: [{path: bottle.name, op: eq, value: ci}, {path: path, op: eq, value: /ci}]}",
        "{name: by agent, action: deny, conditions: [{path: bottle.agent, op: eq, value: reviewer}, {path: path, op: eq, value: /agent}]}",
        "{name: by host, action: deny, conditions: [{path: host, op: not_in, value: [files.example.com]}]}",
    ]);
    let denied = |answer: raw::Answer, rule: &str| drop(answer.refused(403, "rule_denied").says(rule));
    denied(scene.ask("DELETE", "/", "", b""), "by method");
    denied(scene.get("/admin/users"), "by path");
    denied(scene.get("/a?force"), "by query");
    denied(scene.ask("GET", "/", "x-mode: fast\r\n", b""), "by header");
    denied(scene.post(r#"{"tags":["dev","prod"]}"#), "by body");
    denied(scene.get("/ci"), "by bottle");
    scene.get("/agent").passed();
    let reviewer = scene.stage.agent_in("ci", &["--agent", "reviewer"]);
    denied(super::ask(&reviewer, "GET", "/agent", "", b""), "by agent");
    let other = scene.stage.agent_in("ci", &["--agent", "writer"]);
    super::ask(&other, "GET", "/agent", "", b"").passed();
    scene.ask("GET", "/", "x-mode: safe\r\n", b"").passed();
    scene.post(r#"{"tags":["dev"]}"#).passed();
    assert_eq!(scene.arrived(), 4);
}

#[test]
fn where_rules_allow_nothing_else_passes() {
    let scene = Scene::new(&[
        "{name: reads, action: allow, conditions: [{path: method, op: in, value: [GET, HEAD]}]}",
        "{name: small charges, action: allow, on_deny: Only small charges., conditions: [{path: body.amount, op: lte, value: 100}]}",
        "{name: never there, action: deny, conditions: [{path: path, op: eq, value: /secret}]}",
    ]);
    scene.get("/").passed();
    scene.get("/secret").refused(403, "rule_denied").says("never there");
    scene.post(r#"{"amount":100}"#).passed();
    for body in [r#"{"amount":101}"#, "{}", "amount=1", r#"{"amount":1,"Amount":999}"#] {
        scene.post(body).refused(403, "rule_denied").says("No rule of the route that allows");
    }
    assert_eq!(scene.arrived(), 2);
}

/// Rules are read anew with their file; one that is wrong leaves those of before in force.
#[test]
fn rules_change_with_their_file() {
    let rule = |path: &str| {
        routes(&[&format!("{{name: it, action: deny, conditions: [{{path: path, op: eq, value: {path}}}]}}")])
    };
    let scene = Scene::new(&["{name: it, action: deny, conditions: [{path: path, op: eq, value: /a}]}"]);
    scene.get("/a").refused(403, "rule_denied");
    scene.get("/b").passed();
    let reloads = |yaml: &str, event: &str| {
        let before = scene.stage.events(event).len();
        scene.stage.world.configure("bottles/ci/routes.yaml", yaml);
        let seen = || (scene.stage.events(event).len() > before).then_some(());
        let limit = std::time::Duration::from_secs(5);
        assert!(raw::wait_until(limit, seen).is_some(), "{event} is not seen:\n{}", scene.stage.log());
    };
    reloads(&rule("/b"), "configuration_reloaded");
    scene.get("/a").passed();
    scene.get("/b").refused(403, "rule_denied");
    reloads(&rule("c"), "configuration_kept");
    scene.get("/b").refused(403, "rule_denied");
}

#[test]
fn what_asks_a_person_does_not_pass_by_itself() {
    let scene = Scene::new(&[
        "{name: large, action: require_approval, conditions: [{path: body.amount, op: gt, value: 5}]}",
    ]);
    scene.post(r#"{"amount":6}"#).refused(403, "approval_required").says("large");
    scene.post(r#"{"amount":5}"#).passed();
    assert_eq!(scene.arrived(), 1);
}

#[test]
fn explain_names_the_rule_and_its_line() {
    let scene = Scene::new(&[
        "{name: no deletes, action: deny, conditions: [{path: method, op: eq, value: DELETE}]}",
        "{name: large, action: deny, conditions: [{path: method, op: eq, value: POST}, {path: body.amount, op: gt, value: 5}]}",
        "{name: slowly, action: allow, rate_limit: 10/hour}",
    ]);
    let explain = |method: &str| {
        let url = format!("http://{HOST}/x");
        let outcome = scene.stage.hudson(&["--json", "explain", method, &url, "--bottle", "ci"]);
        serde_json::from_slice::<serde_json::Value>(&outcome.stdout).expect("`--json` prints JSON")
    };
    let denied = explain("DELETE");
    assert_eq!(
        (&denied["decision"], &denied["code"]),
        (&"refused".into(), &"rule_denied".into()),
        "{denied}"
    );
    assert!(denied["reason"].as_str().is_some_and(|why| why.contains("\"no deletes\" (line 6)")), "{denied}");
    let open = explain("POST");
    let said = &open["rules"];
    assert_eq!((&said["rule"], &said["verdict"]), (&"large".into(), &"open".into()), "{open}");
    let passes = explain("GET");
    let said = &passes["rules"];
    assert_eq!(
        (&said["rule"], &said["line"], &said["verdict"]),
        (&"slowly".into(), &8.into(), &"passes".into()),
        "{passes}"
    );
    let text = scene.stage.hudson(&["explain", "GET", &format!("http://{HOST}/x"), "--bottle", "ci"]);
    assert!(
        String::from_utf8_lossy(&text.stdout).contains("\"slowly\" (line 8) allows it, 10 times a hour"),
        "{text}"
    );
}
