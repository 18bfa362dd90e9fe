//! OpenAI Realtime: every response of a session is admitted and counted by itself, whoever began it, and whatever else
//! is under way.

mod ending;
mod threats;
mod upstream;

use std::time::Duration;

use hudson_tests::ledger;
use hudson_tests::simulator::Options;
use serde_json::{Value, json};
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::{Socket, Talk, hear, say};

/// A session of this model, with its `session.created` read.
#[track_caller]
fn session(talk: &Talk, model: &str) -> Socket {
    let raw = talk.raw_at(&format!("/v1/realtime?model={model}"));
    let mut socket = WebSocket::from_raw_socket(raw, Role::Client, None);
    assert_eq!(hear(&mut socket)["type"], "session.created");
    socket
}

/// The same, in which only the client asks.
#[track_caller]
fn quiet(talk: &Talk, model: &str) -> Socket {
    let mut socket = session(talk, model);
    update(&mut socket, json!({"audio": {"input": {"turn_detection": null}}}));
    socket
}

#[track_caller]
fn update(socket: &mut Socket, session: Value) {
    say(socket, &json!({"type": "session.update", "session": session}));
    assert_eq!(until(socket, "session.updated")["type"], "session.updated");
}

fn create() -> Value {
    json!({"type": "response.create", "response": {"output_modalities": ["text"]}})
}

/// A response beside the conversation, of these numbers.
fn aside(sim: &str) -> Value {
    json!({"type": "response.create", "response": {
        "conversation": "none", "output_modalities": ["text"], "metadata": {"sim": sim},
    }})
}

/// An append of a tenth of a second.
fn append(audio: char) -> Value {
    json!({"type": "input_audio_buffer.append", "audio": audio.to_string().repeat(6400)})
}

/// Reads to the next message of this type, or an error.
#[track_caller]
fn until(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let message = hear(socket);
        if [kind, "error"].contains(&message["type"].as_str().unwrap_or_default()) {
            return message;
        }
    }
}

#[track_caller]
fn done(socket: &mut Socket) -> Value {
    let end = until(socket, "response.done");
    assert_eq!(end["type"], "response.done", "{end}");
    end
}

fn held(talk: &Talk) -> u64 {
    ledger::held(&talk.stage.world.home())
}

#[test]
fn a_response_that_is_asked_for_is_in_the_ledger_when_its_end_is_seen() {
    let talk = Talk::new(1_000_000);
    let mut socket = quiet(&talk, "sim-120-40-r30");
    for turn in 1..=5 {
        say(
            &mut socket,
            &json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
            "content": [{"type": "input_text", "text": "words"}]}}),
        );
        say(&mut socket, &create());
        done(&mut socket);
        assert_eq!(talk.rows().len(), turn, "its end was seen before it was settled");
        assert_eq!(hear(&mut socket)["type"], "rate_limits.updated");
    }
    let rows = talk.exact();
    assert!(rows.iter().all(|row| row.stream && row.total == 190), "{rows:?}");
    assert_eq!(held(&talk), 0);
}

#[test]
fn a_response_that_the_server_begins_takes_the_hold_of_the_audio() {
    let talk = Talk::new(1_000_000);
    let mut socket = session(&talk, "sim-120-40");
    assert_eq!(held(&talk), 0, "nothing was said yet");
    for turn in 1..=3 {
        say(&mut socket, &append('B'));
        say(&mut socket, &append('A'));
        assert_eq!(
            until(&mut socket, "input_audio_buffer.committed")["type"],
            "input_audio_buffer.committed"
        );
        done(&mut socket);
        assert_eq!(talk.rows().len(), turn);
    }
    talk.exact();
    // Audio that nobody answers is given back at the end.
    say(&mut socket, &append('B'));
    assert!(talk.holds(true), "audio went on without a hold");
    drop(socket);
    assert!(talk.holds(false), "the hold stands though nothing was begun");
    assert_eq!(talk.exact().len(), 3);
}

#[test]
fn where_the_server_keeps_silent_audio_needs_no_hold() {
    let talk = Talk::new(1_000_000);
    let mut socket = quiet(&talk, "sim-120-40");
    for _ in 0..5 {
        say(&mut socket, &append('B'));
    }
    say(&mut socket, &append('A'));
    say(&mut socket, &json!({"type": "input_audio_buffer.commit"}));
    assert_eq!(until(&mut socket, "input_audio_buffer.committed")["type"], "input_audio_buffer.committed");
    assert_eq!(held(&talk), 0);
    say(&mut socket, &create());
    done(&mut socket);
    assert_eq!(talk.exact().len(), 1);
}

