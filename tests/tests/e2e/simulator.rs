//! The simulator keeps its promises: seeded, paced, capped, faulty on demand, and its journal tells no secrets.

use std::time::{Duration, Instant};

use hudson_tests::simulator::{Options, Usage};
use hudson_tests::{Invocation, Outcome, World};

fn curl(world: &World, url: &str, body: &str, more: &[&str]) -> Outcome {
    let arguments = [
        "-sS",
        "-N",
        "-H",
        "content-type: application/json",
        "-H",
        "x-api-key: k",
        "-H",
        "authorization: Bearer k",
        "-d",
        body,
        url,
    ];
    world.direct(&Invocation::new("curl", &[&arguments, more].concat()), &[])
}

fn anthropic(world: &World, model: &str, cap: u64, more: &[&str]) -> Outcome {
    let body = format!(
        r#"{{"model":"{model}","max_tokens":{cap},"stream":true,"messages":[{{"role":"user","content":"x"}}]}}"#
    );
    curl(world, "https://api.anthropic.com/v1/messages", &body, more)
}

#[test]
fn the_same_seed_says_the_same() {
    let answers: Vec<String> = (0..2)
        .map(|_| {
            let world = World::with(Options { seed: 7, ..Options::default() });
            anthropic(&world, "claude-x", 100, &[]).exited(0).text()
        })
        .collect();
    assert_eq!(answers[0], answers[1]);
    let other = World::with(Options { seed: 8, ..Options::default() });
    assert_ne!(anthropic(&other, "claude-x", 100, &[]).text(), answers[0]);
}

#[test]
fn numbers_come_from_the_model_or_a_header() {
    let world = World::new();
    anthropic(&world, "sim-500-200-r30-w4-t50", 1000, &[]).exited(0);
    anthropic(&world, "claude-x", 1000, &["-H", "x-sim-usage: 1,2,3,4,0"]).exited(0);
    let told: Vec<Usage> =
        world.simulator.journal().metered_calls().iter().filter_map(|call| call.usage).collect();
    let first = Usage { input: 500, output: 200, cache_read: 30, cache_write: 4, reasoning: 50 };
    let second = Usage { input: 1, output: 2, cache_read: 3, cache_write: 4, reasoning: 0 };
    assert_eq!(told, [first, second]);
}

#[test]
fn a_cap_ends_the_answer() {
    let world = World::new();
    let answer = anthropic(&world, "sim-10-200", 50, &[]).exited(0).text();
    assert!(
        answer.contains(r#""stop_reason":"max_tokens""#) && answer.contains(r#""output_tokens":50}"#),
        "{answer}"
    );
    let body = r#"{"model":"sim-10-200","max_completion_tokens":50,"messages":[]}"#;
    let answer = curl(&world, "https://api.openai.com/v1/chat/completions", body, &[]).text();
    assert!(
        answer.contains(r#""finish_reason":"length""#) && answer.contains(r#""completion_tokens":50"#),
        "{answer}"
    );
    let body = r#"{"model":"sim-10-200","max_output_tokens":50,"input":"x","stream":true}"#;
    let answer = curl(&world, "https://api.openai.com/v1/responses", body, &[]).text();
    assert!(answer.contains("event: response.incomplete"), "{answer}");
}

#[test]
fn faults_happen_when_asked_for() {
    let world = World::with(Options { stall: Duration::from_millis(300), ..Options::default() });
    let dropped = anthropic(&world, "sim-10-80-drop3", 100, &[]);
    assert_ne!(dropped.code, Some(0), "{dropped}");
    assert_eq!(dropped.text().matches("event: ").count(), 3, "{dropped}");
    let failed = anthropic(&world, "sim-10-80-error3", 100, &[]).exited(0).text();
    assert!(failed.contains("event: error") && !failed.contains("message_stop"), "{failed}");
    let started = Instant::now();
    let stalled = anthropic(&world, "sim-10-80-stall3", 100, &[]).exited(0).text();
    assert!(started.elapsed() >= Duration::from_millis(300) && stalled.contains("message_stop"));
    let refused = anthropic(&world, "sim-10-80-s529", 100, &["-w", "\n%{http_code}"]).text();
    assert!(refused.contains("overloaded_error") && refused.ends_with("529"), "{refused}");
}

#[test]
fn streams_are_paced_and_compressed_event_by_event() {
    let world = World::with(Options { gap: Duration::from_millis(10), ..Options::default() });
    let started = Instant::now();
    let plain = anthropic(&world, "sim-10-80", 100, &["--compressed"]).exited(0).text();
    let events = plain.matches("event: ").count() as u32;
    assert!(events > 20 && started.elapsed() >= Duration::from_millis(10) * events, "{events} events");
    let call = world.only_call();
    assert!(call.sent_bytes < plain.len(), "it was not compressed");
}

#[test]
fn gemini_streams_events_or_an_array() {
    let world = World::new();
    let url = "https://generativelanguage.googleapis.com/v1beta/models/sim-10-20-t5:streamGenerateContent";
    let body = r#"{"contents":[{"parts":[{"text":"x"}]}]}"#;
    let events = curl(&world, &format!("{url}?alt=sse&key=secret"), body, &[]).text();
    assert!(events.starts_with("data: {") && events.contains(r#""candidatesTokenCount":15"#), "{events}");
    let array = curl(&world, &format!("{url}?key=secret"), body, &[]);
    let array: serde_json::Value = serde_json::from_slice(&array.stdout).expect("a JSON array");
    assert_eq!(array.as_array().map(Vec::len), Some(4));
}

#[test]
fn the_journal_tells_no_secret() {
    let world = World::new();
    let body = r#"{"contents":[]}"#;
    let url = "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent?key=very-secret";
    curl(&world, url, body, &["-H", "x-goog-api-key: very-secret"]).exited(0);
    let journal = format!("http://{}/_journal", world.simulator.address());
    let told = world.direct(&Invocation::new("curl", &["-sS", &journal]), &[]).text();
    assert!(told.contains("sha256:") && !told.contains("very-secret"), "{told}");
    let call = world.only_call();
    assert!(call.carries("x-goog-api-key", "very-secret") && !call.carries("x-goog-api-key", "other"));
}

#[test]
fn a_response_can_be_retrieved_again() {
    let world = World::new();
    let url = "https://api.openai.com/v1/responses";
    let made = curl(&world, url, r#"{"model":"sim-10-20","input":"x"}"#, &[]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let again =
        Invocation::new("curl", &["-sS", &format!("{url}/{}", made["id"].as_str().unwrap_or_default())]);
    let again: serde_json::Value = serde_json::from_slice(&world.direct(&again, &[]).stdout).expect("JSON");
    assert_eq!(made, again);
}
