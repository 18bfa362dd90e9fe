//! Configuration that changes while `hudson up` runs: what narrows holds at once, what is wrong changes nothing.

use std::io::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::raw::agent::until_closed;
use crate::raw::{self, Stage, Upstream};

const FILES: &str = "routes:\n  - host: files.example.com\n";
const OTHER: &str = "routes:\n  - host: other.example.com\n";

/// A change of a file is in force after this long.
const SOON: Duration = Duration::from_secs(3);
/// An answer of so many bytes is more than all buffers on the way hold.
const LONG: usize = 60_000_000;

/// Waits for the first request at the simulator.
#[track_caller]
fn arrives(stage: &Stage) {
    let journal = stage.world.simulator.journal();
    assert!(journal.wait_until(SOON, |entries| !entries.is_empty()), "it does not arrive");
}

/// Writes the bottle's routes and waits until they are in force.
#[track_caller]
fn reloads(stage: &Stage, routes: &str) {
    reloads_when(stage, || stage.world.configure("bottles/ci/routes.yaml", routes));
}

/// Changes a file and waits until the change is in force.
#[track_caller]
fn reloads_when(stage: &Stage, change: impl FnOnce()) {
    let before = stage.events("configuration_reloaded").len();
    change();
    let seen = || (stage.events("configuration_reloaded").len() > before).then_some(());
    assert!(raw::wait_until(SOON, seen).is_some(), "the change is not seen:\n{}", stage.log());
}

#[test]
fn a_host_that_is_added_is_allowed_soon() {
    let stage = raw::routes(FILES).start();
    let agent = stage.agent();
    agent.get("other.example.com", "/hello.txt").refused(403, "host_not_allowed");
    reloads(&stage, &format!("{FILES}  - host: other.example.com\n"));
    agent.get("other.example.com", "/hello.txt").passed();
    agent.get("files.example.com", "/hello.txt").passed();
}

#[test]
fn a_host_that_is_removed_is_refused_and_its_open_tunnel_ended() {
    let stage = raw::routes(FILES).start();
    let agent = stage.agent();
    let mut open = agent.tls("files.example.com");
    let request = "GET /hello.txt HTTP/1.1\r\nHost: files.example.com\r\n\r\n";
    raw::ask(&mut open, request).passed();
    reloads(&stage, OTHER);
    agent.get("files.example.com", "/hello.txt").refused(403, "host_not_allowed");
    open.sock.set_read_timeout(Some(SOON)).expect("a socket takes options");
    let rest = until_closed(&mut open.sock).expect("the open tunnel stays open");
    assert!(!rest.windows(5).any(|bytes| bytes == b"hello"), "the tunnel gave more");
    open.write_all(request.as_bytes()).and_then(|()| open.flush()).ok();
    assert_eq!(stage.arrived(), 1, "something got through");
}

#[test]
fn a_refusal_is_given_although_something_else_is_reloaded() {
    let stage = raw::routes(FILES).start();
    let agent = stage.agent();
    let mut open = agent.tls("other.example.com");
    reloads(&stage, &format!("{FILES}  - host: more.example.com\n"));
    let request = "GET /hello.txt HTTP/1.1\r\nHost: other.example.com\r\n\r\n";
    raw::ask(&mut open, request).refused(403, "host_not_allowed");
}

#[test]
fn a_stream_of_a_removed_host_is_ended() {
    let stage = raw::routes(FILES).start();
    let agent = stage.agent();
    let mut open = agent.tls("files.example.com");
    let request = format!("GET /bytes/{LONG} HTTP/1.1\r\nHost: files.example.com\r\n\r\n");
    open.write_all(request.as_bytes()).expect("it is sent");
    arrives(&stage);
    reloads(&stage, OTHER);
    assert!(until_closed(&mut open.sock).expect("the stream ends").len() < LONG, "the whole answer came");
}

#[test]
fn a_plain_stream_of_a_removed_host_is_ended() {
    let plain = "routes:\n  - {host: files.example.com, scheme: http}\n";
    let stage = raw::routes(plain).simulates("files.example.com:80").start();
    let agent = stage.agent();
    let mut open = agent.socket();
    let (url, identity) = (format!("http://files.example.com/bytes/{LONG}"), agent.identity());
    let request =
        format!("GET {url} HTTP/1.1\r\nHost: files.example.com\r\nConnection: close\r\n{identity}\r\n");
    open.write_all(request.as_bytes()).expect("it is sent");
    arrives(&stage);
    reloads(&stage, OTHER);
    agent.plain("GET", &url, "").refused(403, "host_not_allowed");
    assert!(until_closed(&mut open).expect("the stream ends").len() < LONG, "the whole answer came");
}

