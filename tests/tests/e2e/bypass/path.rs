//! Paths that two parsers read differently, against a route that allows `/v1/` alone.

use super::HOST;
use crate::raw::{self, Stage};

const ROUTES: &str = "routes:
  - host: files.example.com
    matches:
      - paths: [{type: prefix, value: /v1/}]
        methods: [GET]
";

fn stage() -> Stage {
    raw::routes(ROUTES).start()
}

#[test]
fn a_path_that_leads_out_of_what_is_allowed_is_refused() {
    let stage = stage();
    let agent = stage.agent();
    for path in [
        "/echo",
        "/v1/../echo",
        "/v1/./../echo",
        "/v1/x/../../echo",
        "/v1",
        "/V1/echo",
        "/v1/%2fecho",
        "/v1/..%2fecho",
        "/v1/%2e%2e/echo",
        "/v1/.%2E/echo",
        "/v1/%252e%252e/echo",
        "/v1/..;/echo",
        "/v1;/../echo",
        "/v1/%3b/../../echo",
        "//echo",
        "/v1//../echo",
        "/v1/..\\echo",
        "/v1/%5c../echo",
        "/v1/%00/../../echo",
        "/v1/%0d%0aX:1",
        "/../../echo",
        "/v1/%zz",
        "/v1/%09",
        "/v1/a\tb",
        "/v1/%c0%ae%c0%ae/echo",
        "/v1/..%c0%afecho",
        "/v1/%e0%80%ae%e0%80%ae/echo",
        "/echo?/v1/",
        "/echo#/v1/",
        "/v1/../echo#/v1/",
    ] {
        let answer = agent.get(HOST, path);
        assert!(matches!(answer.status, 400 | 403), "{path}: {answer}");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn the_same_paths_are_refused_over_http_2() {
    let stage = stage();
    let paths = ["/v1/../echo", "/v1/%2e%2e/echo", "//echo", "/v1;/../echo", "/v1/%252e%252e/echo"];
    let requests = paths.map(|path| raw::request("GET", &format!("https://files.example.com{path}"), ""));
    for answer in stage.agent().http2(HOST, requests.into()) {
        assert!(matches!(answer.status, 400 | 403), "{answer}");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn the_path_that_was_checked_is_the_path_that_is_sent() {
    let stage = stage();
    let agent = stage.agent();
    for path in ["/v1/a", "/v1/./a", "/v1/x/../a", "/v1/%61", "/v2/../v1/a"] {
        agent.get(HOST, path);
    }
    let seen: Vec<_> = stage.world.simulator.journal().entries().into_iter().map(|seen| seen.path).collect();
    assert_eq!(seen, ["/v1/a"; 5]);
}

#[test]
fn another_method_is_not_matched() {
    let stage = stage();
    let agent = stage.agent();
    for method in ["POST", "DELETE", "get", "TRACE", "MADEUP"] {
        let request = format!("{method} /v1/a HTTP/1.1\r\nHost: files.example.com\r\n\r\n");
        agent.send(HOST, &request).refused(403, "request_not_matched");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_header_condition_holds_for_every_copy_of_the_header() {
    let routes = "routes:\n  - host: files.example.com\n    matches:\n      \
                  - headers: [{name: x-team, type: exact, value: blue}]\n";
    let stage = raw::routes(routes).start();
    let agent = stage.agent();
    agent.get_with(HOST, "/hello.txt", "X-Team: blue\r\n").passed();
    for headers in ["", "X-Team: red\r\n", "X-Team: blue\r\nX-Team: red\r\n", "X-Team: blue, red\r\n"] {
        agent.get_with(HOST, "/hello.txt", headers).refused(403, "request_not_matched");
    }
    assert_eq!(stage.arrived(), 1);
}

#[test]
fn a_header_that_stays_on_the_clients_connection_fulfils_no_condition() {
    let routes = "routes:\n  - host: files.example.com\n    matches:\n      \
                  - headers: [{name: x-team, type: exact, value: blue}]\n";
    let stage = raw::routes(routes).start();
    let agent = stage.agent();
    for connection in ["x-team", "close, X-Team", "keep-alive,x-team ,close"] {
        let headers = format!("X-Team: blue\r\nConnection: {connection}\r\n");
        agent.get_with(HOST, "/hello.txt", &headers).refused(403, "request_not_matched");
    }
    assert_eq!(stage.arrived(), 0);
}
