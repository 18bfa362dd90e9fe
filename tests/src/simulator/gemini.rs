//! Google Gemini: `:generateContent`, `:streamGenerateContent` (events or a JSON array) and `:countTokens`.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::delivery::Reply;
use super::script::{Ask, Script, prompt_of};
use super::{Shared, count};

const PROMPT: [&str; 3] = ["systemInstruction", "contents", "tools"];

/// An error as Google's APIs shape it.
pub(super) fn error(status: u16, kind: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "error": { "code": status, "message": message, "status": kind } }))
}

/// Answers `models/{model}:{verb}`.
pub(super) fn call(
    (model, verb): (&str, &str),
    query: &str,
    body: &Value,
    headers: &HeaderMap,
    shared: &Arc<Shared>,
) -> Reply {
    let credential = ["x-goog-api-key", "authorization"].iter().any(|name| headers.contains_key(*name));
    if !credential && !query.contains("key=") {
        return error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.");
    }
    if verb == "countTokens" {
        return count_tokens(model, body, headers, shared);
    }
    let prompt = prompt_of(body, &PROMPT);
    let cap =
        body.get("generationConfig").and_then(|config| config.get("maxOutputTokens")).and_then(Value::as_u64);
    let script = Script::write(&Ask { shared, headers, model, prompt, cap });
    if let Some(super::Fault::Status(status)) = script.fault {
        let kind = if status == 429 { "RESOURCE_EXHAUSTED" } else { "UNAVAILABLE" };
        return error(status, kind, "refused on purpose");
    }
    match verb {
        "generateContent" => Reply::answer(&script, &chunk(&script, &script.text(), true)),
        "streamGenerateContent" => streamed(&script, query.split('&').any(|pair| pair == "alt=sse")),
        _ => error(404, "NOT_FOUND", "Unknown method."),
    }
}

/// `:countTokens`, of contents alone or of a whole request, which names its model again.
fn count_tokens(model: &str, body: &Value, headers: &HeaderMap, shared: &Arc<Shared>) -> Reply {
    if let Some(name) = count::foreign(body, &["contents", "generateContentRequest"]) {
        return error(400, "INVALID_ARGUMENT", &format!("Unknown name \"{name}\": Cannot find field."));
    }
    let request = body.get("generateContentRequest");
    let named = request.map(|request| request["model"] == format!("models/{model}"));
    if named == Some(false) {
        return error(400, "INVALID_ARGUMENT", "The model of the request is not that of the path.");
    }
    let ask = Ask { shared, headers, model, prompt: prompt_of(request.unwrap_or(body), &PROMPT), cap: None };
    count::answer(
        &ask,
        |tokens| json!({ "totalTokens": tokens }),
        |status, why| error(status, "INTERNAL", why),
    )
}

/// One snapshot; usage is on every one and the last counts. Thoughts stand beside the candidates, not inside.
fn chunk(script: &Script, text: &str, last: bool) -> Value {
    let usage = script.usage;
    let candidates = if last { usage.output - usage.reasoning } else { 1 };
    let reason = if script.capped { "MAX_TOKENS" } else { "STOP" };
    let mut candidate = json!({ "content": { "parts": [{ "text": text }], "role": "model" }, "index": 0 });
    if last {
        candidate["finishReason"] = json!(reason);
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": usage.all_input(),
            "candidatesTokenCount": candidates,
            "totalTokenCount": usage.all_input() + candidates + usage.reasoning,
            "cachedContentTokenCount": usage.cache_read,
            "thoughtsTokenCount": usage.reasoning,
            "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": usage.all_input() }],
        },
        "modelVersion": script.model,
        "responseId": script.id,
    })
}

fn streamed(script: &Script, events: bool) -> Reply {
    let last = script.pieces.len().saturating_sub(1);
    let mut pieces: Vec<&str> = script.pieces.iter().map(String::as_str).collect();
    if pieces.is_empty() {
        pieces.push("");
    }
    let chunks: Vec<Value> =
        pieces.iter().enumerate().map(|(i, text)| chunk(script, text, i == last)).collect();
    let failure =
        json!({ "error": { "code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE" } });
    if events {
        let frames = chunks.iter().map(|chunk| Bytes::from(format!("data: {chunk}\r\n\r\n"))).collect();
        return Reply::events(script, frames, Bytes::from(format!("data: {failure}\r\n\r\n")));
    }
    let mut frames: Vec<Bytes> = chunks
        .iter()
        .enumerate()
        .map(|(i, chunk)| Bytes::from(format!("{}{chunk}", if i == 0 { "[" } else { ",\r\n" })))
        .collect();
    frames.push(Bytes::from_static(b"]"));
    let mut reply = Reply::events(script, frames, Bytes::from(format!(",\r\n{failure}]")));
    reply.content_type = "application/json; charset=UTF-8";
    reply
}
