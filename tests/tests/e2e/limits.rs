//! Limits, by what they do: slow clients at every stage are ended within their limit and give their place back, floods
//! end in a refusal, and a full file table is waited out.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hudson_tests::simulator::Options;

use crate::raw::agent::{Tls, client, until_closed};
use crate::raw::answer::read_answer;
use crate::raw::{self, Agent, Answer, Stage, Upstream, upstream};

const HOST: &str = "files.example.com";
const CONNECT: &str = "files.example.com:443";
const ROUTES: &str = "routes:\n  - host: files.example.com\n";
const GET: &str = "GET /hello.txt HTTP/1.1\r\nHost: files.example.com\r\n\r\n";

/// What a limit of a second may take on a machine that is busy.
const SOON: Duration = Duration::from_secs(6);
/// More than all buffers on the way hold.
const LONG: usize = 60_000_000;

/// One tunnel a bottle, so that whoever keeps its place keeps everybody out.
fn narrow(settings: &str) -> Stage {
    let settings = format!("proxy: {{max_tunnels_per_bottle: 1, {settings}}}\n");
    raw::routes(ROUTES).settings(&settings).start()
}

/// Ends the test unless the proxy closes the connection after `limit`, and not much later.
#[track_caller]
fn closed_after(stream: &mut TcpStream, limit: Duration, since: Instant) {
    stream.set_read_timeout(Some(limit + SOON)).expect("a socket takes options");
    until_closed(stream).expect("it is not closed");
    let took = since.elapsed();
    assert!(took > limit * 7 / 10 && took < limit + SOON, "closed after {took:?}, the limit is {limit:?}");
}

/// Ends the test unless the bottle's one place is free.
#[track_caller]
fn place_is_free(agent: &Agent) {
    let free = raw::wait_until(SOON, || (agent.connect(CONNECT).0.status == 200).then_some(()));
    assert!(free.is_some(), "its place is still taken");
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let stage = raw::routes(ROUTES).settings("proxy: {header_timeout: 1s}\n").start();
    let agent = stage.agent();
    let since = Instant::now();
    closed_after(&mut agent.socket(), SECOND, since);
}

#[test]
fn half_a_connect_is_closed_and_so_is_one_that_trickles() {
    let stage = raw::routes(ROUTES).settings("proxy: {header_timeout: 1s}\n").start();
    let agent = stage.agent();
    let (since, mut half) = (Instant::now(), agent.socket());
    half.write_all(b"CONNECT files.exam").expect("the proxy reads");
    closed_after(&mut half, SECOND, since);
    let (since, mut slow) = (Instant::now(), agent.socket());
    slow.set_read_timeout(Some(Duration::from_millis(150))).expect("a socket takes options");
    let closed = std::iter::repeat_n(b'C', 60).any(|byte| {
        let mut back = [0];
        slow.write_all(&[byte]).is_err() || matches!(slow.read(&mut back), Ok(0))
    });
    assert!(closed && since.elapsed() < SECOND + SOON, "open after {:?}", since.elapsed());
}

#[test]
fn a_tunnel_without_tls_and_one_with_half_a_hello_give_their_place_back() {
    for sent in [0, 40] {
        let stage = narrow("tls_timeout: 1s");
        let agent = stage.agent();
        let mut hello = Vec::new();
        client(agent.tls_config(&[]), HOST).write_tls(&mut hello).expect("a vector takes bytes");
        let mut socket = agent.tunnel(CONNECT);
        let since = Instant::now();
        socket.write_all(&hello[..sent]).expect("the proxy reads");
        assert_eq!(agent.connect(CONNECT).0.status, 503, "there is room for two");
        closed_after(&mut socket, SECOND, since);
        place_is_free(&agent);
    }
}

#[test]
fn a_tunnel_without_a_request_gives_its_place_back() {
    for alpn in [b"http/1.1".as_slice(), b"h2"] {
        let stage = narrow("idle_timeout: 1s");
        let agent = stage.agent();
        let mut tls = agent.tls_as(agent.tls_config(&[alpn]), CONNECT, HOST).expect("TLS is taken");
        let since = Instant::now();
        closed_after(&mut tls.sock, SECOND, since);
        place_is_free(&agent);
    }
}

