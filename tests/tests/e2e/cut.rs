//! The cut: a provider that writes more than it was allowed is stopped in mid-stream, and the client sees an error.

use std::time::Duration;

use hudson_tests::simulator::Options;
use hudson_tests::{Clients, Invocation, World};

use crate::cases::{ANTHROPIC, CODEX, GEMINI, OPENAI};

/// Far more than any budget here: a live count that errs on the safe side may let several times the grant pass.
const ENDLESS: &str = "sim-10-300000-nocap";

/// Slow enough that a cut comes before the end.
fn slow() -> World {
    World::with(Options { gap: Duration::from_millis(5), tokens_per_event: 400, ..Options::default() })
}

/// The provider was stopped before the end of what it meant to write, and one row says what it cost.
fn was_cut(world: &World) {
    let call = world.only_call();
    assert!(!call.complete, "the provider could write to the end");
    let rows = world.usage();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_ne!(rows[0].quality, "exact", "no final usage was seen: {rows:#?}");
    assert!(rows[0].charged >= 1000, "less was charged than the budget that it broke: {rows:#?}");
}

#[test]
fn an_anthropic_stream_ends_with_an_error_event() {
    let world = slow();
    let body = format!(
        r#"{{"model":"{ENDLESS}","max_tokens":8000,"stream":true,"messages":[{{"role":"user","content":"x"}}]}}"#
    );
    let url = "https://api.anthropic.com/v1/messages";
    let curl =
        Invocation::new("curl", &["-sS", "-N", "-H", "content-type: application/json", "-d", &body, url]);
    let launch =
        world.launch().provider("claude").budget("claude=1000").env(ANTHROPIC.variable, ANTHROPIC.value);
    let outcome = launch.run(&curl);
    // curl itself is content: the body has a proper end.
    let text = outcome.text();
    assert!(text.contains("event: error") && !text.contains("event: message_stop"), "{outcome}");
    was_cut(&world);
    outcome.exited(77);
}

#[test]
fn a_chat_stream_ends_with_an_error_chunk() {
    let world = slow();
    let body = format!(r#"{{"model":"{ENDLESS}","max_completion_tokens":8000,"stream":true,"messages":[]}}"#);
    let url = "https://api.openai.com/v1/chat/completions";
    let curl =
        Invocation::new("curl", &["-sS", "-N", "-H", "content-type: application/json", "-d", &body, url]);
    let launch = world.launch().provider("codex").budget("codex=1000").env(OPENAI.variable, OPENAI.value);
    let outcome = launch.run(&curl);
    let text = outcome.text();
    assert!(text.contains(r#"data: {"error""#) && !text.contains(r#""finish_reason":"stop""#), "{outcome}");
    was_cut(&world);
    outcome.exited(77);
}

#[test]
fn the_sdk_shows_the_reason_and_does_not_ask_again() {
    let world = slow();
    let client = Clients::installed().python("anthropic_sdk.py", &["sync", "stream", ENDLESS]);
    let launch =
        world.launch().provider("claude").budget("claude=1000").env(ANTHROPIC.variable, ANTHROPIC.value);
    let outcome = launch.run(&client);
    was_cut(&world);
    assert!(world.refused_calls().len() <= 1, "{:#?}", world.refused_calls());
    outcome.shows("budget").exited(77);
}

#[test]
fn nodes_sdks_show_the_reason_and_do_not_ask_again() {
    let clients = Clients::installed();
    for (provider, key, client) in [
        ("claude", ANTHROPIC, clients.node("anthropic_sdk.mjs", &["stream", ENDLESS])),
        ("codex", OPENAI, clients.node("openai_sdk.mjs", &["stream", "chat", ENDLESS])),
        ("codex", OPENAI, clients.node("openai_sdk.mjs", &["stream", "responses", ENDLESS])),
        ("gemini", GEMINI, clients.node("google_sdk.mjs", &["stream", ENDLESS])),
    ] {
        let world = slow();
        let launch = world.launch().provider(provider).budget(&format!("{provider}=1000"));
        let outcome = launch.env(key.variable, key.value).run(&client);
        was_cut(&world);
        assert!(world.refused_calls().len() <= 1, "{:#?}", world.refused_calls());
        outcome.shows("budget").exited(77);
    }
}

/// Claude Code sends a broken request again: what it sends then must meet a refusal.
#[test]
fn claude_code_shows_the_reason_and_is_refused_when_it_asks_again() {
    let world = slow();
    let client = Clients::installed().claude().arg("--model").arg(ENDLESS);
    let launch = world.launch().budget("claude=40k").env(ANTHROPIC.variable, ANTHROPIC.value);
    let outcome = launch.run(&client);
    world.only_call();
    assert!(world.refused_calls().len() <= 2, "{:#?}", world.refused_calls());
    outcome.shows("budget").exited(77);
}

/// Codex is told over its WebSocket, and shows it; it does not ask again.
#[test]
fn codex_shows_the_reason_and_does_not_ask_again() {
    let world = slow();
    // Of a model it does not know it thinks that it searches the web, which a hard budget refuses.
    let client = Clients::installed().codex().arg("-m").arg(ENDLESS).arg("-c").arg("web_search=disabled");
    let launch = world.launch().budget("codex=40k").env(CODEX.variable, CODEX.value);
    let outcome = launch.run(&client);
    // The first of them makes ready, and generates nothing.
    let call = world.last_call_of(2);
    assert!(!call.complete, "the provider could write to the end");
    assert!(world.refused_calls().len() <= 1, "{:#?}", world.refused_calls());
    outcome.shows("budget").exited(77);
}
