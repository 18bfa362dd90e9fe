//! A metered WebSocket that ends in the midst of a turn: whatever ends it, the turn is in the ledger.

use std::time::Duration;

use hudson_tests::ledger;
use hudson_tests::simulator::Options;
use rustix::process::Signal;
use serde_json::json;
use tungstenite::Message;

use super::{Socket, Talk, create, hear, last, say};
use crate::raw::wait_until;

const GAP: Duration = Duration::from_millis(20);

/// Reads until text of a response has come.
#[track_caller]
fn under_way(socket: &mut Socket) {
    while hear(socket)["type"] != "response.output_text.delta" {}
}

#[test]
fn a_client_that_hangs_up_leaves_an_exact_row() {
    let talk = Talk::slow(1_000_000, GAP);
    let mut socket = talk.open();
    say(&mut socket, &create("sim-120-80-r30"));
    under_way(&mut socket);
    drop(socket);
    let rows = talk.settled(1);
    assert_eq!(rows.len(), 1);
    talk.exact();
    // The server says so after the last of it is gone, which is after it was counted.
    let complete = wait_until(Duration::from_secs(5), || talk.turns()[0].complete.then_some(()));
    assert!(complete.is_some(), "it was not read to its end");
}

#[test]
fn a_client_that_closes_is_told_so_and_leaves_an_exact_row() {
    let talk = Talk::slow(1_000_000, GAP);
    let mut socket = talk.open();
    say(&mut socket, &create("sim-120-80-r30"));
    under_way(&mut socket);
    socket.close(None).expect("it is sent");
    let close = loop {
        match socket.read() {
            Ok(Message::Close(close)) => break close,
            Ok(_) => {}
            Err(error) => panic!("no Close frame comes back: {error}"),
        }
    };
    assert!(close.is_none_or(|close| u16::from(close.code) == 1000));
    assert_eq!(talk.settled(1).len(), 1);
    talk.exact();
}

#[test]
fn an_upstream_that_drops_leaves_what_may_have_been_spent() {
    let talk = Talk::new(1_000_000);
    let mut socket = talk.open();
    say(&mut socket, &create("sim-120-80-drop6"));
    under_way(&mut socket);
    while socket.read().is_ok() {}
    // The client saw the end: it is settled.
    let rows = talk.rows();
    assert_eq!(rows.len(), 1);
    assert_ne!(rows[0].quality, "exact");
    assert!(rows[0].charged >= 400, "less is charged than was reserved: {rows:?}");
    assert_eq!(ledger::held(&talk.stage.world.home()), 0);
}

#[test]
fn a_response_past_what_was_granted_is_cut_and_its_client_told() {
    let options = Options { gap: Duration::from_millis(5), tokens_per_event: 400, ..Options::default() };
    let talk = Talk::with(1000, options, "");
    let mut socket = talk.open();
    let mut endless = create("sim-10-300000-nocap");
    endless["max_output_tokens"] = json!(8000);
    endless["stream_id"] = json!("a lane");
    say(&mut socket, &endless);
    let end = last(&mut socket);
    assert_eq!((&end["type"], &end["status"]), (&json!("error"), &json!(400)), "{end}");
    assert_eq!((&end["error"]["code"], &end["stream_id"]), (&json!("budget_exhausted"), &json!("a lane")));
    let rows = talk.rows();
    assert_eq!(rows.len(), 1, "it was told before it was settled");
    assert!(rows[0].quality != "exact" && rows[0].charged >= 1000, "{rows:?}");
    match socket.read() {
        Ok(Message::Close(Some(close))) => assert_eq!(u16::from(close.code), 1008),
        other => panic!("no Close frame behind the error: {other:?}"),
    }
    let journal = talk.stage.world.simulator.journal();
    assert!(!journal.metered_calls()[0].complete, "the provider could write to the end");
    assert_eq!(talk.stage.events("stream_cut").len(), 1);
    let again =
        crate::raw::ask(&mut talk.agent.tls(super::HOST), &super::offer("/v1/responses", super::HOST, ""));
    assert_eq!(again.status, 400, "{again}");
}

#[test]
fn a_proxy_that_is_killed_leaves_a_held_row() {
    let mut talk = Talk::slow(1_000_000, GAP);
    let mut socket = talk.open();
    say(&mut socket, &create("sim-70-400"));
    under_way(&mut socket);
    assert!(ledger::held(&talk.stage.world.home()) > 0, "there was no hold");
    talk.stage.signal(Signal::KILL);
    talk.stage.ends_within(Duration::from_secs(5));
    let _up = talk.stage.world.up();
    let rows = talk.settled(1);
    assert_eq!(rows.len(), 1);
    assert!(rows[0].quality == "held" && rows[0].charged >= 400, "{rows:?}");
    assert_eq!(ledger::held(&talk.stage.world.home()), 0);
}

#[test]
fn a_shutdown_waits_for_the_turn_and_takes_no_other() {
    let mut talk = Talk::slow(1_000_000, GAP);
    let mut socket = talk.open();
    say(&mut socket, &create("sim-70-60"));
    under_way(&mut socket);
    talk.stage.signal(Signal::TERM);
    assert_eq!(last(&mut socket)["type"], "response.completed");
    match socket.read() {
        Ok(Message::Close(Some(close))) => assert_eq!(u16::from(close.code), 1001),
        other => panic!("no Close frame comes: {other:?}"),
    }
    talk.stage.ends_within(Duration::from_secs(10));
    talk.exact();
}

#[test]
fn a_change_of_routes_ends_it_and_settles() {
    is_ended_by(|talk| {
        talk.stage.world.configure("bottles/ci/routes.yaml", "routes:\n  - host: other.example.com\n");
        talk.stage.signal(Signal::HUP);
    });
}

#[test]
fn an_operators_order_ends_it_and_settles() {
    is_ended_by(|talk| {
        talk.stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
    });
}

/// A turn is under way when this is done.
fn is_ended_by(what: impl FnOnce(&Talk)) {
    let talk = Talk::slow(1_000_000, GAP);
    let mut socket = talk.open();
    say(&mut socket, &create("sim-70-400"));
    under_way(&mut socket);
    what(&talk);
    let ended = wait_until(Duration::from_secs(5), || match socket.read() {
        Ok(Message::Close(Some(close))) => Some(u16::from(close.code)),
        Ok(_) => None,
        Err(error) => panic!("no Close frame comes: {error}"),
    });
    assert_eq!(ended, Some(1008));
    let rows = talk.settled(1);
    assert!(rows.len() == 1 && rows[0].quality != "exact" && rows[0].charged >= 400, "{rows:?}");
}
