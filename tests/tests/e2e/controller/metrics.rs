//! Metrics: what is on the page, who is answered, and what is never told.

use std::net::{SocketAddr, TcpStream};

use hudson_tests::World;

use super::{KEY, ROUTES, SOON, Served, call, message, sidecar};
use crate::raw::{self, Answer};

const HOST: &str = "api.anthropic.com";
const SETTINGS: &str = "budget: {claude: 1M}\nbottles: {ci: {budget: {claude: 5000}}}\n\
                        control: {metrics: '127.0.0.1:0', metrics_hosts: [prom.example]}\n";

#[allow(clippy::disallowed_methods, reason = "the test is the scraper")]
fn ask(address: SocketAddr, method: &str, path: &str, host: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("metrics are served");
    stream.set_read_timeout(Some(SOON)).expect("a socket takes a time-out");
    raw::ask(&mut stream, &format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"))
}

/// The page, once it has this line.
#[track_caller]
fn page_with(address: SocketAddr, line: &str) -> String {
    let mut last = String::new();
    let found = raw::wait_until(SOON, || {
        last = ask(address, "GET", "/metrics", "localhost").text();
        last.lines().any(|has| has == line).then(|| last.clone())
    });
    found.unwrap_or_else(|| panic!("{line} is not in\n{last}"))
}

#[test]
fn the_page_has_what_happened_and_names_neither_runs_nor_hosts() {
    let stage = raw::routes(ROUTES).settings(SETTINGS).env("THE_KEY", KEY).start();
    let ready = std::fs::read(stage.world.scratch().join("ready.json")).expect("it is there");
    let ready: serde_json::Value = serde_json::from_slice(&ready).expect("JSON");
    let address: SocketAddr =
        ready["metrics"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    assert!(address.ip().is_loopback());
    let told = stage.bottle_add("ci", &[]);
    let agent = raw::Agent::new(stage.address, &told, &stage.world.home().join("ca/ca.pem"));
    agent.post(HOST, "/v1/messages", &message("100-50")).passed();
    agent.get("files.example.com", "/hello.txt").passed();
    agent.get("nowhere.example.com", "/secret-path").refused(403, "host_not_allowed");
    stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
    let page = page_with(address, "hudson_blocks{scope=\"bottle\",policy=\"cutoff\",by=\"operator\"} 1");
    for line in [
        concat!("hudson_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\",role=\"up\"} 1"),
        "hudson_configuration_fault 0",
        "hudson_ledger_readable 1",
        "hudson_ledger_errors_total 0",
        "hudson_requests_total{bottle=\"ci\",host=\"metered\",status=\"2xx\"} 1",
        "hudson_requests_total{bottle=\"ci\",host=\"other\",status=\"2xx\"} 1",
        "hudson_requests_total{bottle=\"ci\",host=\"other\",status=\"4xx\"} 1",
        "hudson_refusals_total{code=\"host_not_allowed\"} 1",
        "hudson_metered_responses_total{provider=\"claude\",quality=\"exact\"} 1",
        "hudson_tokens_total{provider=\"claude\",quality=\"exact\",kind=\"input\"} 100",
        "hudson_tokens_total{provider=\"claude\",quality=\"exact\",kind=\"output\"} 50",
        "hudson_tokens_total{provider=\"claude\",quality=\"exact\",kind=\"total\"} 150",
        "hudson_live_runs{bottle=\"ci\"} 1",
        "hudson_held_tokens 0",
        "hudson_budget_limit_tokens{scope=\"bottle\",name=\"ci\",provider=\"claude\"} 5000",
        "hudson_budget_used_tokens{scope=\"bottle\",name=\"ci\",provider=\"claude\"} 150",
        "hudson_budget_used_tokens{scope=\"global\",name=\"\",provider=\"claude\"} 150",
        "hudson_enforcements{action=\"cutoff\",state=\"done\"} 1",
        "hudson_enforcement_seconds_count{action=\"cutoff\"} 1",
        "hudson_notifications_undelivered 0",
    ] {
        assert!(page.lines().any(|has| has == line), "{line} is not in\n{page}");
    }
    assert!(page.contains("hudson_ledger_commit_seconds_bucket{le=\"+Inf\"}"), "{page}");
    let run = told["run"].as_str().expect("a run");
    for hidden in [run, KEY, "example.com", HOST, "secret-path", stage.world.home().to_str().expect("text")] {
        assert!(!page.contains(hidden), "{hidden} is in\n{page}");
    }
    // By the socket too, and a fault of the files is one.
    stage.world.configure("settings.yml", "budget: {claude: ten}\n");
    stage.signal(rustix::process::Signal::HUP);
    page_with(address, "hudson_configuration_fault 1");
    assert_eq!(call(&stage.world.home(), "GET", "/metrics", "").status, 200);
}

#[test]
fn a_name_that_was_rebound_and_a_bottle_are_answered_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it is bound");
    drop(taken);
    let routes = format!(
        "routes:\n  - {{host: 127.0.0.1, scheme: http, port: {}, allow_addresses: [127.0.0.0/8]}}\n",
        address.port()
    );
    let settings = SETTINGS.replace("127.0.0.1:0", &address.to_string());
    let stage = raw::routes(&routes).settings(&settings).start();
    for (method, path, host, status) in [
        ("GET", "/metrics", "localhost", 200),
        ("GET", "/metrics", &address.to_string(), 200),
        ("GET", "/metrics", "prom.example:9464", 200),
        ("GET", "/metrics", "evil.example", 421),
        ("GET", "/metrics", "", 421),
        ("GET", "http://evil.example/metrics", "localhost", 421),
        ("POST", "/metrics", "localhost", 405),
        ("GET", "/v1/status", "localhost", 404),
        ("POST", "/v1/bottles/ci/cutoff", "localhost", 404),
    ] {
        let answer = ask(address, method, path, host);
        assert_eq!(answer.status, status, "{method} {path} as {host}: {}", answer.text());
        assert_eq!(answer.text().contains("hudson_build_info"), status == 200);
    }
    let through = stage.agent().plain("GET", &format!("http://{address}/metrics"), "");
    through.refused(403, "address_blocked");
    // Two of them are not taken for one.
    let other = World::new();
    let taken = ["controller", "--metrics", &address.to_string()];
    let mut second = Served::begin(&other, "second", &taken, &[]);
    assert!(second.process.wait(SOON) && second.process.code() == Some(1));
}

#[test]
fn a_proxy_and_a_controller_each_have_their_own_part() {
    let world = World::new();
    world.configure("settings.yml", SETTINGS);
    let controller = Served::start(&world, "controller", &["controller"], &[]);
    // The setting is the controller's: a proxy beside it does not take its port.
    let (proxy, agent) = sidecar(&world, &["--metrics", "127.0.0.1:0"]);
    agent.post(HOST, "/v1/messages", &message("100-50")).passed();
    let of_proxy = page_with(
        proxy.metrics(),
        "hudson_tokens_total{provider=\"claude\",quality=\"exact\",kind=\"total\"} 150",
    );
    assert!(of_proxy.contains("role=\"proxy\"") && !of_proxy.contains("hudson_budget_used"), "{of_proxy}");
    let of_controller = page_with(
        controller.metrics(),
        "hudson_budget_used_tokens{scope=\"bottle\",name=\"ci\",provider=\"claude\"} 150",
    );
    assert!(!of_controller.contains("hudson_requests_total"), "{of_controller}");
}
