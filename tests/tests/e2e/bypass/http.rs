//! HTTP that would lead out of the tunnel, or carry along what belongs to one connection.

use super::{HOST, ROUTES};
use crate::raw::{self, Upstream};

const PLAIN: &str = "routes:\n  - {host: plain.example.com, scheme: http}\n";

#[test]
fn a_connect_inside_an_http_1_tunnel_is_405() {
    let stage = raw::routes("routes:\n  - host: files.example.com\n  - host: other.example.com\n").start();
    let agent = stage.agent();
    for target in ["other.example.com:443", "files.example.com:443"] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        agent.send(HOST, &request).refused(405, "protocol_not_allowed");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_connect_inside_an_http_2_tunnel_is_405() {
    let stage = raw::routes(ROUTES).start();
    for target in ["other.example.com:443", "files.example.com:443"] {
        let mut request = raw::request("CONNECT", target, "");
        request.headers_mut().clear();
        stage.agent().http2_one(HOST, request).refused(405, "protocol_not_allowed");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn an_upgrade_is_426() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for protocol in ["websocket", "h2c", "anything"] {
        let headers = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Version: 13\r\n");
        agent.get_with(HOST, "/echo", &headers).refused(426, "protocol_not_allowed");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn an_upgrade_of_plain_http_is_426() {
    let upstream = Upstream::echo();
    let stage = raw::routes(PLAIN).connect_to("plain.example.com:80", upstream.address).start();
    let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let answer = stage.agent().plain("GET", "http://plain.example.com/", headers);
    answer.refused(426, "protocol_not_allowed");
    assert_eq!(upstream.seen().len(), 0);
}

#[test]
fn headers_of_the_clients_connection_stay_on_it() {
    let stage = raw::routes(ROUTES).start();
    let headers = "Connection: keep-alive, x-mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
                   Proxy-Connection: keep-alive\r\nProxy-Anything: 1\r\nProxy-Authenticate: Basic\r\n\
                   TE: trailers, gzip\r\nTrailer: x-sum\r\nX-Kept: 1\r\n";
    let answer = stage.agent().get_with(HOST, "/echo", headers).passed();
    for name in
        ["connection", "x-mine", "keep-alive", "proxy-connection", "proxy-anything", "proxy-authenticate"]
    {
        assert!(answer.echoed(name).is_empty(), "{name} went out: {answer}");
    }
    // Of what the client can take only trailers are passed on, and what it announces of its own message.
    for (name, value) in [("te", "trailers"), ("trailer", "x-sum"), ("x-kept", "1")] {
        assert_eq!(answer.echoed(name), [value]);
    }
}

#[test]
fn what_hudson_sets_cannot_be_named_away() {
    let routes = "routes:\n  - {host: files.example.com, auth_scheme: Bearer, token_env: THE_KEY}\n";
    let stage = raw::routes(routes).env("THE_KEY", "tests-only-9fK2mP7qR4tW").start();
    let headers = "Connection: accept-encoding, authorization, content-length\r\nAccept-Encoding: x-odd\r\n";
    let answer = stage.agent().get_with(HOST, "/echo", headers).passed();
    assert_eq!(answer.echoed("accept-encoding"), ["identity"], "{answer}");
    assert_eq!(answer.echoed("authorization").len(), 1, "{answer}");
}

#[test]
fn headers_of_the_upstreams_connection_stay_on_it() {
    let headers = "connection: keep-alive, x-theirs\r\nx-theirs: 1\r\nkeep-alive: timeout=5\r\n\
                   proxy-authenticate: Basic realm=\"evil\"\r\nproxy-connection: keep-alive\r\nx-kept: 1\r\n";
    let upstream = Upstream::start(move |_| raw::upstream::ok(headers, b"there"));
    let stage = raw::routes(PLAIN).connect_to("plain.example.com:80", upstream.address).start();
    let answer = stage.agent().plain("GET", "http://plain.example.com/", "").passed();
    for name in ["x-theirs", "keep-alive", "proxy-authenticate", "proxy-connection"] {
        assert_eq!(answer.header(name), None, "{name} came back: {answer}");
    }
    assert_eq!((answer.header("x-kept"), answer.text().as_str()), (Some("1"), "there"));
}

#[test]
fn a_body_with_two_lengths_is_refused() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for framing in
        ["Content-Length: 5\r\nContent-Length: 6", "Transfer-Encoding: xchunked", "Content-Length: +5"]
    {
        let request = format!("POST /echo HTTP/1.1\r\nHost: files.example.com\r\n{framing}\r\n\r\nhello");
        let answer = agent.send(HOST, &request);
        assert_eq!(answer.status, 400, "{framing}: {answer}");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_second_request_in_a_body_stays_a_body() {
    let stage = raw::routes(ROUTES).start();
    let inner = "GET /hello.txt HTTP/1.1\r\nHost: other.example.com\r\n\r\n";
    let chunk = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let request = format!(
        "POST /echo HTTP/1.1\r\nHost: files.example.com\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"
    );
    let told = stage.agent().send(HOST, &request).passed().json();
    assert_eq!(told["body"], inner);
    assert_eq!(stage.arrived(), 1);
}

#[test]
fn plain_http_to_an_https_route_is_refused() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    agent.plain("GET", "http://files.example.com/hello.txt", "").refused(403, "host_not_allowed");
    agent.plain("GET", "http://files.example.com:443/hello.txt", "").refused(403, "host_not_allowed");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn plain_http_to_an_http_route_is_forwarded() {
    let upstream = Upstream::echo();
    let stage = raw::routes(PLAIN).connect_to("plain.example.com:80", upstream.address).start();
    let agent = stage.agent();
    agent.plain("GET", "http://plain.example.com/a/b?c=d", "").passed();
    let seen = upstream.seen().remove(0).to_ascii_lowercase();
    assert!(seen.starts_with("get /a/b?c=d http/1.1\r\n"), "{seen}");
    assert!(seen.contains("host: plain.example.com\r\n") && !seen.contains("proxy-"), "{seen}");
    // A Host that names somebody else is not sent on, and neither is a tunnel opened to a plain route.
    let identity = agent.identity();
    let other =
        format!("GET http://plain.example.com/ HTTP/1.1\r\nHost: files.example.com\r\n{identity}\r\n");
    raw::ask(&mut agent.socket(), &other).refused(421, "authority_mismatch");
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn the_proxy_itself_serves_nothing_else() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for target in ["/hello.txt", "https://files.example.com/hello.txt", "ftp://files.example.com/hello.txt"] {
        let identity = agent.identity();
        let request = format!("GET {target} HTTP/1.1\r\nHost: files.example.com\r\n{identity}\r\n");
        raw::ask(&mut agent.socket(), &request).refused(405, "protocol_not_allowed");
    }
    assert_eq!(stage.arrived(), 0);
}
