//! Bytes that one parser takes for a body and another for a second request. What leaves is one request, framed by the
//! proxy itself, or none; what follows in the same connection is judged like any other.

use std::io::Write;
use std::time::Duration;

use super::HOST;
use crate::raw::agent::Tls;
use crate::raw::{self, Agent, Stage, Upstream};

/// `/admin` is what nobody may reach.
const ROUTES: &str = "routes:
  - {host: files.example.com, matches: [{paths: [{type: exact, value: /echo}]}]}
  - {host: plain.example.com, scheme: http, matches: [{paths: [{type: exact, value: /echo}]}]}
";

/// How requests travel: through a tunnel, or as plain HTTP.
struct Ways {
    stage: Stage,
    upstream: Upstream,
}

impl Ways {
    fn start() -> Self {
        let upstream = Upstream::echo();
        let stage = raw::routes(ROUTES).connect_to("plain.example.com:80", upstream.address).start();
        Self { stage, upstream }
    }

    /// Sends a request's bytes both ways, a request for `/admin` behind them, and gives both answers. `{target}` and
    /// `{host}` stand for what each way wants there.
    #[track_caller]
    fn send(&self, request: &str) -> [String; 2] {
        let agent = self.stage.agent();
        let identity = agent.identity();
        let admin = "GET {target}/admin HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{identity}\r\n";
        let bytes = |host: &str, target: &str, identity: &str| {
            let both = format!("{request}{admin}").replace("{host}", host).replace("{target}", target);
            both.replace("{identity}", identity)
        };
        let inside = bytes(HOST, "", "");
        let plain = bytes("plain.example.com", "http://plain.example.com", &identity);
        [answers(tls(&agent), &inside), answers(agent.socket(), &plain)]
    }

    /// How many requests arrived, after a look at what they were.
    #[track_caller]
    fn arrived(&self, what: &str) -> [usize; 2] {
        let entries = self.stage.world.simulator.journal().entries();
        for entry in &entries {
            assert!(entry.path == "/echo", "{what}: {} arrived", entry.path);
        }
        let seen = self.upstream.seen();
        for request in &seen {
            let (head, _) = request.split_once("\r\n\r\n").expect("a head has an end");
            let head = head.to_ascii_lowercase();
            assert!(
                head.starts_with("post /echo http/1.1\r\n") && !head.contains("admin"),
                "{what}: {request}"
            );
            let framings = head
                .lines()
                .filter(|line| line.starts_with("content-length") || line.starts_with("transfer-encoding"));
            assert!(framings.count() <= 1, "{what} left with two framings: {request}");
        }
        [entries.len(), seen.len()]
    }
}

fn tls(agent: &Agent) -> Tls {
    agent.tls(HOST)
}

/// Everything that is answered until the connection is closed.
#[track_caller]
fn answers(mut stream: impl std::io::Read + Write, request: &str) -> String {
    // The proxy may have closed already.
    stream.write_all(request.as_bytes()).ok();
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no end to the answers to {request:?}");
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// A request with these header lines, and what stands behind its head.
fn post(lines: &str, body: &str) -> String {
    format!("POST {{target}}/echo HTTP/1.1\r\nHost: {{host}}\r\n{{identity}}{lines}\r\n\r\n{body}")
}

#[track_caller]
fn refused(cases: &[String]) {
    let ways = Ways::start();
    for request in cases {
        for answer in ways.send(request) {
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
                "{request:?} is answered {answer}"
            );
        }
        assert_eq!(ways.arrived(request), [0, 0], "{request:?}");
    }
}

#[test]
fn a_length_that_can_be_read_twice_is_refused() {
    refused(&[
        post("Content-Length: 5\r\nContent-Length: 6", "hello"),
        post("Content-Length: 5, 6", "hello"),
        post("Content-Length: 5, 5", "hello"),
        post("Content-Length: +5", "hello"),
        post("Content-Length: -5", "hello"),
        post("Content-Length: 0x5", "hello"),
        post("Content-Length: 5 5", "hello"),
        post("Content-Length: 5\u{b}", "hello"),
        post("Content-Length:", "hello"),
        post("Content-Length: 18446744073709551621", "hello"),
        post("Content-Length: ５", "hello"),
    ]);
}

