//! `mode: retry`: the request is refused with the id of its approval, comes again, and passes once.

use hudson_schema::Tier;
use hudson_schema::ledger::{ApprovalKind, ApprovalStatus, DecidedVia, Execution, GrantScope, NewGrant};
use rustix::process::Signal;

use super::{HOST, SOON, Scene, id_of, kinds, now, post, route};
use crate::raw;

const RULE: &str =
    "{name: large charge, action: require_approval, classify: transfer_funds, on_deny: Ask the treasurer.}";
const BODY: &str = r#"{"amount": 60000, "to": "acct_1"}"#;

#[test]
fn a_request_that_was_approved_passes_exactly_once() {
    let scene = Scene::new(RULE);
    let refused = scene.post(BODY).refused(403, "approval_required").says("Ask the treasurer.");
    let told = refused.json()["error"].clone();
    let id = id_of(&refused);
    assert_eq!(told["approval_id"], id.as_str(), "{refused}");
    assert_eq!((&told["action"], &told["tier"]), (&"transfer_funds".into(), &3.into()), "{refused}");
    assert_eq!((&told["rule"], &told["retryable"]), (&"large charge".into(), &true.into()), "{refused}");
    assert!(refused.header("retry-after").is_some(), "{refused}");
    assert!(refused.text().contains(&format!("hudson approvals approve {id}")), "{refused}");
    assert_eq!(scene.arrived(), 0);

    let asked = scene.desk.only();
    assert_eq!((asked.kind, asked.tier, asked.bottle.as_str()), (ApprovalKind::Http, Tier::High, "ci"));
    assert_eq!(asked.target, format!("http://{HOST}/charges"));
    assert_eq!(asked.details["body"]["amount"], 60000);
    assert!(told["digest"].as_str().is_some_and(|digest| asked.fingerprint.to_string().starts_with(digest)));

    scene.desk.approve(&id);
    scene.post(BODY).passed();
    assert_eq!(scene.arrived(), 1);
    let used = scene.desk.becomes(&id, |used| used.execution == Some(Execution::Executed));
    assert_eq!((used.status, used.execution_detail.as_deref()), (ApprovalStatus::Consumed, Some("HTTP 200")));

    let again = scene.post(BODY).refused(403, "approval_required");
    assert_ne!(id_of(&again), id, "an approval was used twice");
    assert_eq!(scene.arrived(), 1);
}

#[test]
fn asking_ten_times_is_one_question() {
    let scene = Scene::new(RULE);
    let asked: Vec<_> = (0..10).map(|_| scene.posts(BODY)).collect();
    let ids: std::collections::BTreeSet<_> = asked
        .into_iter()
        .map(|asked| id_of(&asked.join().expect("it is answered").refused(403, "approval_required")))
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let only = scene.desk.only();
    assert_eq!((scene.desk.all().len(), only.dedupe_count), (1, 9));
    assert_eq!(scene.arrived(), 0);
}

