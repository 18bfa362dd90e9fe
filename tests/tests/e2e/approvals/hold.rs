//! `mode: hold`: the request waits for the decision, and goes on with it.

use std::time::{Duration, Instant};

use hudson_schema::ledger::{ApprovalStatus, Execution};
use rustix::process::Signal;

use super::{SOON, Scene, id_of, post, route};
use crate::raw::{self, Upstream};

const RULE: &str = "{name: charge, action: require_approval, mode: hold}";
const BODY: &str = r#"{"amount": 5}"#;

#[test]
fn a_held_request_goes_on_as_soon_as_it_is_approved() {
    let scene = Scene::new(RULE);
    let held = scene.posts(BODY);
    let asked = scene.desk.only();
    assert!(!held.is_finished());
    assert_eq!(scene.arrived(), 0);
    let decided = Instant::now();
    scene.desk.approve(&asked.id);
    held.join().expect("it is answered").passed();
    assert!(decided.elapsed() < Duration::from_secs(1), "{:?}", decided.elapsed());
    assert_eq!(scene.arrived(), 1);
    scene.desk.becomes(&asked.id, |used| used.execution == Some(Execution::Executed));
}

#[test]
fn a_held_request_is_denied_with_the_persons_reason() {
    let scene = Scene::new(RULE);
    let held = scene.posts(BODY);
    scene.desk.deny(&scene.desk.only().id, "never on a Sunday");
    held.join().expect("it is answered").refused(403, "approval_denied").says("never on a Sunday");
    assert_eq!(scene.arrived(), 0);
}

#[test]
fn at_the_end_of_the_wait_it_is_still_pending_and_can_come_again() {
    let scene = Scene::with(&route(RULE), "approvals: {hold_timeout: 1s}\n", Upstream::echo(), |set| set);
    let refused = scene.post(BODY).refused(403, "approval_required");
    let id = id_of(&refused);
    assert_eq!(scene.desk.fetch(&id).status, ApprovalStatus::Pending);
    scene.desk.approve(&id);
    scene.post(BODY).passed();
    assert_eq!(scene.arrived(), 1);
}

#[test]
fn when_the_time_to_decide_is_over_nobody_has_said_no() {
    let scene = Scene::with(&route(RULE), "approvals: {decision_ttl: 1s}\n", Upstream::echo(), |set| set);
    let began = Instant::now();
    let over = scene.post(BODY).refused(403, "approval_expired").says("nobody answered").says("no denial");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}: {over}", began.elapsed());
    assert_eq!(scene.arrived(), 0);
}

#[test]
fn what_is_taken_back_wakes_who_waits() {
    let scene = Scene::new(RULE);
    let held = scene.posts(BODY);
    scene.desk.only();
    assert_eq!(scene.desk.cancel(), 1);
    held.join().expect("it is answered").refused(403, "approval_expired").says("the bottle is wound up");
    assert_eq!(scene.arrived(), 0);
}

#[test]
fn a_bottle_that_is_stopped_lets_go_of_what_it_holds() {
    for (order, code) in [("cutoff", "bottle_cut_off"), ("kill", "bottle_killed")] {
        let scene = Scene::new(RULE);
        let held = scene.posts(BODY);
        let asked = scene.desk.only();
        // There is no process of the bottle's to end; its egress is stopped all the same.
        scene.stage.hudson(&["bottle", order, "ci"]);
        let began = Instant::now();
        let answer = held.join().expect("it is answered");
        assert_eq!((answer.status, answer.header("x-hudson-refusal")), (403, Some(code)), "{answer}");
        assert!(began.elapsed() < SOON);
        assert_eq!(scene.arrived(), 0);
        assert_ne!(scene.desk.fetch(&asked.id).status, ApprovalStatus::Consumed);
    }
}

