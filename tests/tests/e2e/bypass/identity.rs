//! Who speaks: the proxy's credentials, and that nobody else ever sees them.

use std::io::Write as _;
use std::time::Duration;

use super::{HOST, ROUTES};
use crate::raw::answer::read_answer;
use crate::raw::{self, ask};

#[test]
fn a_407_leaves_the_connection_usable() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    let mut socket = agent.socket();
    socket
        .write_all(b"CONNECT files.example.com:443 HTTP/1.1\r\nHost: files.example.com:443\r\n\r\n")
        .expect("the proxy reads");
    let answer = read_answer(&mut socket, true).expect("it is answered");
    let answer = answer.refused(407, "identity_required");
    assert!(answer.header("proxy-authenticate").is_some_and(|value| value.starts_with("Basic ")), "{answer}");
    let answer = agent.connect_on(&mut socket, "files.example.com:443");
    assert_eq!(answer.status, 200, "{answer}");
}

#[test]
fn wrong_credentials_are_407() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    let (user, password) = agent.credentials.split_once(':').expect("credentials are two words");
    let other = stage.agent_in("other", &[]);
    let others = other.credentials.split_once(':').expect("credentials are two words").1;
    let (short, long) = (&password[..password.len() - 1], format!("{password}A"));
    for wrong in ["", short, &long, others, &password.to_uppercase()] {
        let (answer, _) = agent.with_credentials(&format!("{user}:{wrong}")).connect("files.example.com:443");
        answer.refused(407, "identity_required");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn credentials_of_a_run_that_has_ended_are_407() {
    let stage = raw::routes(ROUTES).start();
    let route = stage.world.home().join("bottles/ci/routes.yaml").display().to_string();
    let told = stage.world.work().join("told");
    let script = format!("printf %s \"$HTTPS_PROXY\" > '{}'", told.display());
    let outcome = stage.hudson(&[
        "run",
        "--isolation",
        "none",
        "--bottle",
        "ci",
        "--routes",
        &route,
        "--",
        "sh",
        "-c",
        &script,
    ]);
    assert!(!outcome.timed_out, "{outcome}");
    let url = std::fs::read_to_string(&told).unwrap_or_else(|error| panic!("{error}: {outcome}"));
    let credentials = url.strip_prefix("http://").and_then(|rest| rest.split_once('@'));
    let (credentials, address) = credentials.expect("the proxy URL has credentials");
    assert_eq!(address.trim_end_matches('/'), stage.address.to_string(), "the run used another proxy");
    // Another process ended the run; that is seen within a moment.
    let late = stage.agent().with_credentials(credentials);
    let status = || late.connect("files.example.com:443").0.status;
    let refused = raw::wait_until(Duration::from_secs(1), || (status() == 407).then_some(()));
    assert!(refused.is_some(), "the credentials still hold: {}", status());
}

#[test]
fn two_credentials_at_once_are_407() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    let identity = agent.identity();
    let request = format!(
        "GET http://_egress.local/health HTTP/1.1\r\nHost: _egress.local\r\n{identity}{identity}\r\n"
    );
    ask(&mut agent.socket(), &request).refused(407, "identity_required");
}

#[test]
fn proxy_credentials_never_reach_the_upstream() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    let password = agent.credentials.split_once(':').expect("credentials are two words").1;
    let answer = agent.get_with(HOST, "/echo", &agent.identity()).passed();
    assert!(answer.echoed("proxy-authorization").is_empty() && !answer.text().contains(password), "{answer}");
    let mut request = raw::request("GET", "https://files.example.com/echo", "");
    request.headers_mut().insert("proxy-authorization", "Basic YTpi".parse().expect("a value"));
    assert!(agent.http2_one(HOST, request).passed().echoed("proxy-authorization").is_empty());
}

#[test]
fn proxy_credentials_are_in_no_log() {
    let stage = raw::routes(&format!("log: 2\n{ROUTES}")).start();
    let agent = stage.agent();
    let password = agent.credentials.split_once(':').expect("credentials are two words").1;
    agent.get(HOST, "/hello.txt").passed();
    agent.get("other.example.com", "/").refused(403, "host_not_allowed");
    agent.with_credentials(&format!("{}x", agent.credentials)).connect("files.example.com:443");
    stage.event("refusal");
    assert!(!stage.log().contains(password), "{}", stage.log());
}

#[test]
fn one_tunnel_too_many_is_503_and_says_when_to_come_again() {
    let stage = raw::routes(ROUTES).settings("proxy: {max_tunnels_per_bottle: 2}\n").start();
    let (agent, neighbour) = (stage.agent(), stage.agent_in("other", &[]));
    let first = agent.tunnel("files.example.com:443");
    let second = agent.tunnel("files.example.com:443");
    let (answer, _) = agent.connect("files.example.com:443");
    let answer = answer.refused(503, "too_many_tunnels");
    assert!(answer.header("retry-after").is_some() && answer.header("x-should-retry") != Some("false"));
    // Neither another run of the bottle nor another bottle changes what one bottle may have.
    assert_eq!(stage.agent().connect("files.example.com:443").0.status, 503);
    assert_eq!(neighbour.connect("files.example.com:443").0.status, 200);
    drop((first, second));
    let free = raw::wait_until(Duration::from_secs(3), || {
        (agent.connect("files.example.com:443").0.status == 200).then_some(())
    });
    assert!(free.is_some(), "closed tunnels still count");
}
