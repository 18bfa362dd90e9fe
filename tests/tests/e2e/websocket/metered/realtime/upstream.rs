//! What a Realtime server may do: begin what nobody asked for, say it in another order, say it beside itself.

use std::io::Write as _;
use std::time::Duration;

use hudson_tests::UsageRow;
use serde_json::{Value, json};
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::super::super::server::{Seen, Server, Stream, accepted};
use super::super::super::{HOST, Scene, frame, offer};
use crate::raw::agent::Tls;
use crate::raw::{self, wait_until};

const METER: &str = "    meter: {provider: codex, format: openai-realtime}\n";

/// A metered route to a server that answers the first message with these messages, and its socket after that message.
fn session(budget: u64, answer: &[Value]) -> (Scene, WebSocket<Tls>) {
    let answer: Vec<u8> =
        answer.iter().flat_map(|message| frame(0x81, None, message.to_string().as_bytes())).collect();
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
    let scene =
        Scene::with(Server::start(serve), METER, |setting| setting.file("bottles/ci/bottle.yml", &budget));
    let mut tls = scene.agent.tls(HOST);
    let answer = raw::ask(&mut tls, &offer("/v1/realtime?model=gpt-realtime", HOST, ""));
    assert_eq!(answer.status, 101, "{answer}");
    let mut socket = WebSocket::from_raw_socket(tls, Role::Client, None);
    let harmless = json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "words"}]}});
    socket.send(Message::text(harmless.to_string())).expect("it is sent");
    (scene, socket)
}

fn created(id: &str) -> Value {
    json!({"response": {"id": id, "status": "in_progress", "usage": null}, "type": "response.created"})
}

fn done(id: &str) -> Value {
    let usage = json!({"input_tokens": 70, "output_tokens": 30, "total_tokens": 100});
    json!({"response": {"id": id, "status": "completed", "usage": usage}, "type": "response.done"})
}

fn rows(scene: &Scene, count: usize) -> Vec<UsageRow> {
    let found = || Some(scene.stage.world.usage()).filter(|rows| rows.len() >= count);
    wait_until(Duration::from_secs(5), found).unwrap_or_default()
}

#[track_caller]
fn is_ended(socket: &mut WebSocket<Tls>) {
    match socket.read() {
        Ok(Message::Close(Some(close))) => assert_eq!(u16::from(close.code), 1008),
        other => panic!("it passes: {other:?}"),
    }
}

#[test]
fn a_response_that_nobody_asked_for_is_admitted_before_it_passes_or_ends_it() {
    let said = [created("resp_1"), done("resp_1"), done("resp_1")];
    let (scene, mut socket) = session(1_000_000, &said);
    for message in &said {
        assert_eq!(socket.read().expect("it comes").to_text().expect("it is text"), message.to_string());
    }
    let found = rows(&scene, 1);
    assert_eq!((found.len(), found[0].total, found[0].quality.as_str()), (1, 100, "exact"));

    let (scene, mut socket) = session(200, &said);
    is_ended(&mut socket);
    assert_eq!(rows(&scene, 0).len(), 0);
}

#[test]
fn one_that_is_only_seen_by_its_words_or_its_end_is_a_response_too() {
    let words = json!({"type": "response.output_text.delta", "response_id": "resp_1", "delta": "words"});
    let transcript = json!({"type": "conversation.item.input_audio_transcription.completed", "usage":
        {"type": "tokens", "input_tokens": 70, "output_tokens": 30, "total_tokens": 100}});
    for said in [vec![words, created("resp_1"), done("resp_1")], vec![done("resp_1")], vec![transcript]] {
        let (scene, mut socket) = session(1_000_000, &said);
        for _ in &said {
            assert!(socket.read().expect("it comes").is_text());
        }
        let found = rows(&scene, 1);
        assert_eq!((found.len(), found[0].total, found[0].quality.as_str()), (1, 100, "exact"), "{said:?}");
        drop(socket);
        let (_scene, mut socket) = session(200, &said);
        is_ended(&mut socket);
    }
}

#[test]
fn responses_that_are_said_in_between_each_other_are_told_apart() {
    let words = |id: &str| json!({"type": "response.output_text.delta", "response_id": id, "delta": "words"});
    let mut said = vec![created("a"), created("b"), words("a"), words("b"), done("b"), words("a")];
    let mut last = done("a");
    last["response"]["usage"] = json!({"input_tokens": 7, "output_tokens": 3, "total_tokens": 10});
    said.push(last);
    let (scene, mut socket) = session(1_000_000, &said);
    for _ in &said {
        assert!(socket.read().expect("it comes").is_text());
    }
    let mut totals: Vec<u64> = rows(&scene, 2).iter().map(|row| row.total).collect();
    totals.sort_unstable();
    assert_eq!(totals, [10, 100]);
}

#[test]
fn a_session_that_is_too_long_to_be_read_is_one_that_listens() {
    let long = json!({"type": "session.updated", "session":
        {"instructions": "x".repeat(400_000), "audio": {"input": {"turn_detection": null}}}});
    let (scene, mut socket) = session(1_000_000, &[long]);
    assert!(socket.read().expect("it comes").is_text());
    let append = json!({"type": "input_audio_buffer.append", "audio": "BBBB"});
    socket.send(Message::text(append.to_string())).expect("it is sent");
    let held = || (hudson_tests::ledger::held(&scene.stage.world.home()) > 0).then_some(());
    assert!(wait_until(Duration::from_secs(5), held).is_some(), "audio went on without a hold");
}
