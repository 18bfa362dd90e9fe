//! What becomes of a use: given back where provably nothing was sent, and kept where it may have happened, whatever dies.

use std::net::TcpListener;

use hudson_schema::ledger::{ApprovalStatus, Execution};

use super::{Desk, HOST, SOON, Scene, id_of, kinds, post, route};
use crate::raw::{self, Upstream};

const RULE: &str = "{name: charge, action: require_approval}";
const BODY: &str = r#"{"amount": 5}"#;

#[test]
fn what_could_not_be_sent_can_be_sent_again() {
    // A port where nobody listens.
    let closed =
        TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("it has an address");
    let stage = raw::routes(&route(RULE)).connect_to(&format!("{HOST}:80"), closed).start();
    let (agent, desk) = (stage.agent(), Desk::of(&stage));
    let id = id_of(&post(&agent, "/charges", "", BODY).refused(403, "approval_required"));
    desk.approve(&id);
    for _ in 0..2 {
        post(&agent, "/charges", "", BODY).refused(502, "upstream_unreachable");
        let back = desk.becomes(&id, |back| back.status == ApprovalStatus::Approved);
        assert_eq!(back.consumed_at, None);
    }
    let events = desk.events(&id);
    assert!(kinds(&events).contains("approval_rollback"), "{events:#?}");
    let listener = std::net::TcpListener::bind(closed).expect("the port is still free");
    let upstream = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().expect("somebody comes");
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").expect("it is read");
    });
    post(&agent, "/charges", "", BODY).passed();
    upstream.join().expect("it answered");
    assert_eq!(desk.becomes(&id, |used| used.execution.is_some()).status, ApprovalStatus::Consumed);
}

#[test]
fn what_was_sent_is_used_up_whatever_came_of_it() {
    // An end without an answer, an answer that breaks off, and refusals of the upstream's.
    let answers: [(&'static [u8], Execution); 4] = [
        (b"", Execution::Unknown),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nbroken", Execution::Executed),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", Execution::Unknown),
        (b"HTTP/1.1 402 No\r\ncontent-length: 0\r\n\r\n", Execution::Failed),
    ];
    for (answer, execution) in answers {
        let scene = Scene::with(&route(RULE), "", Upstream::closing(answer), |set| set);
        let id = id_of(&scene.post(BODY));
        scene.desk.approve(&id);
        let agent = scene.agent.clone();
        // What is broken off is an error to who reads it.
        let _ = std::thread::spawn(move || post(&agent, "/charges", "", BODY)).join();
        let used = scene.desk.becomes(&id, |used| used.execution == Some(execution));
        assert_eq!(used.status, ApprovalStatus::Consumed);
        assert_ne!(id_of(&scene.post(BODY).refused(403, "approval_required")), id);
        assert_eq!(scene.arrived(), 1);
    }
}

#[test]
fn a_rule_may_give_back_what_the_upstream_failed_at() {
    let rule = "{name: charge, action: require_approval, rollback_on: [not_sent, upstream_error]}";
    let failing = Upstream::closing(b"HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n");
    let scene = Scene::with(&route(rule), "", failing, |set| set);
    let id = id_of(&scene.post(BODY));
    scene.desk.approve(&id);
    for _ in 0..2 {
        assert_eq!(scene.post(BODY).status, 503);
        scene.desk.becomes(&id, |back| back.status == ApprovalStatus::Approved);
    }
}

/// An approval is a row of the ledger: it is what it was, wherever Hudson dies.
#[test]
fn a_killed_proxy_loses_and_doubles_no_decision() {
    let scene = Scene::new(RULE);
    let Scene { upstream, stage, agent, desk } = scene;
    let id = id_of(&post(&agent, "/charges", "", BODY));
    let address = upstream.address;
    let restart =
        |stage: raw::Stage| stage.killed_and_started(|set| set.connect_to(&format!("{HOST}:80"), address));
    let stage = restart(stage);
    let agent = agent.at(stage.address);
    // Pending: the same question.
    assert_eq!(id_of(&post(&agent, "/charges", "", BODY).refused(403, "approval_required")), id);
    desk.approve(&id);
    let stage = restart(stage);
    let agent = agent.at(stage.address);
    // Approved: it passes, once.
    post(&agent, "/charges", "", BODY).passed();
    let stage = restart(stage);
    let agent = agent.at(stage.address);
    // Consumed: it is over.
    assert_ne!(id_of(&post(&agent, "/charges", "", BODY).refused(403, "approval_required")), id);
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(desk.fetch(&id).status, ApprovalStatus::Consumed);
    stage.hudson(&["audit", "verify"]).exited(0);
}

