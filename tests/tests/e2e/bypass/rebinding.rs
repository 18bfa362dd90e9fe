//! Names whose addresses change between two questions: what was checked is what is dialled.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use crate::raw::names::Names;
use crate::raw::{self, Stage, Upstream};

const NAME: &str = "rebind.example.com";
const LISTED: [u8; 4] = [127, 0, 0, 1];
const OTHER: [u8; 4] = [127, 0, 0, 2];

/// An upstream at the listed address, and a listener at the same port of the other that nobody may reach.
fn servers() -> (Upstream, TcpListener) {
    loop {
        let answer = |_: &str| raw::upstream::ok("connection: close\r\n", b"listed");
        let upstream = Upstream::start(answer);
        // The port may be taken there by somebody else's test.
        if let Ok(other) = TcpListener::bind((Ipv4Addr::from(OTHER), upstream.address.port())) {
            other.set_nonblocking(true).expect("a listener takes options");
            return (upstream, other);
        }
    }
}

fn stage(names: &Names, port: u16, scheme: &str) -> Stage {
    let routes = format!(
        "routes:\n  - {{host: {NAME}, scheme: {scheme}, port: {port}, allow_addresses: [127.0.0.1/32]}}\n"
    );
    raw::routes(&routes).start_inside(|world, up| names.command(world, &up))
}

#[test]
fn each_dial_resolves_once_and_connects_to_what_it_checked() {
    let (names, (upstream, other)) = (Names::start(), servers());
    let port = upstream.address.port();
    names.resolves(NAME, &[&[LISTED], &[OTHER]]);
    let stage = stage(&names, port, "http");
    let agent = stage.agent();
    let url = format!("http://{NAME}:{port}/");
    assert_eq!(agent.plain("GET", &url, "").passed().text(), "listed");
    assert_eq!(names.asked(NAME), 1, "a second question was asked, and its answer is another");
    agent.plain("GET", &url, "").refused(403, "address_blocked").says("127.0.0.2");
    assert_eq!((names.asked(NAME), upstream.seen().len()), (2, 1));
    assert!(other.accept().is_err(), "the other address was dialled");
}

#[test]
fn a_name_with_one_forbidden_address_among_others_is_not_dialled() {
    let (names, (upstream, other)) = (Names::start(), servers());
    let port = upstream.address.port();
    for answer in [[LISTED, OTHER], [OTHER, LISTED]] {
        names.resolves(NAME, &[&answer]);
        let stage = stage(&names, port, "http");
        let answer = stage.agent().plain("GET", &format!("http://{NAME}:{port}/"), "");
        answer.refused(403, "address_blocked");
    }
    assert_eq!(upstream.seen().len(), 0);
    assert!(other.accept().is_err(), "the other address was dialled");
}

#[test]
fn a_tunnel_is_dialled_by_the_same_rule() {
    let (names, (upstream, other)) = (Names::start(), servers());
    let port = upstream.address.port();
    names.resolves(NAME, &[&[OTHER], &[LISTED, OTHER], &[OTHER]]);
    let stage = stage(&names, port, "https");
    let agent = stage.agent();
    for _ in 0..3 {
        let config = agent.tls_config(&[b"http/1.1"]);
        let mut tls = agent.tls_as(config, &format!("{NAME}:{port}"), NAME).expect("the refusal is inside");
        let request = format!("GET / HTTP/1.1\r\nHost: {NAME}:{port}\r\n\r\n");
        raw::ask(&mut tls, &request).refused(403, "address_blocked").says("127.0.0.2");
    }
    let dialled = raw::wait_until(Duration::from_millis(200), || other.accept().ok());
    assert!(dialled.is_none() && upstream.seen().is_empty(), "somebody was dialled");
}
