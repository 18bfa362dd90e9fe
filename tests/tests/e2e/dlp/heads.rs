//! Heads: paths, queries, headers, host names, and what is not the agent's.

use super::{HOST, Scene, TOKEN, base64};
use crate::raw;

const BLOCK: &str = "    outbound_on_match: block\n";

#[test]
fn a_secret_in_any_part_of_a_head_is_refused() {
    let scene = Scene::new(BLOCK);
    let percent: String = TOKEN.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let (front, back) = TOKEN.split_at(18);
    for target in [
        format!("/a/{TOKEN}"),
        format!("/a?q={TOKEN}"),
        format!("/a?q={percent}"),
        format!("/a?{TOKEN}=1"),
        format!("/a?q={}", base64(&format!("k={TOKEN}"))),
        format!("/a?first={front}&second={back}"),
    ] {
        scene.ask("GET", &target, "", b"").refused(403, "dlp_blocked").says("DLP");
    }
    for header in [
        format!("x-note: {TOKEN}\r\n"),
        format!("cookie: session={TOKEN}; theme=dark\r\n"),
        format!("authorization: Bearer {TOKEN}\r\n"),
        format!("x-one: {front}\r\nx-two: {back}\r\n"),
    ] {
        scene.ask("GET", "/", &header, b"").refused(403, "dlp_blocked");
    }
    scene.ask(TOKEN, "/", "", b"").refused(403, "dlp_blocked");
    assert_eq!(scene.upstream.seen(), Vec::<String>::new());
    scene.ask("GET", "/a?q=hello", "x-note: good\r\ncookie: theme=dark\r\n", b"").passed();
}

#[test]
fn a_query_and_headers_are_redacted_and_a_path_is_not() {
    let scene = Scene::new("    outbound_on_match: redact\n");
    let answer =
        scene.ask("GET", &format!("/a?q={TOKEN}&b=1"), &format!("x-note: a {TOKEN} b\r\n"), b"").passed();
    let stars = "*".repeat(TOKEN.len());
    answer.says(&format!("/a?q={stars}&b=1")).says(&format!("x-note: a {stars} b"));
    scene.ask("GET", &format!("/a/{TOKEN}"), "", b"").refused(403, "redaction_unsafe");
    assert!(!scene.leaked(TOKEN));
}

/// What Hudson takes off does not leave, so that a dummy key in it is nobody's business.
#[test]
fn keys_that_the_route_replaces_are_not_looked_at() {
    let route = format!(
        "{BLOCK}    credentials:\n      - {{header: x-api-key, from: {{env: THE_KEY}}}}\n      - {{query: key, from: {{env: THE_KEY}}}}\n"
    );
    let scene = Scene::with(&route, "", |setting| setting.env("THE_KEY", "operators-h7Rq2Wv9kLm3XpZt8Yb5"));
    let headers = format!("x-api-key: {TOKEN}\r\nauthorization: Bearer {TOKEN}\r\n");
    scene.ask("GET", &format!("/?key={TOKEN}"), &headers, b"").passed();
    assert!(scene.leaked("operators-h7Rq2Wv9kLm3XpZt8Yb5") && !scene.leaked(TOKEN));
    scene.ask("GET", "/", &format!("x-other: {TOKEN}\r\n"), b"").refused(403, "dlp_blocked");
}

#[test]
fn a_line_end_that_begins_a_header_is_refused_on_every_route() {
    for route in ["    outbound_on_match: warn\n", "    dlp: {outbound_detectors: false}\n"] {
        let scene = Scene::new(route);
        for target in [
            "/?q=a%0d%0aSet-Cookie:%20a=b",
            "/?q=a%250d%250aHost:%20evil",
            "/?q=a%0d%0a%0d%0aGET%20/%20HTTP/1.1",
        ] {
            scene.ask("GET", target, "", b"").refused(403, "dlp_blocked").says("CRLF");
        }
        scene.ask("GET", "/", "x-a: 1%0d%0aTransfer-Encoding: chunked\r\n", b"").refused(403, "dlp_blocked");
        scene.ask("GET", "/%0d%0aHost:evil", "", b"").refused(400, "malformed_request");
        scene.ask("GET", "/?text=Hello%0D%0Athere", "", b"").passed();
    }
}

/// A name is asked for before anything is sent: whoever answers for the domain would read it.
#[test]
fn a_secret_in_a_hosts_name_is_not_even_resolved() {
    let stage = raw::routes("routes:\n  - {host: '*.example.com', outbound_on_match: warn}\n  - {host: '*.example.org', outbound_on_match: block}\n").start();
    let agent = stage.agent();
    let hidden: String = "password=hunter2-and-more".bytes().map(|byte| format!("{byte:02x}")).collect();
    let answer = agent.get(&format!("{hidden}.example.org"), "/");
    answer.refused(403, "dlp_blocked").says("host");
    let finding = stage.event("dlp_finding");
    assert_eq!(finding["part"], "host", "{finding}");
    assert_eq!(finding["method"], "CONNECT");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn git_is_refused_however_its_path_is_written() {
    let scene = Scene::new("");
    for path in [
        "/a/b.git/git-receive-pack",
        "/a/b.git/info/refs?service=git-receive-pack",
        "/a/b.git/info/refs?service=git%2Dreceive%2Dpack",
        "/a/b.git/info/refs?x=1&service=%67it-receive-pack",
        "/a/b.git/git-%72eceive-pack",
        "/a/./b.git/../b.git/git-receive-pack",
    ] {
        scene.ask("POST", path, "", b"").refused(403, "git_push_blocked").says("git push over HTTPS");
    }
    for path in [
        "/a/b.git/git-upload-pack",
        "/a/b.git/info/refs?service=git-upload-pack",
        "/a/b.git/info/refs",
        "/a/b.git/HEAD",
        "/a/b.git/objects/info/packs",
        "/a/b.git/objects/0f/0123456789abcdef0123456789abcdef012345",
        "/a/b.git/objects/pack/pack-0123456789abcdef0123456789abcdef01234567.pack",
    ] {
        scene.ask("GET", path, "", b"").refused(403, "git_fetch_blocked");
    }
    assert_eq!(scene.upstream.seen(), Vec::<String>::new());
    let scene = Scene::new("    git_fetch: true\n");
    scene.ask("GET", "/a/b.git/info/refs?service=git-upload-pack", "", b"").passed();
    scene.ask("GET", "/a/b.git/info/refs?service=git-receive-pack", "", b"").refused(403, "git_push_blocked");
    assert_eq!(scene.upstream.seen().len(), 1, "{HOST}");
}

/// Pieces that say nothing alone, in one request after the other.
#[test]
fn a_secret_over_several_requests_is_found() {
    for route in [BLOCK, "    outbound_on_match: redact\n"] {
        let scene = Scene::new(route);
        let (front, back) = TOKEN.split_at(21);
        scene.ask("GET", &format!("/log?part={front}"), "", b"").passed();
        let answer = scene.ask("GET", &format!("/log?part={back}"), "", b"");
        assert_eq!(answer.status, 403, "{answer}");
        let scene = Scene::new(route);
        scene.post(&format!(r#"{{"n":1,"part":"{front}"}}"#)).passed();
        assert_eq!(scene.post(&format!(r#"{{"n":2,"part":"{back}"}}"#)).status, 403);
        // What is sent again is no new piece.
        scene.post(r#"{"n":3}"#).passed();
        scene.post(r#"{"n":3}"#).passed();
    }
}