#[test]
fn one_byte_more_is_another_question() {
    let scene = Scene::new(RULE);
    let id = id_of(&scene.post(BODY));
    scene.desk.approve(&id);
    let others = [
        post(&scene.agent, "/charges", "", r#"{"amount": 60001, "to": "acct_1"}"#),
        post(&scene.agent, "/charge", "", BODY),
        post(&scene.agent, "/charges?dry=0", "", BODY),
        post(&scene.agent, "/charges", "x-account: 2\r\n", BODY),
    ];
    let mut seen = std::collections::BTreeSet::from([id.clone()]);
    for other in others {
        assert!(seen.insert(id_of(&other.refused(403, "approval_required"))), "it is the same question");
    }
    assert_eq!(scene.arrived(), 0);
    // The same in another spelling, at another attempt.
    let spelled = "{\"to\":\"acct\\u005f1\",\"amount\":60000}";
    post(&scene.agent, "/charges", "idempotency-key: 2\r\nuser-agent: retry\r\n", spelled).passed();
}

#[test]
fn another_bottle_has_its_own_questions() {
    let scene = Scene::with(&route(RULE), "", raw::Upstream::echo(), |setting| {
        setting.file("bottles/other/routes.yaml", &route(RULE))
    });
    let id = id_of(&scene.post(BODY));
    scene.desk.approve(&id);
    let other = scene.stage.agent_in("other", &[]);
    let theirs = id_of(&post(&other, "/charges", "", BODY).refused(403, "approval_required"));
    assert_ne!(theirs, id);
    assert_eq!(scene.arrived(), 0);
    scene.post(BODY).passed();
}

#[test]
fn a_body_with_the_same_key_twice_is_not_asked_about() {
    let scene = Scene::new(RULE);
    let twice = r#"{"amount": 1, "amount": 60000}"#;
    scene.post(twice).refused(400, "malformed_request").says("twice");
    assert!(scene.desk.all().is_empty());
}

#[test]
fn a_denial_says_why_and_is_remembered() {
    let scene = Scene::new(RULE);
    let id = id_of(&scene.post(BODY));
    scene.desk.deny(&id, "not before\nFriday");
    for _ in 0..2 {
        let denied = scene.post(BODY).refused(403, "approval_denied").says("not before Friday");
        assert_eq!(denied.header("retry-after"), None, "{denied}");
        assert_eq!(id_of(&denied), id);
    }
    assert_eq!((scene.arrived(), scene.desk.all().len()), (0, 1));
}

#[test]
fn what_is_revoked_or_cancelled_lets_nothing_through() {
    let scene = Scene::new(RULE);
    let id = id_of(&scene.post(BODY));
    scene.desk.approve(&id);
    scene.desk.revoke(&id);
    let next = id_of(&scene.post(BODY).refused(403, "approval_required"));
    assert_ne!(next, id);
    assert_eq!(scene.desk.cancel(), 1);
    assert_ne!(id_of(&scene.post(BODY).refused(403, "approval_required")), next);
    assert_eq!(scene.arrived(), 0);
}

#[test]
fn silence_is_no_consent() {
    let scene =
        Scene::with(&route(RULE), "approvals: {decision_ttl: 1s}\n", raw::Upstream::echo(), |set| set);
    let id = id_of(&scene.post(BODY));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    scene.desk.sweep();
    let ended = scene.desk.fetch(&id);
    assert_eq!((ended.status, ended.decided_by), (ApprovalStatus::Expired, None));
    assert_ne!(id_of(&scene.post(BODY).refused(403, "approval_required")), id);
    assert_eq!(scene.arrived(), 0);
}

#[test]
fn a_reload_that_changes_the_rule_asks_anew_and_another_does_not() {
    let scene = Scene::new(RULE);
    let id = id_of(&scene.post(BODY));
    scene.desk.approve(&id);
    let reload = |routes: &str| {
        let before = scene.stage.events("configuration_reloaded").len();
        scene.stage.world.configure("bottles/ci/routes.yaml", routes);
        scene.stage.signal(Signal::HUP);
        let seen = || (scene.stage.events("configuration_reloaded").len() > before).then_some(());
        raw::wait_until(SOON, seen).expect("the change is seen");
    };
    // A line above it, and another host, are nothing of its.
    reload(&format!("# Charges.\n{}  - host: other.example.com\n", route(RULE)));
    scene.post(BODY).passed();

    let id = id_of(&scene.post(BODY).refused(403, "approval_required"));
    scene.desk.approve(&id);
    reload(&route(&RULE.replace("Ask the treasurer.", "Ask the board.")));
    let next = scene.post(BODY).refused(403, "approval_required").says("Ask the board.");
    assert_ne!(id_of(&next), id, "an approval of another rule was used");
    assert_eq!(scene.desk.fetch(&id).status, ApprovalStatus::Revoked);
    assert_eq!(scene.arrived(), 1);
}

#[test]
fn a_grant_lets_through_what_it_names_and_no_action_of_high_risk() {
    let rule = RULE.replace("transfer_funds", "send_invoice");
    let grant = |action: &str| NewGrant {
        scope: GrantScope::Bottle { bottle: "ci".parse().expect("a name") },
        kind: ApprovalKind::Http,
        action: action.to_owned(),
        target: Some(format!("http://{HOST}/charges")),
        finding: None,
        max_uses: Some(1),
        expires_at: Some(now() + 600_000),
        actor: "uid:1000".to_owned(),
        via: DecidedVia::Cli,
        reason: None,
        now: now(),
    };
    let scene = Scene::new(&rule);
    scene.desk.grant(grant("send_invoice"));
    scene.post(BODY).passed();
    scene.post(BODY).refused(403, "approval_required");

    let scene = Scene::new(RULE);
    scene.desk.grant(grant("transfer_funds"));
    scene.post(BODY).refused(403, "approval_required");
    assert_eq!(scene.arrived(), 0);
}

#[test]
fn who_asks_too_often_is_told_and_at_last_stopped() {
    let settings = "approvals: {rate_limit: 2/hour, max_pending_per_bottle: 9, fatigue: {threshold: 3, window: 1h, then: pause_bottle}}\n";
    let scene = Scene::with(&route(RULE), settings, raw::Upstream::echo(), |set| set);
    let ask = |amount: u32| scene.post(&format!(r#"{{"amount": {amount}}}"#));
    ask(1).refused(403, "approval_required");
    ask(2).refused(403, "approval_required");
    let often = ask(3).refused(403, "approval_unavailable").says("too often");
    assert!(often.header("retry-after").is_some(), "{often}");
    // What is pending already is no new question.
    ask(2).refused(403, "approval_required");
    assert_eq!(scene.desk.all().len(), 2);

    let settings = "approvals: {fatigue: {threshold: 2, window: 1h, then: pause_bottle}}\n";
    let scene = Scene::with(&route(RULE), settings, raw::Upstream::echo(), |set| set);
    let ask = |amount: u32| scene.post(&format!(r#"{{"amount": {amount}}}"#));
    let id = id_of(&ask(1));
    ask(2).refused(403, "approval_required");
    ask(3).refused(403, "approval_unavailable").says("is paused");
    ask(1).refused(403, "bottle_cut_off").says("people were asked");
    // What it has asked is taken back, and what it asks after that counts as before.
    scene.desk.becomes(&id, |taken_back| taken_back.status == ApprovalStatus::Cancelled);
    scene.stage.hudson(&["bottle", "resume", "ci"]).exited(0);
    // That it may ask again is seen a moment later.
    let paused = |answer: &raw::Answer| answer.header("x-hudson-refusal") == Some("approval_unavailable");
    assert!(raw::wait_until(SOON, || Some(ask(1)).filter(paused)).is_some(), "it is not paused again");
    ask(1).refused(403, "bottle_cut_off").says("people were asked");
    assert_eq!(scene.arrived(), 0);
}

#[test]
fn where_a_rule_names_who_decides_nobody_else_does() {
    let rule = "{name: large charge, action: require_approval, approvers: ['uid:1000']}";
    let scene = Scene::new(rule);
    let id = id_of(&scene.post(BODY).refused(403, "approval_required"));
    let words = ["approvals", "approve", id.as_str(), "--reason", "fine"];
    // The tests are not run as that user, or are they?
    let by_command = scene.stage.hudson(&words);
    if rustix::process::getuid().as_raw() != 1000 {
        assert!(by_command.exited(4).everything().contains("names who may decide"), "{by_command}");
        scene.post(BODY).refused(403, "approval_required");
        scene.desk.approve(&id);
    }
    scene.post(BODY).passed();
}

#[test]
fn every_step_is_in_the_audit_and_no_secret_is_anywhere() {
    let secret = crate::dlp::TOKEN;
    // The route supervises by default; redacting shows what a person is shown.
    let routes = route("{name: send, action: require_approval}")
        .replace("    rules:", "    outbound_on_match: redact\n    rules:");
    let scene = Scene::with(&routes, "", raw::Upstream::echo(), |set| set);
    let body = format!(r#"{{"note": "{secret}"}}"#);
    let id = id_of(&scene.post(&body).refused(403, "approval_required"));
    scene.desk.approve(&id);
    scene.post(&body).passed();
    scene.desk.becomes(&id, |used| used.execution == Some(Execution::Executed));
    let events = scene.desk.events(&id);
    let expected = ["approval_request", "approval_approve", "approval_consume", "approval_finish"];
    assert!(expected.iter().all(|kind| kinds(&events).contains(kind)), "{events:#?}");
    scene.stage.hudson(&["audit", "verify"]).exited(0);
    let told = format!("{:?}{:?}{}", scene.desk.fetch(&id), events, scene.stage.log());
    assert!(!told.contains(secret) && !scene.upstream.seen().iter().any(|seen| seen.contains(secret)));
}
