//! The end of `hudson up`: what is in flight may finish for a while, what is left is ended with an error, usage is
//! settled in every case, and the exit code is 0.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use hudson_tests::simulator::Options;
use rustix::process::Signal;

use crate::raw::agent::until_closed;
use crate::raw::answer::read_answer;
use crate::raw::streams::{HOST as MODEL, body, rest, streaming};
use crate::raw::{self, Stage, Upstream, upstream};

const HOST: &str = "files.example.com";
const ROUTES: &str = "routes:\n  - host: files.example.com\n  \
                      - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}\n";
/// Nothing here may take longer, but for what a test's own grace allows.
const SOON: Duration = Duration::from_secs(5);

/// A simulator that takes `gap` for each event of a stream.
fn stage(gap: u64, grace: &str) -> Stage {
    let options = Options { gap: Duration::from_millis(gap), tokens_per_event: 10, ..Options::default() };
    let setting = raw::stage_with(options).file("bottles/ci/routes.yaml", ROUTES);
    let setting = setting.env("THE_KEY", "tests-only-9fK2mP7qR4tW");
    setting.settings(&format!("proxy: {{shutdown_grace: {grace}}}\n")).start()
}

/// Every hold is gone, and one row says what was used.
#[track_caller]
fn settled(stage: &Stage, quality: &str) {
    let rows = stage.world.usage();
    let qualities: Vec<_> = rows.iter().map(|row| row.quality.as_str()).collect();
    assert_eq!(qualities, [quality], "{rows:#?}");
    assert_eq!(hudson_tests::ledger::held(&stage.world.home()), 0, "a hold is left");
}

#[test]
fn a_stream_in_flight_finishes_and_nothing_new_begins() {
    let mut stage = stage(100, "20s");
    let agent = stage.agent();
    let idle = agent.tls(HOST);
    let stream = streaming(&agent, 100);
    stage.signal(Signal::TERM);
    stage.event("stopping");
    // An idle tunnel is closed at once, not at the end of the grace.
    let mut socket = idle.sock;
    socket.set_read_timeout(Some(Duration::from_millis(700))).expect("a socket takes options");
    until_closed(&mut socket).expect("an idle tunnel stays open");
    let refused = raw::wait_until(SOON, || agent.try_socket().is_none().then_some(()));
    assert!(refused.is_some(), "it still takes connections");
    let (text, whole) = rest(stream);
    assert!(whole && text.contains("message_stop"), "the stream was cut: {text}");
    assert_eq!(stage.ends_within(SOON), Some(0));
    settled(&stage, "exact");
}

