//! A session that ends in the midst of a response: whatever ends it, the response is in the ledger.

use std::time::Duration;

use hudson_tests::simulator::Options;
use rustix::process::Signal;
use serde_json::json;
use tungstenite::Message;

use super::super::{Socket, Talk};
use super::{append, create, done, hear, held, quiet, say, session, until};

const GAP: Duration = Duration::from_millis(20);

#[track_caller]
fn under_way(socket: &mut Socket) {
    while hear(socket)["type"] != "response.output_text.delta" {}
}

#[test]
fn a_client_that_hangs_up_leaves_an_exact_row() {
    let talk = Talk::slow(1_000_000, GAP);
    let mut socket = quiet(&talk, "sim-120-60");
    say(&mut socket, &create());
    under_way(&mut socket);
    drop(socket);
    assert_eq!(talk.settled(1).len(), 1);
    talk.exact();
    assert!(talk.turns()[0].complete, "it was not read to its end");
}

#[test]
fn one_that_the_server_began_is_read_to_its_end_without_a_client() {
    let talk = Talk::slow(1_000_000, GAP);
    let mut socket = session(&talk, "sim-120-60");
    say(&mut socket, &append('B'));
    say(&mut socket, &append('A'));
    until(&mut socket, "response.output_audio.delta");
    drop(socket);
    assert_eq!(talk.settled(1).len(), 1);
    talk.exact();
}

#[test]
fn a_cancelled_response_is_counted_as_stated() {
    let talk = Talk::slow(1_000_000, GAP);
    let mut socket = quiet(&talk, "sim-120-400");
    say(&mut socket, &create());
    under_way(&mut socket);
    say(&mut socket, &json!({"type": "response.cancel"}));
    assert_eq!(done(&mut socket)["response"]["status"], "cancelled");
    assert_eq!(talk.exact().len(), 1);
}

#[test]
fn an_upstream_that_drops_leaves_what_may_have_been_spent() {
    let talk = Talk::new(1_000_000);
    let mut socket = quiet(&talk, "sim-120-80-drop6");
    say(&mut socket, &create());
    under_way(&mut socket);
    while socket.read().is_ok() {}
    let rows = talk.rows();
    assert!(rows.len() == 1 && rows[0].quality == "held" && rows[0].charged > 1000, "{rows:?}");
    assert_eq!(held(&talk), 0);
}

#[test]
fn a_response_past_what_was_granted_is_cut_and_its_client_told() {
    let options = Options { gap: Duration::from_millis(5), tokens_per_event: 10, ..Options::default() };
    let talk = Talk::with(3000, options, "");
    let mut socket = session(&talk, "sim-10-300000-nocap");
    say(&mut socket, &append('B'));
    say(&mut socket, &append('A'));
    let end = until(&mut socket, "response.done");
    assert_eq!(end["error"]["code"], "budget_exhausted", "{end}");
    let rows = talk.rows();
    assert!(rows.len() == 1 && rows[0].quality != "exact" && rows[0].charged >= 2500, "{rows:?}");
    match socket.read() {
        Ok(Message::Close(Some(close))) => assert_eq!(u16::from(close.code), 1008),
        other => panic!("no Close frame behind the error: {other:?}"),
    }
    let turn = &talk.turns()[0];
    assert!(!turn.complete, "the provider could speak to the end");
    assert!(turn.sent_bytes > 3 << 20, "PCM was counted as something denser: {}", turn.sent_bytes);
    assert_eq!(talk.stage.events("stream_cut").len(), 1);
}

#[test]
fn a_proxy_that_is_killed_leaves_a_held_row() {
    let mut talk = Talk::slow(1_000_000, GAP);
    let mut socket = quiet(&talk, "sim-70-400");
    say(&mut socket, &create());
    under_way(&mut socket);
    assert!(held(&talk) > 0, "there was no hold");
    talk.stage.signal(Signal::KILL);
    talk.stage.ends_within(Duration::from_secs(5));
    let _up = talk.stage.world.up();
    let rows = talk.settled(1);
    assert!(rows.len() == 1 && rows[0].quality == "held" && rows[0].charged >= 400, "{rows:?}");
    assert_eq!(held(&talk), 0);
}

#[test]
fn a_shutdown_waits_for_the_response_and_not_for_what_may_be_said() {
    let mut talk = Talk::slow(1_000_000, GAP);
    let mut socket = session(&talk, "sim-70-30");
    say(&mut socket, &append('B'));
    say(&mut socket, &create());
    under_way(&mut socket);
    talk.stage.signal(Signal::TERM);
    done(&mut socket);
    loop {
        match socket.read() {
            Ok(Message::Close(Some(close))) => break assert_eq!(u16::from(close.code), 1001),
            Ok(Message::Text(_)) => {}
            other => panic!("no Close frame comes: {other:?}"),
        }
    }
    talk.stage.ends_within(Duration::from_secs(10));
    talk.exact();
}
