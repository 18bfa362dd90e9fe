//! `outbound_on_match: supervise`: what DLP finds is held for a person, who lets those very values through, or does not.

use std::time::Instant;

use hudson_schema::Tier;
use hudson_schema::ledger::{ApprovalKind, ApprovalStatus, DecidedVia, GrantScope, NewGrant};

use super::{HOST, SOON, Scene, ask, id_of, now};
use crate::dlp::TOKEN;
use crate::raw::{Answer, Upstream};

fn scene(settings: &str) -> Scene {
    Scene::with(
        &format!("routes:\n  - host: {HOST}\n    scheme: http\n"),
        settings,
        Upstream::echo(),
        |set| set,
    )
}

/// Another value in the same documented form.
const OTHER: &str = "AKIAQYLPMN5HHHFPZAM2";

fn body(value: &str) -> String {
    format!(r#"{{"note": "{value}"}}"#)
}

#[test]
fn a_finding_that_is_approved_leaves_with_this_request_and_no_other() {
    let scene = scene("");
    let held = scene.posts(&body(TOKEN));
    let asked = scene.desk.only();
    assert_eq!((asked.kind, asked.tier), (ApprovalKind::Dlp, Tier::High));
    assert_eq!((asked.action.as_str(), asked.target.as_str()), ("dlp_release", &*format!("http://{HOST}")));
    assert!(asked.finding.is_some() && !format!("{asked:?}").contains(TOKEN), "{asked:#?}");
    assert_eq!(scene.arrived(), 0);
    scene.desk.approve(&asked.id);
    held.join().expect("it is answered").passed();
    assert!(scene.upstream.seen().concat().contains(TOKEN));
    scene.desk.becomes(&asked.id, |used| used.execution.is_some());

    let again = scene.posts(&body(TOKEN));
    assert_ne!(scene.desk.only().id, asked.id);
    assert_eq!(scene.arrived(), 1);
    scene.desk.deny(&scene.desk.only().id, "once was enough");
    again
        .join()
        .expect("it is answered")
        .refused(403, "dlp_rejected")
        .says("DLP")
        .says("rejected")
        .says("once was enough");
    assert_eq!(scene.arrived(), 1);
}

#[test]
fn nobody_who_answers_is_a_wait_that_timed_out() {
    let scene = scene("approvals: {hold_timeout: 1s}\n");
    let began = Instant::now();
    let refused = scene.post(&body(TOKEN)).refused(403, "dlp_timed_out").says("timed out").says("DLP");
    assert!(began.elapsed() < SOON);
    assert_eq!(scene.arrived(), 0);
    // It is still pending, and once it is approved the same value goes to the same place.
    let id = id_of(&refused);
    assert_eq!(scene.desk.fetch(&id).status, ApprovalStatus::Pending);
    scene.desk.approve(&id);
    scene.post(&body(TOKEN)).passed();
    assert_eq!(scene.arrived(), 1);
}

#[test]
fn an_approval_is_for_one_value_and_one_host() {
    let routes = format!(
        "routes:\n  - {{host: {HOST}, scheme: http}}\n  - {{host: other.example.com, scheme: http}}\n"
    );
    let other = Upstream::echo();
    let scene = Scene::with(&routes, "approvals: {hold_timeout: 300ms}\n", Upstream::echo(), |setting| {
        setting.connect_to("other.example.com:80", other.address)
    });
    let id = id_of(&scene.post(&body(TOKEN)).refused(403, "dlp_timed_out"));
    scene.desk.approve(&id);
    let elsewhere =
        |value: &str| -> Answer { ask(&scene.agent, "http://other.example.com/charges", "", &body(value)) };
    elsewhere(TOKEN).refused(403, "dlp_timed_out");
    scene.post(&body(OTHER)).refused(403, "dlp_timed_out");
    scene.post(&body(&format!("{TOKEN} {OTHER}"))).refused(403, "dlp_timed_out");
    assert_eq!((scene.arrived(), other.seen().len()), (0, 0));
    scene.post(&body(TOKEN)).passed();
}

#[test]
fn a_finding_in_the_head_is_held_too() {
    let scene = scene("");
    let agent = scene.agent.clone();
    let held = std::thread::spawn(move || ask(&agent, &format!("http://{HOST}/x?q={TOKEN}"), "", "plain"));
    let asked = scene.desk.only();
    scene.desk.approve(&asked.id);
    held.join().expect("it is answered").passed();
    assert!(scene.upstream.seen().concat().contains(TOKEN));
}

#[test]
fn what_hudson_knows_is_let_through_by_nobody() {
    let value = "h7Rq2Wv9kLm3XpZt8Yb5";
    let routes = format!(
        "routes:\n  - {{host: {HOST}, scheme: http}}\n  - host: home.example.com\n    scheme: http\n    \
         credentials: [{{header: x-key, from: {{env: THE_KEY}}}}]\n"
    );
    let scene = Scene::with(&routes, "", Upstream::echo(), |setting| setting.env("THE_KEY", value));
    scene.post(&body(value)).refused(403, "dlp_blocked").says("a value that Hudson knows");
    // Beside something that could be asked about, too.
    scene.post(&body(&format!("{value} {TOKEN}"))).refused(403, "dlp_blocked");
    assert!(scene.desk.all().is_empty());
    assert_eq!(scene.arrived(), 0);
}

#[test]
fn a_grant_is_for_a_value_a_target_and_its_uses() {
    let scene = scene("approvals: {hold_timeout: 300ms}\n");
    let id = id_of(&scene.post(&body(TOKEN)).refused(403, "dlp_timed_out"));
    let asked = scene.desk.fetch(&id);
    scene.desk.grant(NewGrant {
        scope: GrantScope::Bottle { bottle: "ci".parse().expect("a name") },
        kind: ApprovalKind::Dlp,
        action: asked.action,
        target: Some(asked.target),
        finding: asked.finding,
        max_uses: Some(2),
        expires_at: Some(now() + 600_000),
        actor: "uid:1000".to_owned(),
        via: DecidedVia::Cli,
        reason: None,
        now: now(),
    });
    scene.post(&body(TOKEN)).passed();
    scene.post(&body(OTHER)).refused(403, "dlp_timed_out");
    scene.post(&body(TOKEN)).passed();
    scene.post(&body(TOKEN)).refused(403, "dlp_timed_out");
    assert_eq!(scene.arrived(), 2);
}

#[test]
fn what_is_not_sent_after_all_is_not_used_up() {
    // The value in the head is approved, and what is in the body is not.
    let scene = scene("");
    let agent = scene.agent.clone();
    let held =
        std::thread::spawn(move || ask(&agent, &format!("http://{HOST}/x?q={TOKEN}"), "", &body(OTHER)));
    let first = scene.desk.only();
    scene.desk.approve(&first.id);
    scene.desk.becomes(&first.id, |used| used.status == ApprovalStatus::Consumed);
    let second = scene.desk.only();
    scene.desk.deny(&second.id, "not this one");
    held.join().expect("it is answered").refused(403, "dlp_rejected");
    scene.desk.becomes(&first.id, |back| back.status == ApprovalStatus::Approved);
    assert_eq!(scene.arrived(), 0);
}
