//! Model calls over a WebSocket: each is admitted by itself, counted exactly, capped, cut and settled, however it is
//! framed and however it ends.

mod ending;
mod realtime;
mod sdk;
mod smuggling;
mod upstream;

use std::time::Duration;

use hudson_tests::simulator::{Entry, Options};
use hudson_tests::{Clients, UsageRow, ledger};
use serde_json::{Value, json};
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::{SOON, offer};
use crate::raw::agent::Tls;
use crate::raw::{self, Agent, Stage};

const HOST: &str = "api.openai.com";
const KEY: &str = "sk-proj-tests-only-Lw5xP9cV3bN7mQ1zR8tY6uI2";
const ROUTES: &str = "routes:\n  - host: api.openai.com\n    auth_scheme: Bearer\n    token_env: THE_KEY\n";

/// An agent with a budget, in front of the simulator.
struct Talk {
    stage: Stage,
    agent: Agent,
}

impl Talk {
    fn new(budget: u64) -> Self {
        Self::with(budget, Options::default(), "")
    }

    /// A provider that takes its time over each event.
    fn slow(budget: u64, gap: Duration) -> Self {
        Self::with(budget, Options { gap, ..Options::default() }, "")
    }

    fn with(budget: u64, options: Options, settings: &str) -> Self {
        let setting = raw::stage_with(options)
            .file("bottles/ci/routes.yaml", ROUTES)
            .file("bottles/ci/bottle.yml", &format!("budget: {{codex: {budget}}}\n"))
            .settings(settings)
            .env("THE_KEY", KEY);
        let stage = setting.start();
        let agent = stage.agent();
        Self { stage, agent }
    }

    /// An open WebSocket as bytes.
    #[track_caller]
    fn raw(&self) -> Tls {
        self.raw_at("/v1/responses")
    }

    #[track_caller]
    fn raw_at(&self, target: &str) -> Tls {
        let mut tls = self.agent.tls(HOST);
        let more = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        let answer = raw::ask(&mut tls, &offer(target, HOST, more));
        assert_eq!(answer.status, 101, "{answer}");
        tls
    }

    #[track_caller]
    fn open(&self) -> Socket {
        WebSocket::from_raw_socket(self.raw(), Role::Client, None)
    }

    /// What arrived at the provider beside the opening of WebSockets.
    fn turns(&self) -> Vec<Entry> {
        let entries = self.stage.world.simulator.journal().entries();
        entries.into_iter().filter(|entry| entry.status != 101).collect()
    }

    /// Waits until a hold stands, or none does.
    fn holds(&self, stands: bool) -> bool {
        let found = || ((ledger::held(&self.stage.world.home()) > 0) == stands).then_some(());
        raw::wait_until(SOON, found).is_some()
    }

    fn rows(&self) -> Vec<UsageRow> {
        self.stage.world.usage()
    }

    /// Waits for so many rows.
    fn settled(&self, rows: usize) -> Vec<UsageRow> {
        ledger::wait_for(&self.stage.world.home(), SOON, |found| found.len() >= rows)
    }

    fn exact(&self) -> Vec<UsageRow> {
        self.stage.world.ledger_equals_provider()
    }
}

type Socket = WebSocket<Tls>;

fn create(model: &str) -> Value {
    json!({"type": "response.create", "model": model, "max_output_tokens": 400, "input": "x"})
}

#[track_caller]
fn say(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).expect("it is sent");
}

/// The next message, as JSON.
#[track_caller]
fn hear(socket: &mut Socket) -> Value {
    match socket.read().expect("a message comes") {
        Message::Text(text) => serde_json::from_str(&text).expect("it is JSON"),
        other => panic!("no text comes, but {other:?}"),
    }
}

/// Reads messages up to the one that ends a response.
#[track_caller]
fn last(socket: &mut Socket) -> Value {
    loop {
        let message = hear(socket);
        let kind = message["type"].as_str().unwrap_or_default();
        if ["response.completed", "response.incomplete", "error"].contains(&kind) {
            return message;
        }
    }
}

#[test]
fn a_turn_is_in_the_ledger_when_its_end_is_seen() {
    let talk = Talk::slow(1_000_000, Duration::from_millis(20));
    let mut socket = talk.open();
    say(&mut socket, &create("sim-120-40-r30-t10"));
    assert_eq!(hear(&mut socket)["type"], "codex.rate_limits", "what is no response passes, too");
    assert_eq!(hear(&mut socket)["type"], "response.created");
    assert_eq!(talk.rows(), [], "it is not over yet");
    let end = last(&mut socket);
    let rows = talk.rows();
    assert_eq!(end["type"], "response.completed");
    assert_eq!(rows.len(), 1, "its end was seen before it was settled");
    assert!(rows[0].stream && rows[0].quality == "exact", "{rows:?}");
    talk.exact();
    let turn = &talk.turns()[0];
    assert!(turn.carries("authorization", &format!("Bearer {KEY}")));
    assert_eq!(turn.header("sec-websocket-extensions"), None, "nobody could look into compressed messages");
}

