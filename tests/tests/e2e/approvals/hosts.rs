//! Hosts on no route, where `unknown_hosts: ask` has people decide about them.

use hudson_schema::ledger::{ApprovalKind, ApprovalStatus, DecidedVia, GrantScope, NewGrant};

use super::{Desk, HOST, ask, id_of, now};
use crate::dlp::TOKEN;
use crate::raw::{self, Agent, Stage, Upstream};

const SETTINGS: &str = "approvals: {unknown_hosts: ask}\n";
const NEW: &str = "new.example.com";

/// A bottle whose one route leads elsewhere.
fn stage(settings: &str, upstream: &Upstream) -> (Stage, Agent, Desk) {
    let routes = format!("routes:\n  - {{host: {HOST}, scheme: http}}\n");
    let setting = raw::routes(&routes).settings(settings).connect_to(&format!("{NEW}:80"), upstream.address);
    let stage = setting.start();
    let (agent, desk) = (stage.agent(), Desk::of(&stage));
    (stage, agent, desk)
}

fn url(path: &str) -> String {
    format!("http://{NEW}{path}")
}

#[test]
fn one_request_passes_once_it_is_approved_and_the_host_stays_closed() {
    let upstream = Upstream::echo();
    let (_stage, agent, desk) = stage(SETTINGS, &upstream);
    let refused = ask(&agent, &url("/docs"), "", "x").refused(403, "approval_required");
    let id = id_of(&refused);
    let asked = desk.only();
    assert_eq!((asked.kind, asked.action.as_str()), (ApprovalKind::Route, "open_route"));
    assert_eq!(asked.target, format!("http://{NEW}:80"));
    desk.approve(&id);
    // Not another request than the one that was looked at.
    ask(&agent, &url("/docs"), "", "y").refused(403, "approval_required");
    ask(&agent, &url("/other"), "", "x").refused(403, "approval_required");
    assert!(upstream.seen().is_empty());
    ask(&agent, &url("/docs"), "authorization: Bearer mine\r\n", "z").refused(403, "approval_required");
    ask(&agent, &url("/docs"), "", "x").passed();
    ask(&agent, &url("/docs"), "", "x").refused(403, "approval_required");
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn inside_a_tunnel_it_is_the_same() {
    let routes = format!("routes:\n  - {{host: {HOST}, scheme: http}}\n");
    let stage = raw::routes(&routes).settings(SETTINGS).start();
    let (agent, desk) = (stage.agent(), Desk::of(&stage));
    let host = "files.example.com";
    let id = id_of(&agent.get(host, "/hello.txt").refused(403, "approval_required"));
    assert_eq!(stage.arrived(), 0);
    desk.approve(&id);
    agent.get(host, "/hello.txt").passed();
    agent.get(host, "/hello.txt").refused(403, "approval_required");
    assert_eq!(stage.arrived(), 1);
}

#[test]
fn a_grant_opens_the_host_for_its_uses() {
    let upstream = Upstream::echo();
    let (_stage, agent, desk) = stage(SETTINGS, &upstream);
    desk.grant(NewGrant {
        scope: GrantScope::Bottle { bottle: "ci".parse().expect("a name") },
        kind: ApprovalKind::Route,
        action: "open_route".to_owned(),
        target: Some(format!("http://{NEW}:80")),
        finding: None,
        max_uses: Some(2),
        expires_at: Some(now() + 600_000),
        actor: "uid:1000".to_owned(),
        via: DecidedVia::Cli,
        reason: None,
        now: now(),
    });
    ask(&agent, &url("/a"), "", "1").passed();
    ask(&agent, &url("/b"), "", "2").passed();
    ask(&agent, &url("/c"), "", "3").refused(403, "approval_required");
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn without_the_setting_nobody_is_asked() {
    let upstream = Upstream::echo();
    let (_stage, agent, desk) = stage("", &upstream);
    ask(&agent, &url("/docs"), "", "x").refused(403, "host_not_allowed");
    assert!(desk.all().is_empty());
}

#[test]
fn what_is_refused_anyway_is_not_asked_about() {
    let upstream = Upstream::echo();
    let (stage, agent, desk) = stage(SETTINGS, &upstream);
    for host in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "localhost"] {
        ask(&agent, &format!("http://{host}/x"), "", "").refused(403, "host_not_allowed");
    }
    let own = format!("http://{}/", stage.address);
    ask(&agent, &own, "", "").refused(403, "host_not_allowed");
    ask(&agent, &url("/x"), "", &format!("a secret: {TOKEN}")).refused(403, "dlp_blocked");
    ask(&agent, &url("/team/app.git/git-receive-pack"), "", "").refused(403, "git_push_blocked");
    agent
        .plain("GET", &url("/socket"), "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n")
        .refused(403, "host_not_allowed");
    assert!(desk.all().is_empty() && upstream.seen().is_empty());
}

/// The name leads into this host: that shows when it is dialled, after somebody has said yes to the name.
#[test]
fn an_approved_name_that_leads_to_a_private_address_is_refused_and_nothing_is_used_up() {
    let routes = format!("routes:\n  - {{host: {HOST}, scheme: http}}\n");
    let stage = raw::routes(&routes).settings(SETTINGS).start();
    let (agent, desk) = (stage.agent(), Desk::of(&stage));
    let inside = "http://ip6-localhost/x";
    let refused = ask(&agent, inside, "", "x");
    if refused.header("x-hudson-refusal") == Some("approval_required") {
        let id = id_of(&refused);
        desk.approve(&id);
        let refused = ask(&agent, inside, "", "x");
        let code = refused.header("x-hudson-refusal").map(str::to_owned);
        // Where this machine does not know the name, it is not reached either.
        assert!(matches!(code.as_deref(), Some("address_blocked" | "upstream_unreachable")), "{refused}");
        desk.becomes(&id, |back| back.status == ApprovalStatus::Approved);
    }
}
