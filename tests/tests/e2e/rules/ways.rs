//! Every way that a request can go: HTTP/2, metered endpoints, reads of earlier work, WebSockets, large uploads.

use super::{HOST, Scene};
use crate::raw::upstream::ok;
use crate::raw::{self, Upstream};

#[test]
fn http2_is_judged_like_the_rest() {
    let routes = "routes:\n  - host: files.example.com\n    rules:\n      \
                  - {name: large, action: deny, conditions: [{path: body.amount, op: gt, value: 5}]}\n";
    let stage = raw::routes(routes).start();
    let agent = stage.agent();
    let request = |body: &str| raw::request("POST", "https://files.example.com/echo", body);
    agent.http2_one("files.example.com", request(r#"{"amount":6}"#)).refused(403, "rule_denied");
    assert_eq!(stage.arrived(), 0);
    agent.http2_one("files.example.com", request(r#"{"amount":5}"#)).passed();
    assert_eq!(stage.arrived(), 1);
}

/// A model call is judged before anything is counted, asked or held for it, and refused as its clients read it.
#[test]
fn a_model_call_is_judged_before_it_is_held() {
    let answer = br#"{"id":"m1","type":"message","model":"m","usage":{"input_tokens":9,"output_tokens":5}}"#;
    let upstream = Upstream::start(move |_| ok("content-type: application/json\r\n", answer));
    let routes = "routes:\n  - host: models.example.com\n    scheme: http\n    \
                  meter: {provider: claude, format: anthropic}\n    rules:\n      \
                  - {name: only small ones, action: deny, conditions: [{path: body.model, op: neq, value: small}]}\n      \
                  - {name: slowly, action: allow, rate_limit: 1/day}\n";
    let stage = raw::routes(routes).connect_to("models.example.com:80", upstream.address).start();
    let agent = stage.agent();
    let call = |model: &str| {
        let body =
            format!(r#"{{"model":"{model}","max_tokens":50,"messages":[{{"role":"user","content":"hi"}}]}}"#);
        let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        let head = agent.absolute("POST", "http://models.example.com/v1/messages", &headers);
        raw::ask(&mut agent.socket(), &format!("{head}{body}"))
    };
    let refused = call("large").refused(403, "rule_denied");
    assert_eq!(refused.json()["type"], "error", "in the shape of its clients: {refused}");
    assert_eq!((upstream.seen().len(), hudson_tests::ledger::held(&stage.world.home())), (0, 0));
    call("small").passed();
    call("small").refused(429, "rate_limited");
    assert_eq!(upstream.seen().len(), 1);
    let rows = hudson_tests::ledger::usage(&stage.world.home());
    assert_eq!(rows.len(), 1, "{rows:?}");
}

/// A read of a batch's results is a request like any other.
#[test]
fn a_read_of_earlier_work_is_judged() {
    let routes = "routes:\n  - host: api.anthropic.com\n    rules:\n      \
                  - {name: no results, action: deny, conditions: [{path: path, op: regex, value: '.*/results'}]}\n";
    let stage = raw::routes(routes).start();
    let target = "/v1/messages/batches/msgbatch_1/results";
    stage.agent().get("api.anthropic.com", target).refused(403, "rule_denied");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn an_upload_that_no_rule_is_about_streams() {
    let scene = Scene::new(&[
        "{name: large, action: deny, conditions: [{path: body.amount, op: gt, value: 5}, {path: path, op: eq, value: /charges}]}",
    ]);
    // Larger than any body that is read whole.
    let body = "words of no meaning at all, line after line\n".repeat(1_000_000);
    let answer = scene.ask("PUT", "/upload", "", body.as_bytes()).passed();
    assert!(answer.text().ends_with(&body[body.len() - 1000..]), "it was changed");
    scene.ask("POST", "/charges", "", b"words").refused(400, "malformed_request");
    assert_eq!(scene.arrived(), 1);
}

/// A client that says that it will wait is told to go on, or that it need not.
#[test]
fn a_client_that_waits_is_told() {
    use std::io::{Read as _, Write as _};

    let scene = Scene::new(&[
        "{name: no puts, action: deny, conditions: [{path: method, op: eq, value: PUT}]}",
        "{name: large, action: deny, conditions: [{path: body.amount, op: gt, value: 5}]}",
    ]);
    let head = |method: &str| {
        let headers = "content-type: application/json\r\ncontent-length: 12\r\nexpect: 100-continue\r\n";
        scene.agent.absolute(method, &format!("http://{HOST}/"), headers)
    };
    raw::ask(&mut scene.agent.socket(), &head("PUT")).refused(403, "rule_denied");
    let mut socket = scene.agent.socket();
    socket.write_all(head("POST").as_bytes()).expect("the proxy reads");
    let mut told = [0; 25];
    socket.read_exact(&mut told).expect("it is told to go on");
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(br#"{"amount":7}"#).expect("the proxy reads");
    raw::answer::read_answer(&mut socket, false).expect("it is answered").refused(403, "rule_denied");
    assert_eq!(scene.arrived(), 0);
}

/// One that opens a WebSocket has no body; by its head it is denied, also after it was opened.
#[test]
fn a_websocket_is_judged_by_its_head_and_again_when_rules_change() {
    use crate::websocket::server::Server;
    use std::time::Duration;

    const WS: &str = "ws.example.com";
    let server = Server::echo();
    let routes = |path: &str| {
        format!(
            "routes:\n  - host: {WS}\n    upstream: {{ca_file: \"{}\"}}\n    rules:\n      \
             - {{name: no chat, action: deny, conditions: [{{path: path, op: eq, value: {path}}}]}}\n      \
             - {{name: no upgrade, action: deny, conditions: [{{path: header.upgrade, op: exists}}, {{path: path, op: eq, value: /none}}]}}\n      \
             - {{name: large, action: deny, conditions: [{{path: body.amount, op: gt, value: 5}}]}}\n",
            server.certificate().display()
        )
    };
    let stage = raw::routes(&routes("/chat")).connect_to(&format!("{WS}:443"), server.address).start();
    let agent = stage.agent();
    let offer = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: {WS}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    raw::ask(&mut agent.tls(WS), &offer("/chat")).refused(403, "rule_denied");
    raw::ask(&mut agent.tls(WS), &offer("/none")).refused(403, "rule_denied").says("no upgrade");
    let mut open = agent.tls(WS);
    let answer = raw::ask(&mut open, &offer("/feed"));
    assert_eq!(answer.status, 101, "{answer}");
    stage.world.configure("bottles/ci/routes.yaml", &routes("/feed"));
    open.sock.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket takes options");
    let (mut said, mut piece) = (String::new(), [0; 512]);
    while let Ok(length @ 1..) = std::io::Read::read(&mut open, &mut piece) {
        said.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    assert!(said.contains("no chat"), "{said:?}");
}