#[test]
fn a_transfer_coding_other_than_chunked_is_refused() {
    let chunk = "5\r\nhello\r\n0\r\n\r\n";
    refused(&[
        post("Transfer-Encoding: xchunked", chunk),
        post("Transfer-Encoding: identity", chunk),
        post("Transfer-Encoding: gzip", chunk),
        post("Transfer-Encoding: identity, chunked", chunk),
        post("Transfer-Encoding: gzip, chunked", chunk),
        post("Transfer-Encoding: chunked, chunked", chunk),
        post("Transfer-Encoding: chunked, identity", chunk),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", chunk),
        post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", chunk),
        post("Transfer-Encoding: \u{b}chunked", chunk),
        post("Transfer-Encoding: \"chunked\"", chunk),
        post("Transfer-Encoding:", chunk),
        post("Transfer-Encoding: chunked\r\n , identity", chunk),
    ]);
}

#[test]
fn a_header_line_that_can_be_read_twice_is_refused() {
    let length = "Content-Length: 5";
    refused(&[
        post(&format!("{length}\r\nTransfer-Encoding : chunked"), "hello"),
        post(&format!("{length}\r\nTransfer-Encoding\t: chunked"), "hello"),
        post(&format!("{length}\r\n Transfer-Encoding: chunked"), "hello"),
        post(&format!("{length}\r\nX-A: 1\r\n\tfolded"), "hello"),
        post(&format!("{length}\r\nX-A: 1\0"), "hello"),
        post(&format!("{length}\r\nX-A: 1\rTransfer-Encoding: chunked"), "hello"),
        post(&format!("{length}\r\n: empty"), "hello"),
        post(&format!("{length}\r\nno colon"), "hello"),
        post(&format!("{length}\r\nX(A): 1"), "hello"),
        post(&format!("{length}\r\nX-\u{e4}: 1"), "hello"),
        post(&format!("{length}\r\n\rX-A: 1"), "hello"),
    ]);
}

#[test]
fn a_request_line_that_can_be_read_twice_is_refused() {
    let rest = "HTTP/1.1\r\nHost: {host}\r\n{identity}\r\n";
    refused(&[
        "GET {target}/echo\r\n".to_owned(),
        "GET {target}/echo \r\nHost: {host}\r\n{identity}\r\n".to_owned(),
        "GET {target}/echo HTTP/9.9\r\nHost: {host}\r\n{identity}\r\n".to_owned(),
        "GET {target}/echo http/1.1\r\nHost: {host}\r\n{identity}\r\n".to_owned(),
        format!("GET {{target}}/echo HTTP/1.1 {rest}"),
        format!("GET  {{target}}/echo {rest}"),
        format!("GET\t{{target}}/echo {rest}"),
        format!("GET {{target}}/echo\0 {rest}"),
        format!("GET {{target}}/echo\r{rest}"),
        format!(" GET {{target}}/echo {rest}"),
        format!("G(T {{target}}/echo {rest}"),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{rest}"),
        format!("GET {{target}}/echo{} {rest}", "x".repeat(300_000)),
        format!(
            "GET {{target}}/echo HTTP/1.1\r\nHost: {{host}}\r\n{{identity}}X-Long: {}\r\n\r\n",
            "x".repeat(300_000)
        ),
        format!(
            "GET {{target}}/echo HTTP/1.1\r\nHost: {{host}}\r\n{{identity}}{}\r\n",
            "X-A: 1\r\n".repeat(10_000)
        ),
    ]);
}

#[test]
fn http_10_has_no_chunks() {
    let request = "POST {target}/echo HTTP/1.0\r\nHost: {host}\r\n{identity}Connection: keep-alive\r\n\
                   Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    refused(&[request.to_owned()]);
}

