//! One name throughout: CONNECT, TLS, `Host` and `:authority`; and the forms in which one host may be written.

use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{ServerName, UnixTime};

use super::{HOST, ROUTES};
use crate::raw::{self, Agent};

const BOTH: &str = "routes:\n  - host: files.example.com\n  - host: other.example.com\n";

fn get(host: &str) -> String {
    format!("GET /hello.txt HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn another_host_in_an_http_1_request_is_421() {
    let stage = raw::routes(BOTH).start();
    let agent = stage.agent();
    for other in
        ["other.example.com", "files.example.com:8443", "files.example.com.evil.test", "127.0.0.1", ""]
    {
        agent.send(HOST, &get(other)).refused(421, "authority_mismatch");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn an_absolute_target_in_a_tunnel_must_name_the_tunnels_host() {
    let stage = raw::routes(BOTH).start();
    let request = "GET https://other.example.com/hello.txt HTTP/1.1\r\nHost: files.example.com\r\n\r\n";
    stage.agent().send(HOST, request).refused(421, "authority_mismatch");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn an_absolute_target_in_a_tunnel_must_name_its_scheme() {
    let stage = raw::routes(BOTH).start();
    let agent = stage.agent();
    for (url, status) in [
        ("https://files.example.com/hello.txt", 200),
        ("HTTPS://FILES.example.com:443/hello.txt", 200),
        ("http://files.example.com/hello.txt", 421),
        ("ftp://files.example.com/hello.txt", 421),
        ("https://files.example.com@other.example.com/hello.txt", 421),
        ("https://other.example.com@files.example.com/hello.txt", 421),
        ("https://files.example.com:80/hello.txt", 421),
        ("//files.example.com/hello.txt", 400),
        ("files.example.com/hello.txt", 400),
        ("files.example.com:443", 400),
    ] {
        let answer = agent.send(HOST, &format!("GET {url} HTTP/1.1\r\nHost: files.example.com\r\n\r\n"));
        assert_eq!(answer.status, status, "{url}: {answer}");
    }
    assert_eq!(stage.arrived(), 2);
}

#[test]
fn a_host_with_anything_around_it_is_421() {
    let stage = raw::routes(BOTH).start();
    let agent = stage.agent();
    for host in [
        "files.example.com:",
        "files.example.com:+443",
        "files.example.com:443:443",
        "files.example.com:0",
        "files.example.com, other.example.com",
        "files.example.com other.example.com",
        "other.example.com@files.example.com",
        "files.example.com@other.example.com",
        "https://files.example.com",
        "files.example.com/",
        "files.example.com#",
        "files%2eexample.com",
        "files.example.com..",
        "files..example.com",
        "[files.example.com]",
    ] {
        agent.send(HOST, &get(host)).refused(421, "authority_mismatch");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn another_authority_in_an_http_2_request_is_421() {
    let stage = raw::routes(BOTH).start();
    let requests = ["https://other.example.com/hello.txt", "https://files.example.com:8443/hello.txt"]
        .map(|uri| raw::request("GET", uri, ""));
    for answer in stage.agent().http2(HOST, requests.into()) {
        answer.refused(421, "authority_mismatch");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_host_beside_the_authority_of_http_2_must_be_the_same() {
    let stage = raw::routes(BOTH).start();
    let mut request = raw::request("GET", "https://files.example.com/hello.txt", "");
    request.headers_mut().insert("host", "other.example.com".parse().expect("a host is a value"));
    stage.agent().http2_one(HOST, request).refused(421, "authority_mismatch");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn two_hosts_in_one_request_are_refused() {
    let stage = raw::routes(BOTH).start();
    let agent = stage.agent();
    for second in ["other.example.com", "files.example.com"] {
        let request = format!("GET /hello.txt HTTP/1.1\r\nHost: files.example.com\r\nHost: {second}\r\n\r\n");
        assert_eq!(agent.send(HOST, &request).status, 400, "{second}");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_request_without_a_host_is_refused() {
    let stage = raw::routes(BOTH).start();
    let answer = stage.agent().send(HOST, "GET /hello.txt HTTP/1.1\r\n\r\n");
    assert_eq!(answer.status, 400, "{answer}");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn upper_case_a_trailing_dot_and_the_port_are_the_same_host() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for connect in ["FILES.Example.COM:443", "files.example.com.:443"] {
        let mut tls = agent.tls_as(agent.tls_config(&[]), connect, HOST).expect("TLS is taken");
        for host in ["FILES.example.com", "files.example.com.", "files.example.com:443"] {
            raw::ask(&mut tls, &get(host)).passed();
        }
    }
    let hosts: Vec<_> = stage.world.simulator.journal().entries().into_iter().map(|seen| seen.host).collect();
    assert!(hosts.iter().all(|host| host == HOST), "{hosts:?}");
}

#[test]
fn a_connect_target_that_can_be_read_twice_is_refused() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    let long = format!("{}.example.com:443", ["a"; 122].join("."));
    for target in [
        "files.example.com",
        "https://files.example.com:443",
        "files.example.com:0",
        "files.example.com:65536",
        "files.example.com:443:443",
        "files..example.com:443",
        "files.example.com..:443",
        ".files.example.com:443",
        "0x7f.1:443",
        "0x7f000001:443",
        "2130706433:443",
        "127.1:443",
        "0177.0.0.1:443",
        "127.0.0.0x1:443",
        "1.2.3.4.5:443",
        "[fe80::1%25lo]:443",
        "[127.0.0.1]:443",
        "[::1:443",
        "::1:443",
        "a@files.example.com:443",
        "files.example.com@other.example.com:443",
        "b\u{fc}cher.example:443",
        "ⓕiles.example.com:443",
        "files%2eexample.com:443",
        "*.example.com:443",
        "/files.example.com:443",
        &long,
    ] {
        let (answer, _) = agent.connect(target);
        assert_eq!(answer.status, 400, "{target}: {answer}");
    }
    assert_eq!(stage.arrived(), 0);
}

/// Does the leaf in this connection hold for the host at that time?
fn holds(agent: &Agent, authority: &str, name: &str, before_now: Duration) -> Result<(), rustls::Error> {
    let tls = agent.tls_as(agent.tls_config(&[]), authority, name).expect("TLS is taken");
    let leaf = tls.conn.peer_certificates().and_then(|chain| chain.first()).expect("a leaf came").clone();
    let provider = rustls::crypto::aws_lc_rs::default_provider().into();
    let verifier = WebPkiServerVerifier::builder_with_provider(agent.roots(), provider).build();
    let name = ServerName::try_from(name).expect("a server name");
    let then = UnixTime::since_unix_epoch(UnixTime::now().as_secs_duration() - before_now);
    verifier.expect("the roots are sound").verify_server_cert(&leaf, &[], &name, &[], then).map(|_| ())
}

trait AsDuration {
    fn as_secs_duration(&self) -> Duration;
}

impl AsDuration for UnixTime {
    fn as_secs_duration(&self) -> Duration {
        Duration::from_secs(self.as_secs())
    }
}

#[test]
fn a_leaf_is_valid_for_a_clock_that_is_an_hour_late() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    holds(&agent, "files.example.com:443", HOST, Duration::from_secs(3590)).expect("backdated by an hour");
    holds(&agent, "files.example.com:443", HOST, Duration::from_secs(3 * 24 * 3600))
        .expect_err("and not for ever");
}

#[test]
fn an_address_gets_a_leaf_with_that_address() {
    let routes = "routes:\n  - {host: 127.0.0.1, allow_addresses: [127.0.0.0/8]}\n";
    let stage = raw::routes(routes).simulates("127.0.0.1:443").start();
    let agent = stage.agent();
    holds(&agent, "127.0.0.1:443", "127.0.0.1", Duration::ZERO).expect("the leaf names the address");
    agent.get("127.0.0.1", "/hello.txt").passed();
}

#[test]
fn an_address_that_is_not_listed_is_refused_inside_the_tunnel() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    agent.get("127.0.0.1", "/").refused(403, "host_not_allowed");
    agent.get("[::ffff:127.0.0.1]", "/").refused(403, "host_not_allowed");
    agent.get("localhost", "/").refused(403, "host_not_allowed");
    agent.get("xn--bcher-kva.example", "/").refused(403, "host_not_allowed");
    assert_eq!(stage.arrived(), 0);
}