#[test]
fn half_a_request_head_in_a_tunnel_is_closed() {
    let stage = narrow("header_timeout: 1s, idle_timeout: 60s");
    let agent = stage.agent();
    let mut tls = agent.tls(HOST);
    raw::ask(&mut tls, GET).passed();
    let since = Instant::now();
    tls.write_all(b"GET /hello.txt HT").and_then(|()| tls.flush()).expect("the proxy reads");
    closed_after(&mut tls.sock, SECOND, since);
    place_is_free(&agent);
}

#[test]
fn a_client_that_rests_between_two_requests_is_left_alone() {
    let stage = narrow("header_timeout: 1s, idle_timeout: 60s");
    let agent = stage.agent();
    let mut tls = agent.tls(HOST);
    for _ in 0..2 {
        raw::ask(&mut tls, GET).passed();
        // Longer than a head may take: what is proven is that nothing happens meanwhile.
        std::thread::sleep(SECOND * 3 / 2);
    }
    raw::ask(&mut tls, GET).passed();
}

#[test]
fn a_body_that_trickles_is_refused_in_time() {
    let route = "routes:\n  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}\n";
    let setting = raw::routes(route).env("THE_KEY", "tests-only-9fK2mP7qR4tW");
    let stage = setting.settings("proxy: {body_timeout: 1s}\nbudget: {claude: 1000}\n").start();
    let agent = stage.agent();
    let mut tls = agent.tls("api.anthropic.com");
    let body = r#"{"model":"sim-80-30","max_tokens":10,"messages":[]}"#;
    let request = raw::post("api.anthropic.com", "/v1/messages", "", body);
    let (head, body) = request.split_at(request.len() - body.len());
    let since = Instant::now();
    tls.write_all(head.as_bytes()).and_then(|()| tls.flush()).expect("the proxy reads");
    for byte in body.bytes().take(4) {
        tls.write_all(&[byte]).and_then(|()| tls.flush()).expect("the proxy reads");
        std::thread::sleep(Duration::from_millis(200));
    }
    read_answer(&mut tls, false).expect("it is answered").refused(400, "malformed_request").says("1s");
    assert!(since.elapsed() < SECOND + SOON, "{:?}", since.elapsed());
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_client_that_does_not_read_gives_its_place_back() {
    let stage = narrow("idle_timeout: 1s");
    let agent = stage.agent();
    let request = format!("GET /bytes/{LONG} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut tls = agent.tls(HOST);
    tls.write_all(request.as_bytes()).and_then(|()| tls.flush()).expect("the proxy reads");
    assert_eq!(agent.connect(CONNECT).0.status, 503, "there is room for two");
    place_is_free(&agent);
    assert!(read_to_end(tls) < LONG, "the whole answer came");
}

/// What still comes of a connection that was ended.
fn read_to_end(mut tls: Tls) -> usize {
    let mut all = Vec::new();
    // An end without a farewell is an error, and what is asserted here is how much came before.
    tls.read_to_end(&mut all).ok();
    all.len()
}

#[test]
fn a_stream_of_http_2_that_is_not_read_gives_its_place_back() {
    let stage = narrow("idle_timeout: 1s");
    let agent = stage.agent();
    let mut http2 = agent.http2_open(HOST);
    let response = http2.send(raw::request("GET", &format!("https://{HOST}/bytes/{LONG}"), ""));
    assert_eq!(response.status(), 200);
    // Nothing of the body is taken, so that the window stays closed.
    assert!(http2.ends_within(SOON), "the connection goes on");
    assert!(http2.body(response.into_body()).is_err(), "the whole answer came");
    place_is_free(&agent);
}

#[test]
fn an_upstream_that_is_silent_is_given_up() {
    let silent = Upstream::start(|_| {
        std::thread::sleep(Duration::from_secs(8));
        upstream::ok("", b"late")
    });
    let route = "routes:\n  - {host: files.example.com, scheme: http}\n";
    for (settings, status) in [("response_timeout: 1s", Some(504)), ("idle_timeout: 1s", None)] {
        let setting = raw::routes(route).connect_to("files.example.com:80", silent.address);
        let stage = setting.settings(&format!("proxy: {{{settings}}}\n")).start();
        let agent = stage.agent();
        let since = Instant::now();
        let mut socket = agent.socket();
        let identity = agent.identity();
        let get = format!("GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n{identity}\r\n");
        socket.write_all(get.as_bytes()).expect("the proxy reads");
        let answer = read_answer(&mut socket, false).ok().map(|answer| answer.status);
        assert_eq!(answer, status, "{settings}");
        assert!(since.elapsed() > SECOND * 7 / 10 && since.elapsed() < SOON, "{:?}", since.elapsed());
    }
}

#[test]
fn a_stream_that_is_slow_but_alive_is_not_ended() {
    let options = Options { gap: Duration::from_millis(300), tokens_per_event: 10, ..Options::default() };
    let route = "routes:\n  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}\n";
    let setting = raw::stage_with(options).file("bottles/ci/routes.yaml", route);
    let setting = setting.env("THE_KEY", "tests-only-9fK2mP7qR4tW");
    let stage = setting.settings("proxy: {idle_timeout: 1s, header_timeout: 1s, body_timeout: 1s}\n").start();
    let body =
        r#"{"model":"sim-80-60","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"x"}]}"#;
    let since = Instant::now();
    let answer = stage.agent().post("api.anthropic.com", "/v1/messages", body).passed();
    assert!(answer.text().contains("event: message_stop"), "{answer}");
    assert!(since.elapsed() > SECOND * 2, "it was over before any limit: {:?}", since.elapsed());
}

#[test]
fn whoever_holds_connections_open_keeps_nobody_else_out() {
    let settings = "proxy: {max_unidentified_per_address: 4, header_timeout: 60s}\n";
    let stage = raw::routes(ROUTES).settings(settings).start();
    let agent = stage.agent();
    let mut held: Vec<TcpStream> = (0..12).map(|_| agent.socket()).collect();
    // An honest client of the same address says at once whose it is.
    agent.get(HOST, "/hello.txt").passed();
    // The oldest gave way, and not because of a time-out.
    until_closed(&mut held[0]).expect("the oldest is not closed");
    stage.event("connection_displaced");
}

#[test]
fn a_connection_is_asked_for_credentials_a_few_times_and_no_more() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    let mut socket = agent.socket();
    let nobody = agent.with_credentials("nobody:nothing");
    for _ in 0..3 {
        nobody.connect_on(&mut socket, CONNECT).refused(407, "identity_required");
    }
    assert_eq!(until_closed(&mut socket).expect("it is not closed"), b"");
}

#[test]
fn refusals_that_say_the_same_are_one_line_and_a_count() {
    let mut stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for _ in 0..20 {
        agent.with_credentials("nobody:nothing").connect(CONNECT).0.refused(407, "identity_required");
        agent.plain("GET", "http://other.example.com/", "").refused(403, "host_not_allowed");
    }
    stage.signal(rustix::process::Signal::TERM);
    assert_eq!(stage.ends_within(SOON), Some(0));
    let refusals = stage.events("refusal");
    assert_eq!(refusals.len(), 2, "{refusals:#?}");
    let counts: Vec<_> = stage.events("repeated").iter().map(|line| line["count"].clone()).collect();
    assert_eq!(counts, [19, 19], "{}", stage.log());
}

#[test]
fn a_head_that_is_too_large_is_431() {
    let stage = raw::routes(ROUTES).settings("proxy: {max_header_bytes: 10000, max_headers: 20}\n").start();
    let agent = stage.agent();
    let padding = |bytes: usize| format!("x-padding: {}\r\n", "a".repeat(bytes));
    let many = |count: usize| (0..count).map(|number| format!("x-h{number}: 1\r\n")).collect::<String>();
    let connect = |headers: &str| -> Answer {
        let mut socket = agent.socket();
        let identity = agent.identity();
        let head = format!("CONNECT {CONNECT} HTTP/1.1\r\nHost: {CONNECT}\r\n{identity}{headers}\r\n");
        socket.write_all(head.as_bytes()).expect("the proxy reads");
        read_answer(&mut socket, true).expect("it is answered")
    };
    assert_eq!(connect(&padding(8000)).status, 200);
    assert_eq!(connect(&many(15)).status, 200);
    for headers in [padding(11_000), many(30)] {
        assert_eq!(connect(&headers).status, 431);
        assert_eq!(agent.get_with(HOST, "/hello.txt", &headers).status, 431);
        let mut request = raw::request("GET", &format!("https://{HOST}/hello.txt"), "");
        for (name, value) in headers.lines().filter_map(|line| line.split_once(": ")) {
            let name: http::HeaderName = name.parse().expect("a name");
            request.headers_mut().append(name, value.parse().expect("a value"));
        }
        assert_eq!(agent.http2_one(HOST, request).status, 431);
    }
    assert_eq!(stage.arrived(), 0);
}

/// One frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Reads frames until one of this kind.
fn frame_of(tls: &mut Tls, wanted: u8) -> Vec<u8> {
    loop {
        let mut head = [0; 9];
        tls.read_exact(&mut head).expect("the frame does not come");
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        tls.read_exact(&mut payload).expect("the frame comes whole");
        if head[3] == wanted {
            return payload;
        }
    }
}

#[test]
fn streams_and_resets_of_http_2_are_limited_as_the_settings_say() {
    let stage = raw::routes(ROUTES).settings("proxy: {max_streams: 7, max_pending_resets: 3}\n").start();
    let agent = stage.agent();
    let mut tls = agent.tls_as(agent.tls_config(&[b"h2"]), CONNECT, HOST).expect("TLS is taken");
    let (settings, headers, reset, goaway) = (4, 1, 3, 7);
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(settings, 0, 0, &[])].concat();
    tls.write_all(&preface).and_then(|()| tls.flush()).expect("the proxy reads");
    let told = frame_of(&mut tls, settings);
    // SETTINGS_MAX_CONCURRENT_STREAMS is 3.
    assert!(told.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 7]), "{told:?}");
    // GET https, the path / and the host, by HPACK's static table; each one is reset at once. So few that it is this
    // limit, not hyper's own of 20, that ends it.
    let mut block = vec![0x82, 0x87, 0x84, 0x41, u8::try_from(HOST.len()).expect("a short name")];
    block.extend(HOST.bytes());
    let burst: Vec<u8> = (0..10)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            [frame(headers, 0x5, stream, &block), frame(reset, 0, stream, &[0, 0, 0, 8])].concat()
        })
        .collect();
    tls.write_all(&burst).and_then(|()| tls.flush()).expect("the proxy reads");
    let end = frame_of(&mut tls, goaway);
    // ENHANCE_YOUR_CALM is 11.
    assert_eq!(end.get(4..8), Some(&[0, 0, 0, 11][..]), "{end:?}");
    agent.get(HOST, "/hello.txt").passed();
}

#[test]
fn a_full_file_table_is_waited_out() {
    let stage = raw::routes(ROUTES).settings("proxy: {header_timeout: 60s}\n").open_files(64).start();
    let agent = stage.agent();
    let held: Vec<TcpStream> = (0..80).map(|_| agent.socket()).collect();
    stage.event("accept_failed");
    let (before, since) = (stage.cpu(), Instant::now());
    // Whether it spins can only be seen over a while.
    std::thread::sleep(Duration::from_secs(3));
    let used = stage.cpu() - before;
    report!("a full file table: {used:?} of CPU time in {:?}", since.elapsed());
    assert!(used < Duration::from_millis(300), "{used:?} of CPU time in {:?}", since.elapsed());
    let lines = stage.log().lines().count();
    assert!(lines < 20, "{lines} lines in the log");
    drop(held);
    agent.get(HOST, "/hello.txt").passed();
}