/// Killed between its use and the answer: whether it happened is not known, so it does not happen again.
#[test]
fn a_use_that_was_under_way_at_a_kill_is_not_given_back() {
    let (hold, release) = std::sync::mpsc::channel::<()>();
    let release = std::sync::Mutex::new(release);
    let upstream = Upstream::start(move |_| {
        let _ = release.lock().map(|release| release.recv_timeout(SOON));
        raw::upstream::ok("", b"late")
    });
    let scene = Scene::with(&route(RULE), "", upstream, |set| set);
    let id = id_of(&scene.post(BODY));
    scene.desk.approve(&id);
    let agent = scene.agent.clone();
    let sent = std::thread::spawn(move || {
        let url = format!("http://{HOST}/charges");
        let head = agent.absolute(
            "POST",
            &url,
            &format!("content-type: application/json\r\ncontent-length: {}\r\n", BODY.len()),
        );
        let mut socket = agent.socket();
        std::io::Write::write_all(&mut socket, format!("{head}{BODY}").as_bytes()).expect("the proxy reads");
        raw::agent::until_closed(&mut socket)
    });
    raw::wait_until(SOON, || (scene.arrived() == 1).then_some(())).expect("it arrives");
    let Scene { upstream, stage, agent, desk } = scene;
    let address = upstream.address;
    let stage = stage.killed_and_started(|set| set.connect_to(&format!("{HOST}:80"), address));
    drop(hold);
    let _ = sent.join();
    let agent = agent.at(stage.address);
    let found = desk.fetch(&id);
    assert_eq!((found.status, found.execution), (ApprovalStatus::Consumed, Some(Execution::Started)));
    assert_ne!(id_of(&post(&agent, "/charges", "", BODY).refused(403, "approval_required")), id);
    assert_eq!(upstream.seen().len(), 1);
}

const MODEL: &str = "api.anthropic.com";

/// A stage whose model calls are decided about, by their endpoint.
fn metered(settings: &str) -> (raw::Stage, raw::Agent, Desk) {
    let routes = format!(
        "routes:\n  - host: {MODEL}\n    auth_scheme: Bearer\n    token_env: THE_KEY\n    rules:\n      \
         - {{name: call, action: require_approval, bind: endpoint}}\n"
    );
    let setting = raw::routes(&routes).file("bottles/ci/bottle.yml", "budget: {claude: 250}\n");
    let stage = setting.settings(settings).env("THE_KEY", "tests-only-9fK2mP7qR4tW").start();
    let (agent, desk) = (stage.agent(), Desk::of(&stage));
    (stage, agent, desk)
}

fn call(agent: &raw::Agent, text: &str) -> raw::Answer {
    let message = format!(
        r#"{{"model":"sim-70-30","max_tokens":40,"messages":[{{"role":"user","content":"{text}"}}]}}"#
    );
    agent.post(MODEL, "/v1/messages", &message)
}

/// What the budget refuses has used no approval up.
#[test]
fn a_call_that_the_budget_refuses_gives_its_approval_back() {
    let (_stage, agent, desk) = metered("");
    let id = id_of(&call(&agent, "x").refused(403, "approval_required"));
    desk.approve(&id);
    call(&agent, &"many words ".repeat(200)).refused(403, "budget_exhausted");
    assert_eq!(desk.becomes(&id, |back| back.status == ApprovalStatus::Approved).consumed_at, None);
    call(&agent, "x").passed();
    desk.becomes(&id, |used| used.execution == Some(Execution::Executed));
    call(&agent, "x").refused(403, "approval_required");
}

/// The provider's free counter would be shown the request, too.
#[test]
fn what_is_not_approved_is_not_counted_by_the_provider_either() {
    let (stage, agent, desk) = metered("estimate: {count_tokens: true}\n");
    let id = id_of(&call(&agent, "x").refused(403, "approval_required"));
    assert_eq!(stage.arrived(), 0, "it was shown before it was approved");
    desk.approve(&id);
    call(&agent, "x").passed();
    assert_eq!(stage.arrived(), 2, "it is counted, and sent");
}

/// A WebSocket is opened by a request, which is asked about like any other.
#[test]
fn a_websocket_opens_once_for_each_approval() {
    use crate::websocket::server::Server;

    const WS: &str = "ws.example.com";
    let server = Server::echo();
    let routes = format!(
        "routes:\n  - host: {WS}\n    upstream: {{ca_file: \"{}\"}}\n    rules:\n      - {{name: feed, action: require_approval}}\n",
        server.certificate().display()
    );
    let stage = raw::routes(&routes).connect_to(&format!("{WS}:443"), server.address).start();
    let (agent, desk) = (stage.agent(), Desk::of(&stage));
    // A nonce is another at each attempt.
    let offer = |nonce: &str| {
        format!(
            "GET /feed HTTP/1.1\r\nHost: {WS}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n\r\n"
        )
    };
    let ask = |nonce: &str| raw::ask(&mut agent.tls(WS), &offer(nonce));
    let id = id_of(&ask("dGhlIHNhbXBsZSBub25jZQ==").refused(403, "approval_required"));
    desk.approve(&id);
    assert_eq!(ask("AQIDBAUGBwgJCgsMDQ4PEA==").status, 101);
    ask("AQIDBAUGBwgJCgsMDQ4PEA==").refused(403, "approval_required");
}