#[test]
fn what_outlasts_the_grace_is_ended_with_an_error_and_settled() {
    let mut stage = stage(100, "500ms");
    let agent = stage.agent();
    let stream = streaming(&agent, 2000);
    let mut download = agent.tls(HOST);
    let get = format!("GET /bytes/60000000 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    download.write_all(get.as_bytes()).and_then(|()| download.flush()).expect("the proxy reads");
    let mut plain = agent.socket();
    plain.write_all(b"CONNECT files").expect("the proxy reads");
    let since = Instant::now();
    stage.signal(Signal::TERM);
    assert_eq!(stage.ends_within(SOON), Some(0));
    assert!(since.elapsed() > Duration::from_millis(450), "ended before the grace: {:?}", since.elapsed());
    let (text, _) = rest(stream);
    assert!(!text.contains("message_stop"), "the client was told that all is well: {text}");
    let (text, _) = rest(download);
    assert!(text.len() < 60_000_000, "the whole download came");
    settled(&stage, "recovered");
}

#[test]
fn http_2_streams_finish_or_end_with_an_error() {
    for (grace, tokens, whole) in [("20s", 100, true), ("500ms", 2000, false)] {
        let mut stage = stage(100, grace);
        let agent = stage.agent();
        let mut http2 = agent.http2_open(MODEL);
        let request = raw::request("POST", &format!("https://{MODEL}/v1/messages"), &body(tokens));
        let response = http2.send(request);
        assert_eq!(response.status(), 200);
        stage.signal(Signal::TERM);
        let ended = http2.body(response.into_body());
        let finished = ended.as_ref().is_ok_and(|body| body.windows(12).any(|text| text == b"message_stop"));
        assert_eq!(finished, whole, "with a grace of {grace}: {ended:?}");
        assert_eq!(stage.ends_within(SOON), Some(0));
        settled(&stage, if whole { "exact" } else { "recovered" });
    }
}

#[test]
fn idle_tunnels_do_not_keep_it() {
    let mut stage = stage(0, "30s");
    let agent = stage.agent();
    let mut used = agent.tls(HOST);
    raw::ask(&mut used, &format!("GET /hello.txt HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).passed();
    let _fresh = agent.tls(HOST);
    let _no_hello = agent.tunnel(&format!("{HOST}:443"));
    let _silent = agent.socket();
    let mut http2 = agent.http2_open(HOST);
    http2.ask(raw::request("GET", &format!("https://{HOST}/hello.txt"), "")).passed();
    let since = Instant::now();
    stage.signal(Signal::TERM);
    assert_eq!(stage.ends_within(SOON), Some(0));
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert!(http2.ends_within(SOON), "the connection goes on");
}

#[test]
fn a_second_signal_ends_it_at_once_and_usage_is_settled_all_the_same() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut stage = stage(100, "60s");
        let agent = stage.agent();
        let stream = streaming(&agent, 2000);
        stage.signal(Signal::TERM);
        stage.event("stopping");
        let since = Instant::now();
        stage.signal(signal);
        assert_eq!(stage.ends_within(SOON), Some(0));
        assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
        let (text, _) = rest(stream);
        assert!(!text.contains("message_stop"), "the client was told that all is well: {text}");
        settled(&stage, "recovered");
    }
}

#[test]
fn a_client_that_does_not_read_does_not_keep_it() {
    let plain = "routes:\n  - {host: files.example.com, scheme: http}\n";
    let setting = raw::routes(plain).simulates("files.example.com:80");
    let mut stage = setting.settings("proxy: {shutdown_grace: 500ms}\n").start();
    let agent = stage.agent();
    let mut socket = agent.socket();
    let identity = agent.identity();
    let get = format!("GET http://{HOST}/bytes/60000000 HTTP/1.1\r\nHost: {HOST}\r\n{identity}\r\n");
    socket.write_all(get.as_bytes()).expect("the proxy reads");
    let mut first = [0; 12];
    socket.read_exact(&mut first).expect("it is answered");
    assert_eq!(&first, b"HTTP/1.1 200");
    stage.signal(Signal::TERM);
    assert_eq!(stage.ends_within(SOON), Some(0));
    assert!(until_closed(&mut socket).expect("it is closed").len() < 60_000_000, "the whole answer came");
}

#[test]
fn a_request_that_is_not_answered_in_the_grace_is_told_why() {
    let silent = Upstream::start(|_| {
        std::thread::sleep(Duration::from_secs(8));
        upstream::ok("", b"late")
    });
    let plain = "routes:\n  - {host: files.example.com, scheme: http}\n";
    let setting = raw::routes(plain).connect_to("files.example.com:80", silent.address);
    let mut stage = setting.settings("proxy: {shutdown_grace: 500ms}\n").start();
    let agent = stage.agent();
    let mut socket = agent.socket();
    let identity = agent.identity();
    let get = format!("GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n{identity}\r\n");
    socket.write_all(get.as_bytes()).expect("the proxy reads");
    let arrived = raw::wait_until(SOON, || (silent.seen().len() == 1).then_some(()));
    assert!(arrived.is_some(), "it does not arrive");
    stage.signal(Signal::TERM);
    let answer = read_answer(&mut socket, false).expect("it is answered");
    answer.refused(503, "too_many_tunnels").says("shutting down");
    assert_eq!(stage.ends_within(SOON), Some(0));
}

#[test]
fn a_stream_under_a_hard_budget_is_ended_with_the_providers_own_error() {
    let options = Options { gap: Duration::from_millis(100), tokens_per_event: 10, ..Options::default() };
    let setting = raw::stage_with(options).file("bottles/ci/routes.yaml", ROUTES);
    let setting = setting.env("THE_KEY", "tests-only-9fK2mP7qR4tW");
    let settings = "budget: {claude: 100000}\nproxy: {shutdown_grace: 500ms}\n";
    let mut stage = setting.settings(settings).start();
    let agent = stage.agent();
    let stream = streaming(&agent, 2000);
    stage.signal(Signal::TERM);
    let (text, whole) = rest(stream);
    assert!(whole && text.contains("event: error") && text.contains("shutting down"), "{text}");
    assert_eq!(stage.ends_within(SOON), Some(0));
    settled(&stage, "recovered");
}
