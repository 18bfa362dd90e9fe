//! What a provider's server may do with its messages on a metered WebSocket: cut them up, make them long, send what
//! nobody asked for.

use std::io::Write as _;
use std::time::Duration;

use hudson_tests::UsageRow;
use serde_json::json;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::super::server::{Seen, Server, Stream, accepted};
use super::super::{HOST, Scene, frame, offer};
use crate::raw::agent::Tls;
use crate::raw::{self, wait_until};

const METER: &str = "    meter: {provider: codex, format: openai-responses}\n";

/// A metered route to a server that answers the first message with these bytes.
fn scene(budget: u64, answer: Vec<u8>) -> Scene {
    let serve = move |stream: &mut dyn Stream, head: &str, seen: &Seen| {
        stream.write_all(accepted(head, "").as_bytes()).and_then(|()| stream.flush()).ok();
        let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
        if socket.read().is_err() {
            return;
        }
        let stream = socket.get_mut();
        stream.write_all(&answer).and_then(|()| stream.flush()).ok();
        seen.keep(&mut **stream);
    };
    let budget = format!("budget: {{codex: {budget}}}\n");
    Scene::with(Server::start(serve), METER, |setting| setting.file("bottles/ci/bottle.yml", &budget))
}

fn asked(scene: &Scene) -> WebSocket<Tls> {
    let mut tls = scene.agent.tls(HOST);
    let answer = raw::ask(&mut tls, &offer("/v1/responses", HOST, ""));
    assert_eq!(answer.status, 101, "{answer}");
    let mut socket = WebSocket::from_raw_socket(tls, Role::Client, None);
    let create = json!({"type": "response.create", "model": "gpt-5", "max_output_tokens": 100, "input": "x"});
    socket.send(Message::text(create.to_string())).expect("it is sent");
    socket
}

fn created(id: &str) -> Vec<u8> {
    text(&json!({"type": "response.created", "response": {"id": id, "status": "in_progress", "usage": null}}))
}

fn completed(id: &str, image: &str) -> String {
    let usage = json!({"input_tokens": 70, "output_tokens": 30, "total_tokens": 100});
    let response =
        json!({"output": [image], "id": id, "model": "gpt-5", "status": "completed", "usage": usage});
    // The type comes last: nobody knows before what it is.
    format!("{{\"response\":{response},\"type\":\"response.completed\"}}")
}

fn text(message: &serde_json::Value) -> Vec<u8> {
    frame(0x81, None, message.to_string().as_bytes())
}

fn rows(scene: &Scene, count: usize) -> Vec<UsageRow> {
    let found = || Some(scene.stage.world.usage()).filter(|rows| rows.len() >= count);
    wait_until(Duration::from_secs(5), found).unwrap_or_default()
}

#[test]
fn an_end_in_many_long_fragments_is_read_and_passes_as_it_came() {
    let end = completed("resp_1", &"A".repeat(5 << 20));
    let mut wire = created("resp_1");
    for (place, piece) in end.as_bytes().chunks(200_000).enumerate() {
        wire.extend(frame(if place == 0 { 0x01 } else { 0x00 }, None, piece));
        wire.extend(frame(0x89, None, b"still here"));
    }
    wire.extend(frame(0x80, None, b""));
    let scene = scene(1_000_000, wire);
    let mut socket = asked(&scene);
    assert!(socket.read().expect("it comes").is_text());
    let told = loop {
        match socket.read().expect("it comes") {
            Message::Text(told) => break told,
            other => assert!(other.is_ping(), "{other:?}"),
        }
    };
    assert!(told.as_str() == end, "it was changed");
    let rows = rows(&scene, 1);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].input, rows[0].output, rows[0].quality.as_str()), (70, 30, "exact"));
    assert!(scene.stage.vitals().peak() < 200, "it was kept whole");
}

#[test]
fn a_response_that_nobody_asked_for_does_not_pass() {
    let end = frame(0x81, None, completed("resp_1", "").as_bytes());
    // The same end once more is no other response.
    let wire = [created("resp_1"), end.clone(), end, created("resp_2")].concat();
    let scene = scene(1_000_000, wire);
    let mut socket = asked(&scene);
    for _ in 0..3 {
        assert!(socket.read().expect("it comes").is_text());
    }
    match socket.read() {
        Ok(Message::Close(Some(close))) => assert_eq!(u16::from(close.code), 1008),
        other => panic!("it passes: {other:?}"),
    }
    assert_eq!(rows(&scene, 1).len(), 1);
}

#[test]
fn a_cut_inside_a_long_message_lets_no_more_of_it_pass() {
    let delta = json!({"type": "response.output_text.delta", "delta": "x".repeat(10 << 20)});
    // Enough for its beginning: that has passed when the count comes to what is left.
    let scene = scene(30_000, [created("resp_1"), text(&delta)].concat());
    let mut socket = asked(&scene);
    assert!(socket.read().expect("it comes").is_text());
    // There is no place for a message of ours inside theirs: the end of the connection tells it.
    let end = socket.read();
    assert!(end.is_err(), "it passes: {} bytes", end.map_or(0, |message| message.len()));
    let rows = rows(&scene, 1);
    assert!(rows.len() == 1 && rows[0].quality != "exact" && rows[0].charged >= 30_000, "{rows:?}");
}

#[test]
fn what_is_no_json_and_what_is_binary_passes_and_hides_nothing() {
    let end = frame(0x81, None, completed("resp_1", "").as_bytes());
    let wire =
        [created("resp_1"), frame(0x81, None, b"[DONE"), frame(0x82, None, b"{\"type\""), end].concat();
    let scene = scene(1_000_000, wire);
    let mut socket = asked(&scene);
    for _ in 0..4 {
        socket.read().expect("it comes");
    }
    let rows = rows(&scene, 1);
    assert_eq!((rows[0].total, rows[0].quality.as_str()), (100, "exact"));
}