#[test]
fn each_of_many_turns_is_counted_by_itself() {
    let talk = Talk::new(1_000_000);
    let mut socket = talk.open();
    for turn in 1..=20u64 {
        say(&mut socket, &create(&format!("sim-{}-{}", 10 * turn, turn)));
        assert_eq!(last(&mut socket)["type"], "response.completed");
        assert_eq!(talk.rows().len() as u64, turn);
    }
    let rows = talk.exact();
    assert_eq!(rows.iter().map(|row| row.total).sum::<u64>(), 11 * 210);
}

#[test]
fn the_input_of_a_turn_is_counted_before_it_is_held() {
    let talk = Talk::with(10_000, Options::default(), "estimate: {count_tokens: true, timeout: 60s}\n");
    let mut socket = talk.open();
    // An estimate that does not fit, and one that does and should not.
    let mut high = create("sim-50-30");
    high["input"] = json!(" ".repeat(40_000));
    say(&mut socket, &high);
    assert_eq!(last(&mut socket)["type"], "response.completed");
    say(&mut socket, &create("sim-20000-30"));
    assert_eq!(last(&mut socket)["type"], "error");
    let asked: Vec<Entry> = talk.turns().into_iter().filter(|entry| entry.method == "POST").collect();
    assert_eq!(asked.len(), 2, "{asked:#?}");
    assert!(asked.iter().all(|entry| entry.path == "/v1/responses/input_tokens" && entry.status == 200));
    assert!(asked[0].carries("authorization", &format!("Bearer {KEY}")), "{asked:#?}");
    assert_eq!(talk.exact().iter().map(|row| row.charged).collect::<Vec<_>>(), [80]);
}

#[test]
fn turns_that_are_asked_for_at_once_are_admitted_one_after_the_other() {
    let talk = Talk::new(1_000_000);
    let mut socket = talk.open();
    for lane in ["a", "b", "c"] {
        let mut message = create("sim-50-30");
        message["stream_id"] = json!(lane);
        message["input"] = json!(lane);
        say(&mut socket, &message);
    }
    for lane in ["a", "b", "c"] {
        let end = last(&mut socket);
        assert_eq!(
            (end["type"].as_str(), end["stream_id"].as_str()),
            (Some("response.completed"), Some(lane))
        );
    }
    assert_eq!(talk.exact().len(), 3);
}

