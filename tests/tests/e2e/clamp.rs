//! A request whose own cap is more than what is left is lowered to fit, and one without a cap gets one: its client sees
//! an answer that ended at its cap, and no error.

use hudson_tests::{Clients, Invocation, World};

use crate::cases::{ANTHROPIC, GEMINI, Key, OPENAI};

/// More than any budget here.
const LONG: &str = "sim-10-5000";
const LIMIT: u64 = 1000;

/// Runs a client that wants more than is left: one call reaches the provider, with a cap that fits, and its usage is
/// exact and within the limit.
#[track_caller]
fn clamped(provider: &str, key: Key, client: &Invocation, cap: &[&str]) {
    let world = World::new();
    let launch = world.launch().provider(provider).budget(&format!("{provider}={LIMIT}"));
    let outcome = launch.env(key.variable, key.value).run(client);
    assert!(outcome.exited(0).text().len() > 1000, "no long answer is shown: {outcome}");
    let sent = world.only_call().request_json();
    let found = cap.iter().try_fold(&sent, |value, name| value.get(name)).and_then(serde_json::Value::as_u64);
    assert!(found.is_some_and(|tokens| (100..LIMIT).contains(&tokens)), "{sent}");
    assert_eq!(world.refused_calls().len(), 0, "{:#?}", world.refused_calls());
    let rows = world.usage();
    assert!(rows.len() == 1 && rows[0].quality == "exact" && rows[0].charged <= LIMIT, "{rows:#?}");
}

#[test]
fn python_anthropic() {
    for kind in [["sync", "whole", LONG], ["async", "stream", LONG]] {
        let client = Clients::installed().python("anthropic_sdk.py", &kind);
        clamped("claude", ANTHROPIC, &client, &["max_tokens"]);
    }
}

#[test]
fn node_anthropic() {
    for kind in [["whole", LONG], ["stream", LONG]] {
        let client = Clients::installed().node("anthropic_sdk.mjs", &kind);
        clamped("claude", ANTHROPIC, &client, &["max_tokens"]);
    }
}

#[test]
fn python_openai() {
    for (delivery, api, cap) in
        [("whole", "chat", "max_completion_tokens"), ("stream", "responses", "max_output_tokens")]
    {
        let client = Clients::installed().python("openai_sdk.py", &["sync", delivery, api, LONG]);
        clamped("codex", OPENAI, &client, &[cap]);
    }
}

#[test]
fn node_openai() {
    for (delivery, api, cap) in
        [("stream", "chat", "max_completion_tokens"), ("whole", "responses", "max_output_tokens")]
    {
        let client = Clients::installed().node("openai_sdk.mjs", &[delivery, api, LONG]);
        clamped("codex", OPENAI, &client, &[cap]);
    }
}

#[test]
fn node_google() {
    for kind in [["whole", LONG], ["stream", LONG]] {
        let client = Clients::installed().node("google_sdk.mjs", &kind);
        clamped("gemini", GEMINI, &client, &["generationConfig", "maxOutputTokens"]);
    }
}
