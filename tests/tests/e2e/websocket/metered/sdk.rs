//! The SDKs' own clients for WebSockets: what they say is counted exactly, and a refusal or a cut is an error to them.

use hudson_tests::simulator::Options;
use hudson_tests::{Clients, Invocation, Outcome};
use std::time::Duration;

use super::{KEY, Talk};

/// Each client, for this model.
fn clients(model: &str) -> Vec<(String, Invocation)> {
    let mut clients = Vec::new();
    for api in ["responses", "realtime"] {
        for kind in ["sync", "async"] {
            let python = Clients::installed().python("openai_socket.py", &[kind, api, model]);
            clients.push((format!("python {kind} {api}"), python));
        }
        clients.push((format!("node {api}"), Clients::installed().node("openai_socket.mjs", &[api, model])));
    }
    clients
}

/// Runs a client in a scene of its own. One that says nothing until its time is over has another go, and what the proxy
/// has seen of it is printed: that was met once, and its cause is not known.
fn talked(name: &str, client: &Invocation, talk: impl Fn() -> Talk) -> (Talk, Outcome) {
    let scene = talk();
    let outcome = run(&scene, client);
    if !outcome.timed_out {
        return (scene, outcome);
    }
    report!("{name} hung: {outcome}\n{}\n{:#?}", scene.stage.log(), scene.turns());
    let scene = talk();
    let outcome = run(&scene, client);
    (scene, outcome)
}

fn run(talk: &Talk, client: &Invocation) -> Outcome {
    let proxy = format!("http://{}@{}", talk.agent.credentials, talk.stage.address);
    let world = &talk.stage.world;
    let ca = world.home().join("ca/ca.pem").display().to_string();
    world.through(&proxy, &ca, client, &[("OPENAI_API_KEY", "none")])
}

#[test]
fn they_have_a_conversation_that_is_counted_exactly() {
    for (name, client) in clients("sim-120-40-r30") {
        let (talk, outcome) = talked(&name, &client, || Talk::new(1_000_000));
        let text: String =
            talk.turns().iter().filter_map(|turn| turn.text.clone()).map(|text| text + "\n").collect();
        assert_eq!(outcome.exited(0).text(), text, "{name}: {outcome}");
        assert_eq!(talk.exact().len(), 2, "{name}");
        assert!(talk.turns()[0].carries("authorization", &format!("Bearer {KEY}")), "{name}");
    }
}

#[test]
fn a_refused_call_is_an_error_to_them_and_says_why() {
    for (name, client) in clients("sim-900-1024") {
        let (talk, outcome) = talked(&name, &client, || Talk::new(2100));
        let told = outcome.exited(1).to_string();
        assert!(told.contains("budget"), "{name}: {told}");
        assert_eq!(talk.exact().len(), 1, "{name}");
    }
}

#[test]
fn a_response_that_is_cut_is_an_error_to_them_and_says_why() {
    for (name, client) in clients("sim-10-300000-nocap") {
        let options = Options { gap: Duration::from_millis(1), tokens_per_event: 200, ..Options::default() };
        let (talk, outcome) = talked(&name, &client, || Talk::with(2000, options.clone(), ""));
        let told = outcome.exited(1).to_string();
        assert!(told.contains("budget"), "{name}: {told}");
        let rows = talk.settled(1);
        assert!(rows.len() == 1 && rows[0].quality != "exact" && rows[0].charged >= 1500, "{name}: {rows:?}");
    }
}
