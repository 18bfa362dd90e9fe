//! What must not leave in messages: a secret ends the connection, whole, in fragments, or in the midst of a long frame.

use std::io::Write as _;

use super::server::Server;
use super::{KEY, SOON, Scene, closes, frame, read_frame, rest};
use crate::dlp::{TOKEN, base64};
use crate::raw;

fn scene(server: Server, route: &str) -> Scene {
    Scene::with(server, route, |setting| setting)
}

#[test]
fn a_message_with_a_secret_ends_the_connection_and_does_not_arrive() {
    for hidden in [format!("my key is {TOKEN}"), format!(r#"{{"k":"{}"}}"#, base64(TOKEN))] {
        let scene = scene(Server::raw("", Vec::new()), "    outbound_on_match: block\n");
        let mut open = scene.open();
        let hello = frame(0x81, Some(KEY), b"hello");
        open.write_all(&hello).expect("it is sent");
        open.write_all(&frame(0x81, Some(KEY), hidden.as_bytes())).expect("it is sent");
        let reason = closes(&mut open, 1008);
        assert!(reason.starts_with("DLP"), "{reason}");
        let kept = scene.server.kept();
        assert!(kept.starts_with(&hello), "what was allowed did not come: {kept:x?}");
        assert_eq!(kept[hello.len()], 0x88, "behind it comes a Close frame alone: {kept:x?}");
        let refusal = scene.stage.event("refusal");
        assert_eq!(refusal["code"], "dlp_blocked", "{refusal}");
        assert!(!scene.stage.log().contains(TOKEN));
    }
}

#[test]
fn a_secret_over_fragments_is_found() {
    let scene = scene(Server::raw("", Vec::new()), "    outbound_on_match: block\n");
    let (front, back) = TOKEN.split_at(11);
    let mut open = scene.open();
    let fragments = [frame(0x01, Some(KEY), front.as_bytes()), frame(0x80, Some(KEY), back.as_bytes())];
    fragments.iter().for_each(|fragment| open.write_all(fragment).expect("it is sent"));
    assert!(closes(&mut open, 1008).starts_with("DLP"));
    let kept = scene.server.kept();
    assert!(!kept.windows(back.len()).any(|window| window == &fragments[1][6..]), "{kept:x?}");
}

#[test]
fn a_secret_in_the_midst_of_a_long_frame_does_not_arrive_as_a_whole() {
    let scene = scene(Server::raw("", Vec::new()), "    outbound_on_match: block\n");
    let filler = "words of no meaning, line after line\n".repeat(10_000);
    let mut open = scene.open();
    // The proxy stops reading in the midst of it.
    let _ = open.write_all(&frame(0x82, Some(KEY), format!("{filler}{TOKEN}\n{filler}").as_bytes()));
    let _ = rest(&mut open);
    raw::wait_until(SOON, || scene.stage.events("refusal").pop()).expect("it is refused");
    let kept = scene.server.kept();
    assert!(kept.len() < 14 + filler.len() + TOKEN.len(), "{} bytes came", kept.len());
}

/// What only several messages show together, with other words around each piece.
#[test]
fn a_secret_over_several_messages_is_found() {
    let scene = scene(Server::echo(), "    outbound_on_match: block\n");
    let mut open = scene.open();
    let (front, back) = TOKEN.split_at(22);
    let said =
        |text: &str| frame(0x81, Some(KEY), format!(r#"{{"type":"chunk","data":"{text}"}}"#).as_bytes());
    open.write_all(&said(front)).expect("it is sent");
    read_frame(&mut open).expect("it is echoed");
    open.write_all(&said(back)).expect("it is sent");
    assert!(closes(&mut open, 1008).starts_with("DLP"));
}

#[test]
fn a_secret_in_a_ping_or_a_close_is_found() {
    for first in [0x89, 0x8a, 0x88] {
        let scene = scene(Server::raw("", Vec::new()), "    outbound_on_match: block\n");
        let mut open = scene.open();
        let code: &[u8] = if first == 0x88 { b"\x03\xe8" } else { b"" };
        let payload = [code, TOKEN.as_bytes()].concat();
        open.write_all(&frame(first, Some(KEY), &payload)).expect("it is sent");
        let _ = rest(&mut open);
        raw::wait_until(SOON, || scene.stage.events("refusal").pop()).expect("it is refused");
        let sent = frame(first, Some(KEY), &payload);
        assert!(!scene.server.kept().windows(30).any(|window| window == &sent[10..40]), "{first:x}");
    }
}

/// What came in front of something that must not pass goes on: it has to be looked at all the same.
#[test]
fn a_secret_in_front_of_what_is_no_frame_does_not_arrive() {
    for first in [0x01, 0x89] {
        let scene = scene(Server::raw("", Vec::new()), "    outbound_on_match: block\n");
        let mut open = scene.open();
        let sent = frame(first, Some(KEY), TOKEN.as_bytes());
        // A continuation of nothing, or a text in the midst of a message; in one write, so that it is read at once.
        let violation =
            if first == 0x01 { frame(0x81, Some(KEY), b"x") } else { frame(0x80, Some(KEY), b"x") };
        open.write_all(&[sent.clone(), violation].concat()).expect("it is sent");
        let _ = rest(&mut open);
        raw::wait_until(SOON, || scene.stage.events("refusal").pop()).expect("it is refused");
        assert!(!scene.server.kept().windows(30).any(|window| window == &sent[6..36]), "{first:x}");
    }
}

#[test]
fn innocent_messages_and_those_of_a_route_that_warns_pass() {
    let scene = scene(Server::echo(), "    outbound_on_match: warn\n");
    let mut open = scene.open();
    for text in ["nothing", TOKEN] {
        open.write_all(&frame(0x81, Some(KEY), text.as_bytes())).expect("it is sent");
        assert_eq!(read_frame(&mut open).expect("it is echoed").1, text.as_bytes());
    }
    let event = scene.stage.event("dlp_finding");
    assert_eq!((&event["action"], &event["part"]), (&"warn".into(), &"message".into()), "{event}");
    // What a route lets pass stands in no log all the same.
    let (answer, open) = scene.ask(&format!("/chat/{TOKEN}"), "");
    assert_eq!(answer.status, 101, "{answer}");
    drop(open);
    raw::wait_until(SOON, || (scene.stage.events("websocket_closed").len() > 1).then_some(()));
    assert!(!scene.stage.log().contains(TOKEN));
}
