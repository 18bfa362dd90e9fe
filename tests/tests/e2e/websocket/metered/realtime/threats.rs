//! A response that is hidden from whoever reads the messages: it is admitted like any other, or reaches nobody.

use std::time::Duration;

use serde_json::json;
use tungstenite::Message;

use super::super::{Talk, hear};
use super::{append, aside, create, done, held, quiet, say, session, until, update};

#[test]
fn what_is_not_one_readable_message_reaches_nobody() {
    let talk = Talk::new(1_000_000);
    let mut socket = quiet(&talk, "sim-50-30");
    let one = create().to_string();
    for message in [
        Message::binary(one.clone()),
        Message::text(format!("{one}{one}")),
        Message::text(format!("[{one}]")),
        Message::text("response.create"),
        Message::text(r#"{"type":"response.cancel","type":"response.create"}"#),
        Message::text(r#"{"type":"response.cancel","Type":"response.create"}"#),
        Message::text(
            r#"{"type":"response.create","response":{"max_output_tokens":1,"max_output_tokens":"inf"}}"#,
        ),
        Message::text(
            r#"{"type":"response.create","response":{"max_output_tokens":1,"Max_Output_Tokens":"inf"}}"#,
        ),
        Message::text(r#"{"type":"response.create","event_id":7}"#),
        Message::text(r#"{"type":"response.create","event_id":"a","event_id":"b"}"#),
        Message::text(r#"{"type":"session.update","session":{"turn_detection":null,"Turn_Detection":{}}}"#),
        Message::text(r#"{"type":"session.updated","session":{"turn_detection":null}}"#),
        Message::text(r#"{"type":"response.start"}"#),
        Message::text(r#"{"type":"something.new"}"#),
        Message::text(r#"{"session":{}}"#),
        Message::text(
            r#"{"type":"response.create","response":{"tools":[{"type":"mcp","server_url":"https://x"}]}}"#,
        ),
    ] {
        socket.send(message.clone()).expect("it is sent");
        let refused = until(&mut socket, "error");
        assert_eq!(refused["type"], "error");
        let text = refused["error"]["message"].as_str().unwrap_or_default();
        assert!(text.contains("Operator: "), "not Hudson refused {message}: {refused}");
        assert_eq!(talk.turns().len(), 0, "{message} reached the provider");
    }
    say(&mut socket, &create());
    done(&mut socket);
    assert_eq!(talk.exact().len(), 1);
    assert_eq!(held(&talk), 0);
}

#[test]
fn a_server_that_is_told_to_listen_finds_a_hold_for_what_it_heard_before() {
    let talk = Talk::new(1_000_000);
    let mut socket = quiet(&talk, "sim-50-30");
    say(&mut socket, &append('B'));
    assert_eq!(held(&talk), 0);
    say(
        &mut socket,
        &json!({"type": "session.update", "session": {"audio": {"input": {"turn_detection":
        {"type": "server_vad", "create_response": true}}}}}),
    );
    assert!(talk.holds(true), "what was heard may be answered without a hold");
    say(&mut socket, &append('A'));
    done(&mut socket);
    assert_eq!(talk.exact().len(), 1);
}

#[test]
fn a_change_that_the_server_does_not_take_changes_nothing() {
    let talk = Talk::new(1_000_000);
    let mut socket = session(&talk, "sim-50-30");
    // It asks for silence, and for a cap that is refused: the server listens on.
    say(
        &mut socket,
        &json!({"type": "session.update", "session":
        {"max_output_tokens": 9999, "audio": {"input": {"turn_detection": null}}}}),
    );
    assert_eq!(until(&mut socket, "session.updated")["type"], "error");
    say(&mut socket, &append('B'));
    assert!(talk.holds(true), "audio went on without a hold");
    say(&mut socket, &append('A'));
    done(&mut socket);
    assert_eq!(talk.exact().len(), 1);
}

#[test]
fn speech_sent_in_one_go_is_counted_response_by_response() {
    let talk = Talk::new(1_000_000);
    let mut socket = session(&talk, "sim-50-30");
    for _ in 0..4 {
        say(&mut socket, &append('B'));
        say(&mut socket, &append('A'));
    }
    for _ in 0..4 {
        done(&mut socket);
    }
    assert_eq!(talk.exact().len(), 4);
}

#[test]
fn creates_that_come_at_once_have_each_a_hold_or_are_refused() {
    let talk = Talk::slow(6000, Duration::from_millis(5));
    let mut socket = quiet(&talk, "sim-50-30");
    update(&mut socket, json!({"max_output_tokens": 1500}));
    for _ in 0..8 {
        say(&mut socket, &aside("sim-10-1500"));
    }
    let ends: Vec<String> = (0..8)
        .map(|_| {
            loop {
                let message = hear(&mut socket);
                let kind = message["type"].as_str().unwrap_or_default();
                if ["response.done", "error"].contains(&kind) {
                    break kind.to_owned();
                }
            }
        })
        .collect();
    assert!(ends.contains(&"error".to_owned()) && ends.contains(&"response.done".to_owned()), "{ends:?}");
    let charged: u64 = talk.exact().iter().map(|row| row.charged).sum();
    assert!(charged <= 6000, "{charged} of 6000");
}

#[test]
fn all_that_was_said_before_is_reserved_as_input() {
    let talk = Talk::new(6000);
    let mut socket = quiet(&talk, "sim-10-10");
    let item = json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "x".repeat(6000)}]}});
    for _ in 0..3 {
        say(&mut socket, &item);
    }
    say(&mut socket, &create());
    assert_eq!(
        until(&mut socket, "response.done")["type"],
        "error",
        "6000 tokens have no room in what is left"
    );
    assert_eq!(talk.turns().len(), 0);
}
