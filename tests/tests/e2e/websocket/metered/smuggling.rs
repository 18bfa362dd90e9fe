//! A model call that is hidden from whoever reads the messages: it is admitted like any other, or reaches nobody.

use std::io::Write;

use serde_json::{Value, json};
use tungstenite::Message;
use tungstenite::protocol::Role;

use super::super::{KEY, frame};
use super::{Talk, WebSocket, create, last, say};

#[test]
fn a_create_in_fragments_with_control_frames_between_is_admitted_whole() {
    let message =
        json!({"type": "response.create", "model": "sim-10-5000", "max_output_tokens": 5000, "input": "x"});
    let text = message.to_string();
    for size in [1, 7, text.len() / 2] {
        // One's response leaves too little for another.
        let talk = Talk::new(2000);
        let mut raw = talk.raw();
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        for (place, piece) in pieces.iter().enumerate() {
            let opcode = if place == 0 { 0x01 } else { 0x00 };
            let fin = if place + 1 == pieces.len() { 0x80 } else { 0x00 };
            raw.write_all(&frame(opcode | fin, Some([place as u8, 2, 3, 4]), piece)).expect("it is sent");
            if place + 1 < pieces.len() && place < 3 {
                raw.write_all(&frame(0x89, Some(KEY), b"there?")).expect("it is sent");
            }
        }
        raw.flush().expect("it is sent");
        let mut socket = WebSocket::from_raw_socket(raw, Role::Client, None);
        let end: Value = loop {
            if let Message::Text(text) = socket.read().expect("it is answered") {
                let told: Value = serde_json::from_str(&text).expect("it is JSON");
                if ["response.incomplete", "error"].iter().any(|end| told["type"] == *end) {
                    break told;
                }
            }
        };
        assert_eq!(end["type"], "response.incomplete", "{end}");
        let sent = talk.turns().last().expect("it arrived").request_json();
        assert!(sent["max_output_tokens"].as_u64().is_some_and(|cap| cap < 2000), "{sent}");
        let rows = talk.exact();
        assert!(!rows.is_empty() && rows.iter().map(|row| row.charged).sum::<u64>() <= 2000, "{rows:?}");
    }
}

#[test]
fn an_escaped_type_is_the_type_it_stands_for() {
    let talk = Talk::new(1_000_000);
    let mut socket = talk.open();
    let message =
        r#"{"model":"sim-50-30","max_output_tokens":100,"input":"x","\u0074ype":"response\u002ecreate"}"#;
    socket.send(Message::text(message)).expect("it is sent");
    assert_eq!(last(&mut socket)["type"], "response.completed");
    assert_eq!(talk.exact().len(), 1);
}

#[test]
fn what_is_not_one_readable_message_reaches_nobody() {
    let talk = Talk::new(1_000_000);
    let mut socket = talk.open();
    let one = create("sim-50-30").to_string();
    for message in [
        Message::binary(one.clone()),
        Message::text(format!("{one}{one}")),
        Message::text(format!("{{\"type\":\"response.cancel\"}}\n{one}")),
        Message::text(format!("[{one}]")),
        Message::text("response.create"),
        Message::text(
            r#"{"type":"response.cancel","type":"response.create","model":"sim-50-30","input":"x"}"#,
        ),
        Message::text(
            r#"{"type":"response.cancel","Type":"response.create","model":"sim-50-30","input":"x"}"#,
        ),
        Message::text(r#"{"type":"response.create","model":"sim-1-1","model":"sim-50-30","input":"x"}"#),
        Message::text(r#"{"type":"response.create","response":{"model":"sim-50-30","input":"x"}}"#),
        Message::text(r#"{"type":"response.steer","previous_response_id":"resp_1","input":"go on"}"#),
        Message::text(r#"{"type":"response.inject","response_id":"resp_1","input":[]}"#),
        Message::text(r#"{"type":"something.new"}"#),
        Message::text(r#"{"type":"response.create","model":"sim-50-30","input":"x","background":true}"#),
        Message::text(
            r#"{"type":"response.create","model":"sim-50-30","input":"x","tools":[{"type":"web_search"}]}"#,
        ),
    ] {
        socket.send(message.clone()).expect("it is sent");
        let refused = last(&mut socket);
        assert_eq!(refused["type"], "error", "{message}: {refused}");
        assert!(refused["hudson"]["code"].is_string(), "not Hudson refused {message}: {refused}");
        assert_eq!(talk.turns().len(), 0, "{message} reached the provider");
    }
    // It is still open for what can be read.
    say(&mut socket, &create("sim-50-30"));
    assert_eq!(last(&mut socket)["type"], "response.completed");
    assert_eq!(talk.exact().len(), 1);
}

#[test]
fn one_that_asks_on_and_on_without_reading_is_not_read_either() {
    let talk = Talk::new(1_000_000);
    let mut raw = talk.raw();
    raw.sock.set_write_timeout(Some(std::time::Duration::from_millis(500))).expect("a socket takes options");
    let refused = frame(0x81, Some(KEY), br#"{"type":"x"}"#).repeat(1000);
    let most = 2000;
    let taken = (0..most).find(|_| raw.write_all(&refused).and_then(|()| raw.flush()).is_err());
    assert!(taken.is_some(), "{most} times a thousand messages were taken of one that reads nothing");
    assert!(talk.stage.vitals().peak() < 400, "it keeps what it has to say");
}
