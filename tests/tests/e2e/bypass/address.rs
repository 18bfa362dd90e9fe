//! Where a name may lead: not to this host, not to its networks, and never to Hudson itself.

use super::{HOST, ROUTES};
use crate::raw::{self, Upstream};

/// A route to this port of this host.
fn route(host: &str, port: u16, more: &str) -> String {
    format!("routes:\n  - {{host: \"{host}\", scheme: http, port: {port}{more}}}\n")
}

#[test]
fn a_listed_name_that_leads_to_loopback_is_refused() {
    let upstream = Upstream::echo();
    let port = upstream.address.port();
    for host in
        ["localhost", "localhost.", "127.0.0.1", "127.0.0.1.", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"]
    {
        let stage = raw::routes(&route(host, port, "")).start();
        let answer = stage.agent().plain("GET", &format!("http://{host}:{port}/"), "");
        answer.refused(403, "address_blocked");
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[test]
fn a_listed_name_that_leads_to_loopback_is_refused_inside_the_tunnel() {
    let stage = raw::routes("routes:\n  - host: localhost\n").start();
    stage.agent().get("localhost", "/").refused(403, "address_blocked").says("allow_addresses");
}

#[test]
fn metadata_and_private_addresses_are_refused_also_inside_others() {
    let hosts = [
        "169.254.169.254",
        "10.0.0.1",
        "192.168.1.1",
        "100.100.100.200",
        "0.0.0.0",
        "[fd00:ec2::254]",
        "[::1]",
        "[::]",
        "[fe80::1]",
        // IPv4 inside: mapped, compatible, translated, NAT64, 6to4, Teredo.
        "[::ffff:10.0.0.1]",
        "[::127.0.0.1]",
        "[::ffff:0:10.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::1]",
        "[2001:0:a00:1::]",
    ];
    let lines: String = hosts.iter().map(|host| format!("  - host: \"{host}\"\n")).collect();
    let stage = raw::routes(&format!("routes:\n{lines}")).start();
    let agent = stage.agent();
    for host in hosts {
        agent.get(host, "/latest/meta-data/").refused(403, "address_blocked");
    }
}

#[test]
fn a_url_with_user_information_goes_nowhere() {
    let upstream = Upstream::echo();
    let port = upstream.address.port();
    let stage = raw::routes(&route("127.0.0.1", port, ", allow_addresses: [127.0.0.0/8]")).start();
    let agent = stage.agent();
    for authority in
        ["127.0.0.1@evil.example", "evil.example@127.0.0.1", "127.0.0.1:80@127.0.0.1", "@127.0.0.1"]
    {
        let url = format!("http://{authority}:{port}/");
        agent.plain("GET", &url, "").refused(400, "malformed_request");
    }
    for spelling in ["0x7f.1", "2130706433", "0177.0.0.1", "127.1", "127.0.0.1.."] {
        agent.plain("GET", &format!("http://{spelling}:{port}/"), "").refused(400, "malformed_request");
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[test]
fn a_range_that_the_route_names_is_reached() {
    let upstream = Upstream::echo();
    let port = upstream.address.port();
    let stage = raw::routes(&route("127.0.0.1", port, ", allow_addresses: [127.0.0.0/8]")).start();
    stage.agent().plain("GET", &format!("http://127.0.0.1:{port}/"), "").passed();
}

#[test]
fn hudson_itself_is_never_reached() {
    let stage = raw::routes("routes: []\n").start();
    let port = stage.address.port();
    let agent = stage.agent();
    let everywhere = ", allow_addresses: [0.0.0.0/0, \"::/0\"]";
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"] {
        stage.world.configure("bottles/ci/routes.yaml", &route(host, port, everywhere));
        stage.signal(rustix::process::Signal::HUP);
        let url = format!("http://{host}:{port}/");
        let blocked = raw::wait_until(std::time::Duration::from_secs(3), || {
            (agent.plain("GET", &url, "").header("x-hudson-refusal") == Some("address_blocked")).then_some(())
        });
        assert!(blocked.is_some(), "{host}: {}", agent.plain("GET", &url, ""));
    }
}

#[test]
fn a_redirection_to_hudson_itself_is_not_followed() {
    let stage = raw::routes("routes: []\n").start();
    let (agent, address) = (stage.agent(), stage.address);
    let routes =
        format!("routes:\n  - {{host: files.example.org, upstream: {{connect_to: \"{address}\"}}}}\n");
    stage.world.configure("bottles/ci/routes.yaml", &routes);
    stage.signal(rustix::process::Signal::HUP);
    let blocked = raw::wait_until(std::time::Duration::from_secs(3), || {
        let answer = agent.get("files.example.org", "/");
        (answer.header("x-hudson-refusal") == Some("address_blocked")).then_some(())
    });
    assert!(blocked.is_some(), "{}", agent.get("files.example.org", "/"));
}

#[test]
fn a_name_that_does_not_resolve_is_an_answer_to_connect() {
    let stage = raw::routes("routes:\n  - host: nowhere.invalid\n").start();
    let (answer, _) = stage.agent().connect("nowhere.invalid:443");
    answer.refused(502, "upstream_unreachable");
}

#[test]
fn the_refusal_of_a_connect_is_plain_when_settings_say_so() {
    let stage = raw::routes(ROUTES).settings("refuse: connect\n").start();
    let agent = stage.agent();
    let (answer, _) = agent.connect("other.example.com:443");
    answer.refused(403, "host_not_allowed").says("allowlist");
    agent.get(HOST, "/hello.txt").passed();
}