#[test]
fn a_spent_budget_refuses_the_next_turn_and_says_why() {
    let talk = Talk::new(1000);
    let mut socket = talk.open();
    say(&mut socket, &create("sim-900-150"));
    assert_eq!(last(&mut socket)["type"], "response.completed");
    for _ in 0..3 {
        let mut second = create("sim-10-10");
        second["stream_id"] = json!("a lane");
        say(&mut socket, &second);
        let refused = last(&mut socket);
        assert_eq!((&refused["type"], &refused["status"]), (&json!("error"), &json!(400)), "{refused}");
        assert_eq!(refused["stream_id"], "a lane");
        let message = refused["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("budget"), "{message}");
    }
    assert_eq!(talk.turns().len(), 1, "a refused turn reached the provider");
    assert_eq!(talk.exact().len(), 1);
    let refused = talk.stage.event("refusal");
    assert_eq!((&refused["code"], &refused["path"]), (&json!("bottle_cut_off"), &json!("/v1/responses")));
    // A new one is not even opened.
    let mut tls = talk.agent.tls(HOST);
    let answer = raw::ask(&mut tls, &offer("/v1/responses", HOST, ""));
    assert_eq!(answer.status, 400, "{answer}");
}

#[test]
fn the_cap_that_fits_is_what_goes_over_the_wire() {
    let talk = Talk::new(2000);
    let mut socket = talk.open();
    // Asked for more than there is, and for nothing at all with a model whose maximum is known.
    for (asked, model) in [(json!(100_000), "sim-10-100000"), (Value::Null, "gpt-4o")] {
        let mut message = create(model);
        message["max_output_tokens"] = asked;
        say(&mut socket, &message);
        let end = last(&mut socket);
        assert_ne!(end["type"], "error", "{end}");
        let sent = talk.turns().last().expect("it arrived").request_json();
        let cap = sent["max_output_tokens"].as_u64().expect("a cap is there");
        assert!(cap > 0 && cap < 2000, "{sent}");
        assert_eq!(sent["type"], "response.create");
        let rows = talk.exact();
        let charged: u64 = rows.iter().map(|row| row.charged).sum();
        assert!(charged <= 2000, "the hard budget was passed: {rows:?}");
        if asked_for_all(&rows) {
            return;
        }
    }
}

/// Whether nothing is left that a second turn could have.
fn asked_for_all(rows: &[UsageRow]) -> bool {
    rows.iter().map(|row| row.charged).sum::<u64>() > 1500
}

#[test]
fn for_what_generates_nothing_no_output_is_reserved() {
    let talk = Talk::new(100_000);
    let mut socket = talk.open();
    let mut ready = create("gpt-5");
    ready["generate"] = json!(false);
    ready["max_output_tokens"] = Value::Null;
    say(&mut socket, &ready);
    assert_eq!(last(&mut socket)["type"], "response.completed");
    let sent = talk.turns()[0].request_json();
    assert_eq!(sent["generate"], false);
    let rows = talk.exact();
    assert_eq!(rows[0].output, 0);
}

#[test]
fn what_a_turn_goes_on_from_is_reserved_as_its_input() {
    let talk = Talk::new(4000);
    let mut socket = talk.open();
    say(&mut socket, &create("sim-1200-100"));
    let id = last(&mut socket)["response"]["id"].clone();
    // 1300 of 4000 are spent; the whole conversation is input again, and leaves no room for 2000 tokens of output.
    let mut next = create("sim-1300-2000");
    next["max_output_tokens"] = json!(2000);
    next["previous_response_id"] = id;
    say(&mut socket, &next);
    assert_eq!(last(&mut socket)["type"], "response.incomplete");
    let sent = talk.turns()[1].request_json();
    assert!(sent["max_output_tokens"].as_u64().is_some_and(|cap| cap < 1400), "{sent}");
    let charged: u64 = talk.exact().iter().map(|row| row.charged).sum();
    assert!(charged <= 4000, "{charged} of 4000");
}

#[test]
fn an_error_instead_of_an_answer_is_free_and_passes() {
    let talk = Talk::new(10_000);
    let mut socket = talk.open();
    say(&mut socket, &create("sim-10-10-s429"));
    let error = last(&mut socket);
    assert_eq!((&error["status"], &error["error"]["code"]), (&json!(429), &json!("refused_on_purpose")));
    assert_eq!(ledger::held(&talk.stage.world.home()), 0, "the hold stands");
    say(&mut socket, &create("sim-10-10"));
    assert_eq!(last(&mut socket)["type"], "response.completed");
    assert_eq!(talk.exact().len(), 1);
    // One in the midst of a response is not free.
    say(&mut socket, &create("sim-10-10-error4"));
    assert_eq!(last(&mut socket)["status"], 500);
    assert_eq!(talk.rows().len(), 2);
    assert_ne!(talk.rows()[1].quality, "exact");
}

#[test]
fn a_large_message_is_held_and_counted_and_a_larger_one_is_1009() {
    let talk = Talk::new(1_000_000_000);
    let mut socket = talk.open();
    let mut large = create("sim-50-30");
    large["input"] = json!("x".repeat(10 << 20));
    say(&mut socket, &large);
    assert_eq!(last(&mut socket)["type"], "response.completed");
    assert_eq!(talk.exact().len(), 1);
    drop(socket);

    let mut raw = talk.raw();
    let head = [&[0x81, 0xff][..], &((32u64 << 20) + 1).to_be_bytes(), &super::KEY].concat();
    std::io::Write::write_all(&mut raw, &head).expect("it is sent");
    super::closes(&mut raw, 1009);
    assert_eq!(talk.turns().len(), 1);
}

#[test]
fn nodes_own_client_has_a_conversation() {
    let talk = Talk::new(1_000_000);
    let proxy = format!("http://{}@{}", talk.agent.credentials, talk.stage.address);
    let world = &talk.stage.world;
    let ca = world.home().join("ca/ca.pem").display().to_string();
    let client = Clients::installed().node("responses_websocket.mjs", &["sim-120-40-r30-t10"]);
    let outcome = world.through(&proxy, &ca, &client, &[]);
    let text: String =
        talk.turns().iter().filter_map(|turn| turn.text.clone()).map(|text| text + "\n").collect();
    assert_eq!(outcome.exited(0).text(), text, "{outcome}");
    assert_eq!(talk.exact().len(), 2);
}
