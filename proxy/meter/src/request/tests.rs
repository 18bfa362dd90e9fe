//! What every test of requests needs; the tests themselves are by format and by promise.

mod ambiguity;
mod anthropic;
mod batches;
mod bedrock;
mod caps;
mod cohere;
mod count;
mod disguises;
mod estimate;
mod forms;
mod gemini;
mod interactions;
mod laws;
mod ollama;
mod openai;
mod sockets;
mod tools;

use super::*;
use Format::{
    Anthropic, BedrockConverse, BedrockInvoke, Cohere, Gemini, GeminiInteractions, Ollama, OpenaiAudio,
    OpenaiChat, OpenaiImages, OpenaiRealtime, OpenaiResponses,
};
use serde_json::{Value, json};

fn path_of(format: Format) -> &'static str {
    match format {
        Anthropic => "/v1/messages",
        BedrockConverse => "/model/amazon.nova-lite-v1%3A0/converse-stream",
        BedrockInvoke => "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke",
        Cohere => "/v2/chat",
        Gemini => "/v1beta/models/gemini-2.5-flash:generateContent",
        GeminiInteractions => "/v1beta/interactions",
        Ollama => "/api/chat",
        OpenaiAudio => "/v1/audio/speech",
        OpenaiImages => "/v1/images/generations",
        OpenaiRealtime => "/v1/realtime",
        OpenaiResponses => "/v1/responses",
        _ => "/v1/chat/completions",
    }
}

/// A request to a host that is no known one.
fn head<'a>(format: Format, path: &'a str, query: Option<&'a str>) -> RequestHead<'a> {
    let content_type = Some("application/json");
    RequestHead { format, host: "", path, query, content_type, socket: false, models: &[] }
}

fn facts(format: Format, body: &str) -> RequestFacts {
    read(&head(format, path_of(format), None), body.as_bytes())
        .unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn error(format: Format, body: &str) -> RequestError {
    read(&head(format, path_of(format), None), body.as_bytes()).expect_err(body)
}

fn change(format: Format, host: &str, body: &str, cap: Option<u64>, include_usage: bool) -> String {
    let facts = facts(format, body);
    let change = Rewrite { output_cap: cap, include_usage };
    String::from_utf8(
        rewrite(
            &RequestHead { host, ..head(format, path_of(format), None) },
            &facts,
            body.as_bytes(),
            &change,
        )
        .unwrap(),
    )
    .unwrap()
}

/// The facts of a body sent to this path.
fn facts_at(format: Format, path: &str, body: &str) -> RequestFacts {
    read(&head(format, path, None), body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {path} {body}"))
}

/// A body sent to this path, with its cap set.
fn capped_at(format: Format, path: &str, body: &str, cap: u64) -> String {
    let facts = facts_at(format, path, body);
    let change = Rewrite { output_cap: Some(cap), include_usage: false };
    String::from_utf8(rewrite(&head(format, path, None), &facts, body.as_bytes(), &change).unwrap()).unwrap()
}