#[test]
fn what_is_transcribed_is_counted_with_the_response_or_by_itself() {
    let talk = Talk::new(1_000_000);
    let mut socket = session(&talk, "sim-120-40");
    update(&mut socket, json!({"audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}));
    say(&mut socket, &append('B'));
    say(&mut socket, &append('A'));
    done(&mut socket);
    assert_eq!(talk.rows()[0].total, 160 + 17);
    update(&mut socket, json!({"audio": {"input": {"turn_detection": null}}}));
    say(&mut socket, &append('B'));
    say(&mut socket, &json!({"type": "input_audio_buffer.commit"}));
    until(&mut socket, "conversation.item.input_audio_transcription.completed");
    assert_eq!(talk.rows().len(), 2, "it was seen before it was settled");
    talk.exact();
}

#[test]
fn responses_beside_the_conversation_run_at_once_and_are_told_apart() {
    let talk = Talk::slow(1_000_000, Duration::from_millis(5));
    let mut socket = quiet(&talk, "sim-120-40");
    say(&mut socket, &create());
    for sim in ["sim-10-60", "sim-20-10", "sim-30-200"] {
        say(&mut socket, &aside(sim));
    }
    for _ in 0..4 {
        done(&mut socket);
    }
    let mut totals: Vec<u64> = talk.exact().iter().map(|row| row.total).collect();
    totals.sort_unstable();
    assert_eq!(totals, [30, 70, 160, 230]);
    assert_eq!(held(&talk), 0);
}

#[test]
fn a_second_create_that_the_server_refuses_is_given_back_and_told() {
    let talk = Talk::slow(1_000_000, Duration::from_millis(20));
    let mut socket = quiet(&talk, "sim-120-40");
    say(&mut socket, &create());
    until(&mut socket, "response.created");
    let mut second = create();
    second["event_id"] = json!("mine");
    for message in [create(), second] {
        say(&mut socket, &message);
        let error = until(&mut socket, "error");
        assert_eq!(error["error"]["code"], "conversation_already_has_active_response", "{error}");
        assert!(message["event_id"].is_null() || error["error"]["event_id"] == "mine", "{error}");
    }
    done(&mut socket);
    assert_eq!(talk.exact().len(), 1);
    assert_eq!(held(&talk), 0, "what was refused is still held");
}

#[test]
fn an_error_that_may_answer_another_message_gives_nothing_back() {
    let talk = Talk::slow(1_000_000, Duration::from_millis(20));
    let mut socket = quiet(&talk, "sim-120-40");
    let mut named = create();
    named["event_id"] = json!("both");
    say(&mut socket, &named);
    until(&mut socket, "response.created");
    say(&mut socket, &named);
    assert_eq!(until(&mut socket, "error")["error"]["event_id"], "both");
    done(&mut socket);
    assert_eq!(talk.exact().len(), 1);
    assert!(held(&talk) > 0, "a hold was given back by a name that two messages had");
}

#[test]
fn the_cap_that_fits_is_what_goes_over_the_wire() {
    let talk = Talk::new(2500);
    let mut socket = quiet(&talk, "sim-10-100000");
    say(&mut socket, &create());
    let end = done(&mut socket);
    assert_eq!(end["response"]["status"], "incomplete");
    let sent = talk.turns()[0].request_json();
    assert!(sent["response"]["max_output_tokens"].as_u64().is_some_and(|cap| cap < 2500), "{sent}");
    let charged: u64 = talk.exact().iter().map(|row| row.charged).sum();
    assert!(charged <= 2500, "the hard budget was passed: {charged}");
}

#[test]
fn a_spent_budget_refuses_and_says_why() {
    let talk = Talk::new(3000);
    let mut socket = quiet(&talk, "sim-2900-150");
    say(&mut socket, &create());
    done(&mut socket);
    say(&mut socket, &create());
    let refused = until(&mut socket, "error");
    assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("budget")), "{refused}");
    update(&mut socket, json!({"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}));
    // Refused once, and then dropped without a word for a moment, since it comes in many messages.
    for _ in 0..20 {
        say(&mut socket, &append('B'));
    }
    assert_eq!(hear(&mut socket)["type"], "error");
    say(&mut socket, &json!({"type": "input_audio_buffer.clear"}));
    assert_eq!(hear(&mut socket)["type"], "input_audio_buffer.cleared");
    assert_eq!(talk.exact().len(), 1, "a refused response reached the provider");
}

#[test]
fn audio_goes_on_only_over_a_hold() {
    let talk = Talk::new(1000);
    let mut socket = session(&talk, "sim-2900-150");
    // More than there is room for: nothing of it may be answered.
    update_large(&mut socket);
    for _ in 0..200 {
        say(&mut socket, &append('B'));
    }
    say(&mut socket, &append('A'));
    assert_eq!(until(&mut socket, "response.created")["type"], "error");
    assert_eq!(talk.turns().len(), 0, "a response was begun");
    assert_eq!(held(&talk), 0);
}

fn update_large(socket: &mut Socket) {
    say(
        socket,
        &json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "x".repeat(9000)}]}}),
    );
    assert_eq!(until(socket, "conversation.item.added")["type"], "conversation.item.added");
}

#[test]
fn long_audio_streams_in_bounded_memory() {
    let options = Options { tokens_per_event: 1000, ..Options::default() };
    let talk = Talk::with(100_000_000, options, "");
    let mut socket = quiet(&talk, "sim-10-20000-nocap");
    say(&mut socket, &json!({"type": "response.create"}));
    let mut bytes = 0;
    loop {
        match socket.read().expect("a message comes") {
            Message::Text(text) if text.contains("\"response.done\"") => break,
            message => bytes += message.len(),
        }
    }
    assert!(bytes > 60 << 20, "{bytes}");
    assert_eq!(talk.exact().len(), 1);
    assert!(talk.stage.vitals().peak() < 300, "it was kept: {} MB", talk.stage.vitals().peak());
}