/// Many wait for one decision each, and nobody for another's.
#[test]
fn fifty_requests_are_held_at_once_and_each_has_its_own_answer() {
    let settings = "approvals: {max_pending_per_bottle: 100, rate_limit: 100/hour, fatigue: off}\n";
    let scene = Scene::with(&route(RULE), settings, Upstream::echo(), |set| set);
    let held: Vec<_> = (0..50).map(|amount| scene.posts(&format!(r#"{{"amount": {amount}}}"#))).collect();
    let asked = scene.desk.pending(50);
    assert_eq!(scene.arrived(), 0);
    let began = Instant::now();
    for (place, asked) in asked.iter().enumerate() {
        match place % 2 {
            0 => scene.desk.approve(&asked.id),
            _ => scene.desk.deny(&asked.id, "no"),
        }
    }
    let answers: Vec<_> = held.into_iter().map(|held| held.join().expect("it is answered").status).collect();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 25, "{answers:?}");
    assert_eq!(scene.arrived(), 25);
}

/// Those who ask the same wait for one answer, and one of them has it.
#[test]
fn one_approval_lets_one_of_many_through() {
    let settings = "approvals: {hold_timeout: 3s}\n";
    let scene = Scene::with(&route(RULE), settings, Upstream::echo(), |set| set);
    let held: Vec<_> = (0..6).map(|_| scene.posts(BODY)).collect();
    let asked = raw::wait_until(SOON, || Some(scene.desk.only()).filter(|asked| asked.dedupe_count == 5));
    scene.desk.approve(&asked.expect("all join one question").id);
    let answers: Vec<_> = held.into_iter().map(|held| held.join().expect("it is answered")).collect();
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:#?}");
    assert_eq!(scene.arrived(), 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.refused(403, "approval_required");
    }
}

#[test]
fn who_leaves_takes_nothing_from_those_who_wait() {
    let scene = Scene::new(RULE);
    let leaving = {
        let head = scene.agent.absolute(
            "POST",
            &format!("http://{}/charges", super::HOST),
            &format!("content-type: application/json\r\ncontent-length: {}\r\n", BODY.len()),
        );
        let mut socket = scene.agent.socket();
        std::io::Write::write_all(&mut socket, format!("{head}{BODY}").as_bytes()).expect("the proxy reads");
        socket
    };
    let asked = scene.desk.only();
    let held = scene.posts(BODY);
    raw::wait_until(SOON, || (scene.desk.fetch(&asked.id).dedupe_count == 1).then_some(()))
        .expect("it joins");
    drop(leaving);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(scene.desk.only().id, asked.id);
    scene.desk.approve(&asked.id);
    held.join().expect("it is answered").passed();
    assert_eq!(scene.arrived(), 1);
}

#[test]
fn a_reload_while_it_is_held_decides_what_becomes_of_it() {
    let scene = Scene::new(RULE);
    let reload = |routes: &str| {
        let before = scene.stage.events("configuration_reloaded").len();
        scene.stage.world.configure("bottles/ci/routes.yaml", routes);
        scene.stage.signal(Signal::HUP);
        let seen = || (scene.stage.events("configuration_reloaded").len() > before).then_some(());
        raw::wait_until(SOON, seen).expect("the change is seen");
    };
    let held = scene.posts(BODY);
    let asked = scene.desk.only();
    // Of another host: it waits on.
    reload(&format!("{}  - host: other.example.com\n", route(RULE)));
    std::thread::sleep(Duration::from_millis(100));
    assert!(!held.is_finished());
    // Of its own.
    reload(&route(&RULE.replace("charge", "payment")));
    held.join().expect("it is answered").refused(403, "approval_expired").says("were changed");
    scene.desk.approve(&asked.id);
    scene.post_once(BODY).refused(403, "approval_required");
    assert_eq!(scene.arrived(), 0);
}

impl Scene {
    /// Sends it without waiting for people longer than it takes to be asked.
    fn post_once(&self, body: &str) -> raw::Answer {
        self.stage.world.configure("settings.yml", "approvals: {hold_timeout: 100ms}\n");
        self.stage.signal(Signal::HUP);
        std::thread::sleep(Duration::from_millis(600));
        post(&self.agent, "/charges", "", body)
    }
}

/// What is decided in the last moment counts, and what is decided after it does not; there is no third answer.
#[test]
fn a_decision_at_the_deadline_has_exactly_one_outcome() {
    let settings =
        "approvals: {decision_ttl: 1s, rate_limit: 100/hour, fatigue: off, max_pending_per_bottle: 100}\n";
    let scene = Scene::with(&route(RULE), settings, Upstream::echo(), |set| set);
    let held: Vec<_> = (0..10).map(|amount| scene.posts(&format!(r#"{{"amount": {amount}}}"#))).collect();
    let asked = scene.desk.pending(10);
    let (mut made, mut late) = (0, 0);
    for asked in &asked {
        while super::now() < asked.decision_expires_at - 1 {
            std::thread::sleep(Duration::from_micros(200));
        }
        let decision = super::Desk::decision(&asked.id, "in time?");
        use hudson_schema::ledger::{Decided, Ledger as _};
        match scene
            .desk
            .runtime
            .block_on(scene.desk.ledger.approval_approve(decision))
            .expect("the ledger takes it")
        {
            Decided::Made(_) => made += 1,
            Decided::Expired(_) => late += 1,
            other => panic!("{other:?}"),
        }
    }
    let answers: Vec<_> = held.into_iter().map(|held| held.join().expect("it is answered")).collect();
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    let expired =
        answers.iter().filter(|answer| answer.header("x-hudson-refusal") == Some("approval_expired")).count();
    assert_eq!((passed, expired), (made, late), "{answers:#?}");
    assert_eq!(scene.arrived(), made);
}

#[test]
fn a_stream_of_http2_is_held_beside_others() {
    let host = "files.example.com";
    let routes = format!(
        "routes:\n  - host: {host}\n    rules:\n      - {{name: it, action: require_approval, mode: hold, \
         conditions: [{{path: path, op: eq, value: /echo}}]}}\n"
    );
    let stage = raw::routes(&routes).start();
    let (agent, desk) = (stage.agent(), super::Desk::of(&stage));
    let held = {
        let agent = agent.clone();
        std::thread::spawn(move || {
            agent.http2_one(host, raw::request("POST", &format!("https://{host}/echo"), BODY))
        })
    };
    let asked = desk.only();
    agent.http2_one(host, raw::request("GET", &format!("https://{host}/hello.txt"), "")).passed();
    desk.approve(&asked.id);
    held.join().expect("it is answered").passed();
    assert_eq!(stage.arrived(), 2);
}