/// Requests that pass, and the one body that arrives.
#[test]
fn of_two_framings_one_leaves_and_the_rest_is_judged() {
    let ways = Ways::start();
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    let cases = [
        post("Content-Length: 5\r\nTransfer-Encoding: chunked", chunks),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5", chunks),
        post("Transfer-Encoding: Chunked", chunks),
        post("Content-Length: 5\r\nContent-Length: 5", "hello"),
        post("Content-Length: 005", "hello"),
        post("Transfer-Encoding: chunked", "5;a=b;c=\"d\"\r\nhello\r\n0;last\r\n\r\n"),
        post("Transfer-Encoding: chunked", "0005\r\nhello\r\n000\r\nX-Trailer: 1\r\n\r\n"),
        // Some parsers end a line at a bare line feed; what leaves has none.
        "POST {target}/echo HTTP/1.1\nHost: {host}\n{identity}Content-Length: 5\n\nhello".to_owned(),
    ];
    for (number, request) in cases.iter().enumerate() {
        for answer in ways.send(request) {
            assert!(answer.starts_with("HTTP/1.1 200"), "{request:?} is answered {answer}");
            // What is behind it was never read, or understood as a request of its own and refused.
            let answers = answer.matches("HTTP/1.1 ").count();
            assert!(
                answers == 1 || (answers == 2 && answer.contains("request_not_matched")),
                "{request:?}: {answer}"
            );
        }
        assert_eq!(ways.arrived(request), [number + 1; 2], "{request:?}");
    }
    let bodies = ways.stage.world.simulator.journal().entries().into_iter().map(|entry| entry.request_body);
    assert!(bodies.into_iter().all(|body| body == b"hello"));
}

#[test]
fn broken_chunks_end_the_request_and_nothing_behind_them_is_one() {
    let ways = Ways::start();
    for body in [
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello\r\n0\r\nbroken trailer\r\n\r\n",
        "5;\nhello\r\n0\r\n\r\n",
    ] {
        let request = post("Transfer-Encoding: chunked", body);
        for answer in ways.send(&request) {
            assert!(
                !answer.contains("request_not_matched"),
                "{body:?}: the rest was taken for a request: {answer}"
            );
        }
        let [_, plain] = ways.arrived(body);
        let entries = ways.stage.world.simulator.journal().entries();
        // A head may have left before its body turned out broken; it then ends in a reset, never in a whole request.
        assert!(plain == 0 && entries.iter().all(|entry| entry.status != 200), "{body:?}: {entries:?}");
    }
}

#[test]
fn trailers_carry_nothing_that_belongs_in_a_head() {
    let routes = "routes:\n  - {host: files.example.com, auth_scheme: Bearer, token_env: THE_KEY}\n";
    let stage = raw::routes(routes).env("THE_KEY", "tests-only-9fK2mP7qR4tW").start();
    let agent = stage.agent();
    let trailers = "Authorization: Bearer mine\r\nX-Api-Key: mine\r\nHost: other.example.com\r\n\
                    Content-Length: 9\r\nTransfer-Encoding: chunked\r\nProxy-Authorization: Basic YTpi\r\nX-Sum: 7\r\n";
    let request = format!(
        "POST /echo HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\nTrailer: X-Sum\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{trailers}\r\n"
    );
    let told = agent.send(HOST, &request).passed().json();
    assert_eq!((&told["body"], &told["trailers"]), (&"hello".into(), &serde_json::json!([["x-sum", "7"]])));
}

#[test]
fn the_proxys_own_connection_smuggles_nothing_before_its_credentials() {
    let ways = Ways::start();
    let agent = ways.stage.agent();
    let socket = agent.socket();
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket takes options");
    // Refused for want of credentials, with a body that is a whole request with credentials.
    let inner = format!(
        "GET http://plain.example.com/echo HTTP/1.1\r\nHost: plain.example.com\r\n{}\r\n",
        agent.identity()
    );
    let outer = format!(
        "POST http://plain.example.com/echo HTTP/1.1\r\nHost: plain.example.com\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{inner}",
        inner.len()
    );
    let answer = answers(socket, &outer);
    assert!(answer.starts_with("HTTP/1.1 407") && answer.matches("HTTP/1.1").count() == 1, "{answer}");
    assert_eq!(ways.upstream.seen().len(), 0);
}
