//! Amazon Bedrock: `/model/M/converse` and `/model/M/invoke` with Anthropic's bodies, streamed or whole, for requests
//! that are signed for this body with [`AWS_KEYS`], or carry a bearer token. Shapes: botocore's service model of
//! bedrock-runtime, and recorded streams.

mod eventstream;
mod signature;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::delivery::Reply;
use super::script::{Ask, Script, prompt_of};
use super::{Shared, anthropic};
use eventstream::frame;

/// The one key that is known here: its id and its secret.
pub const AWS_KEYS: (&str, &str) = ("AKIDSIMULATOR", "tests-only-Wq83simulatorSecretAccessKey");

/// Answers `/model/{model}/{verb}`; nothing where there is no such verb.
pub(super) fn call(parts: &http::request::Parts, bytes: &[u8], shared: &Arc<Shared>) -> Option<Reply> {
    let (model, verb) = parts.uri.path().strip_prefix("/model/")?.split_once('/')?;
    let (converse, stream) = match verb {
        "converse" => (true, false),
        "converse-stream" => (true, true),
        "invoke" => (false, false),
        "invoke-with-response-stream" => (false, true),
        _ => return None,
    };
    let bearer =
        parts.headers.get("authorization").is_some_and(|value| value.as_bytes().starts_with(b"Bearer "));
    if !bearer && let Err((kind, why)) = signature::check(parts, bytes, AWS_KEYS) {
        return Some(error(403, kind, why));
    }
    let model = &percent_decode_str(model).decode_utf8_lossy();
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let cap = match converse {
        true => body.get("inferenceConfig").and_then(|config| config.get("maxTokens")),
        false => body.get("max_tokens"),
    };
    let ask = Ask {
        shared,
        headers: &parts.headers,
        model,
        prompt: prompt_of(&body, &["system", "messages", "toolConfig", "tools"]),
        cap: cap.and_then(Value::as_u64),
    };
    let script = Script::write(&ask);
    if let Some(super::Fault::Status(status)) = script.fault {
        return Some(error(status, "ServiceUnavailableException", "refused on purpose"));
    }
    Some(match (converse, stream) {
        (true, true) => streamed(&script, converse_events(&script)),
        (true, false) => Reply::answer(&script, &converse_whole(&script)),
        (false, true) => streamed(&script, invoke_events(&script)),
        (false, false) => anthropic::whole(&script),
    })
}

/// An error as this API shapes it.
fn error(status: u16, kind: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "message": message })).with("x-amzn-errortype", kind)
}

fn streamed(script: &Script, frames: Vec<Bytes>) -> Reply {
    let failure = json!({ "message": "refused on purpose" });
    let failure = frame(("exception", ":exception-type", "modelStreamErrorException"), &failure);
    let mut reply = Reply::events(script, frames, failure);
    reply.content_type = "application/vnd.amazon.eventstream";
    reply
}

fn stop_reason(script: &Script) -> &'static str {
    if script.capped { "max_tokens" } else { "end_turn" }
}

/// What the cache covers stands beside the input.
fn converse_usage(script: &Script) -> Value {
    let usage = script.usage;
    json!({
        "inputTokens": usage.input, "outputTokens": usage.output, "totalTokens": usage.total(),
        "cacheReadInputTokens": usage.cache_read, "cacheWriteInputTokens": usage.cache_write,
    })
}

fn converse_whole(script: &Script) -> Value {
    json!({
        "output": { "message": { "role": "assistant", "content": [{ "text": script.text() }] } },
        "stopReason": stop_reason(script), "usage": converse_usage(script), "metrics": { "latencyMs": 1 },
    })
}

fn event(kind: &str, payload: &Value) -> Bytes {
    frame(("event", ":event-type", kind), payload)
}

fn converse_events(script: &Script) -> Vec<Bytes> {
    let mut events = vec![event("messageStart", &json!({ "role": "assistant", "p": "abc" }))];
    events.extend(script.pieces.iter().map(|piece| {
        let delta = json!({ "contentBlockIndex": 0, "delta": { "text": piece }, "p": "abcdef" });
        event("contentBlockDelta", &delta)
    }));
    events.push(event("contentBlockStop", &json!({ "contentBlockIndex": 0, "p": "a" })));
    events.push(event("messageStop", &json!({ "stopReason": stop_reason(script), "p": "ab" })));
    let usage = json!({ "metrics": { "latencyMs": 1 }, "usage": converse_usage(script), "p": "abcd" });
    events.push(event("metadata", &usage));
    events
}

/// Anthropic's own events in base64; the last one has Bedrock's numbers beside it.
fn invoke_events(script: &Script) -> Vec<Bytes> {
    let usage = script.usage;
    let mut events = anthropic::events(script);
    if let Some((_, last)) = events.last_mut() {
        last["amazon-bedrock-invocationMetrics"] = json!({
            "inputTokenCount": usage.input, "outputTokenCount": usage.output,
            "cacheReadInputTokenCount": usage.cache_read, "cacheWriteInputTokenCount": usage.cache_write,
            "invocationLatency": 1, "firstByteLatency": 1,
        });
    }
    let chunk =
        |data: &Value| event("chunk", &json!({ "bytes": STANDARD.encode(data.to_string()), "p": "abc" }));
    events.iter().filter(|(name, _)| *name != "ping").map(|(_, data)| chunk(data)).collect()
}