#[test]
fn an_address_that_is_forbidden_is_reached_on_no_pooled_connection() {
    let upstream = Upstream::echo();
    let port = upstream.address.port();
    let route = format!("routes:\n  - {{host: 127.0.0.1, scheme: http, port: {port}");
    let stage = raw::routes(&format!("{route}, allow_addresses: [127.0.0.0/8]}}\n")).start();
    let agent = stage.agent();
    let url = format!("http://127.0.0.1:{port}/");
    agent.plain("GET", &url, "").passed();
    reloads(&stage, &format!("{route}}}\n"));
    agent.plain("GET", &url, "").refused(403, "address_blocked");
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn paths_that_are_narrowed_hold_in_an_open_tunnel() {
    let stage = raw::routes(FILES).start();
    let agent = stage.agent();
    let mut open = agent.tls("files.example.com");
    let request = "GET /hello.txt HTTP/1.1\r\nHost: files.example.com\r\n\r\n";
    raw::ask(&mut open, request).passed();
    let narrow = "    matches:\n      - paths: [{type: prefix, value: /robots}]\n";
    reloads(&stage, &format!("{FILES}{narrow}"));
    raw::ask(&mut open, request).refused(403, "request_not_matched");
}

#[test]
fn a_broken_file_keeps_the_old_configuration_and_names_the_line() {
    let stage = raw::routes(FILES).start();
    let agent = stage.agent();
    stage.world.configure("bottles/ci/routes.yaml", "routes:\n  - host: other.example.com\n    prot: 443\n");
    let error = stage.event("configuration_kept")["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains("bottles/ci/routes.yaml:3"), "no file and line: {error}");
    agent.get("files.example.com", "/hello.txt").passed();
    agent.get("other.example.com", "/hello.txt").refused(403, "host_not_allowed");
    let status = stage.hudson(&["status"]);
    assert!(status.everything().contains("routes.yaml"), "status does not tell: {status}");
}

#[test]
fn a_mended_file_is_taken_again() {
    let stage = raw::routes(FILES).start();
    let agent = stage.agent();
    stage.world.configure("bottles/ci/routes.yaml", "routes: [");
    stage.event("configuration_kept");
    reloads(&stage, OTHER);
    agent.get("other.example.com", "/hello.txt").passed();
}

#[test]
fn a_file_that_appears_is_taken() {
    let stage = raw::stage().start();
    let agent = stage.agent();
    agent.get("files.example.com", "/hello.txt").refused(403, "host_not_allowed");
    reloads(&stage, FILES);
    agent.get("files.example.com", "/hello.txt").passed();
}

#[test]
fn a_file_that_is_deleted_denies_all() {
    let stage = raw::routes(FILES).start();
    let agent = stage.agent();
    agent.get("files.example.com", "/hello.txt").passed();
    let file = stage.world.home().join("bottles/ci/routes.yaml");
    reloads_when(&stage, || std::fs::remove_file(file).expect("the file is there"));
    agent.get("files.example.com", "/hello.txt").refused(403, "host_not_allowed");
}

#[test]
fn a_hangup_reloads_at_once() {
    let stage = raw::routes(FILES).start();
    let agent = stage.agent();
    let asked = Instant::now();
    stage.signal(Signal::HUP);
    stage.event("configuration_reloaded");
    assert!(asked.elapsed() < Duration::from_secs(1), "it took {:?}", asked.elapsed());
    agent.get("files.example.com", "/hello.txt").passed();
}

#[test]
fn a_raised_budget_lifts_the_cutoff_it_caused() {
    let route = "  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}\n";
    let setting = raw::routes(&format!("{FILES}{route}")).env("THE_KEY", "tests-only-9fK2mP7qR4tW");
    let stage = setting.settings("budget: {claude: 1000}\n").start();
    let agent = stage.agent();
    let spend = r#"{"model":"sim-950-100","max_tokens":100,"messages":[{"role":"user","content":"spend"}]}"#;
    agent.post("api.anthropic.com", "/v1/messages", spend).passed();
    agent.post("api.anthropic.com", "/v1/messages", spend).refused(403, "bottle_cut_off");
    agent.get("files.example.com", "/hello.txt").refused(403, "bottle_cut_off");
    reloads_when(&stage, || stage.world.configure("settings.yml", "budget: {claude: 100000}\n"));
    agent.get("files.example.com", "/hello.txt").passed();
    agent.post("api.anthropic.com", "/v1/messages", spend).passed();
}
