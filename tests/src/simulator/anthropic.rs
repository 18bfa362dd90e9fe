//! Anthropic Messages: `POST /v1/messages`, streamed or whole, and the counting endpoint.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Value, json};

use super::delivery::{Reply, named_event};
use super::script::{Ask, Script, prompt_of};
use super::{Shared, count};

const PROMPT: [&str; 3] = ["system", "messages", "tools"];

/// What the counting endpoint takes.
const COUNTED: [&str; 8] = [
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "context_management",
    "output_config",
];

/// An error as this API shapes it.
pub(super) fn error(status: u16, kind: &str, message: &str) -> Reply {
    let body =
        json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_sim" });
    Reply::json(status, &body).with("request-id", "req_sim")
}

/// `POST /v1/messages`.
pub(super) fn messages(body: &Value, headers: &HeaderMap, shared: &Arc<Shared>) -> Reply {
    let Some(model) = body.get("model").and_then(Value::as_str) else {
        return error(400, "invalid_request_error", "model: Field required");
    };
    let Some(cap) = body.get("max_tokens").and_then(Value::as_u64) else {
        return error(400, "invalid_request_error", "max_tokens: Field required");
    };
    if headers.get("x-api-key").is_none() && headers.get("authorization").is_none() {
        return error(401, "authentication_error", "x-api-key header is required");
    }
    let prompt = prompt_of(body, &PROMPT);
    let script = Script::write(&Ask { shared, headers, model, prompt, cap: Some(cap) });
    if let Some(super::Fault::Status(status)) = script.fault {
        let kind = match status {
            429 => "rate_limit_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        return error(status, kind, "refused on purpose");
    }
    let stream = body.get("stream").and_then(Value::as_bool).unwrap_or_default();
    let reply = if stream { streamed(&script) } else { whole(&script) };
    reply.with("request-id", format!("req_{}", script.id))
}

/// `POST /v1/messages/count_tokens`.
pub(super) fn count_tokens(body: &Value, headers: &HeaderMap, shared: &Arc<Shared>) -> Reply {
    let Some(model) = body.get("model").and_then(Value::as_str) else {
        return error(400, "invalid_request_error", "model: Field required");
    };
    if let Some(name) = count::foreign(body, &COUNTED) {
        return error(400, "invalid_request_error", &format!("{name}: Extra inputs are not permitted"));
    }
    if headers.get("x-api-key").is_none() && headers.get("authorization").is_none() {
        return error(401, "authentication_error", "x-api-key header is required");
    }
    let ask = Ask { shared, headers, model, prompt: prompt_of(body, &PROMPT), cap: None };
    let told = |tokens| json!({ "input_tokens": tokens });
    count::answer(&ask, told, |status, why| error(status, "api_error", why))
}

fn stop_reason(script: &Script) -> &'static str {
    if script.capped { "max_tokens" } else { "end_turn" }
}

/// Thinking comes first when the script has any.
fn blocks(script: &Script) -> Vec<Value> {
    let mut blocks = Vec::new();
    if script.usage.reasoning > 0 {
        blocks.push(
            json!({ "type": "thinking", "thinking": "weighing the tide", "signature": "c2ltdWxhdGVk" }),
        );
    }
    blocks.push(json!({ "type": "text", "text": script.text() }));
    blocks
}

/// The usage that the first event and a whole answer carry.
fn full_usage(script: &Script, output: u64) -> Value {
    let usage = script.usage;
    json!({
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": { "ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": 0 },
        "output_tokens": output,
        "service_tier": "standard",
    })
}

/// A whole answer.
pub(super) fn whole(script: &Script) -> Reply {
    let body = json!({
        "id": format!("msg_01{}", script.id),
        "type": "message",
        "role": "assistant",
        "model": script.model,
        "content": blocks(script),
        "stop_reason": stop_reason(script),
        "stop_sequence": null,
        "usage": full_usage(script, script.usage.output),
    });
    Reply::answer(script, &body)
}

fn streamed(script: &Script) -> Reply {
    let frames = events(script).iter().map(|(name, data)| named_event(name, data)).collect();
    let failure =
        json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    Reply::events(script, frames, named_event("error", &failure))
}

/// The events of a stream by name.
pub(super) fn events(script: &Script) -> Vec<(&'static str, Value)> {
    let mut frames = vec![(
        "message_start",
        json!({ "type": "message_start", "message": {
            "id": format!("msg_01{}", script.id),
            "type": "message",
            "role": "assistant",
            "model": script.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": full_usage(script, 1),
        } }),
    )];
    for (index, block) in blocks(script).iter().enumerate() {
        let thinking = block["type"] == "thinking";
        let empty = if thinking {
            json!({ "type": "thinking", "thinking": "", "signature": "" })
        } else {
            json!({ "type": "text", "text": "" })
        };
        let start = json!({ "type": "content_block_start", "index": index, "content_block": empty });
        frames.push(("content_block_start", start));
        if index == 0 {
            frames.push(("ping", json!({ "type": "ping" })));
        }
        let deltas = if thinking {
            vec![
                json!({ "type": "thinking_delta", "thinking": block["thinking"] }),
                json!({ "type": "signature_delta", "signature": block["signature"] }),
            ]
        } else {
            script.pieces.iter().map(|piece| json!({ "type": "text_delta", "text": piece })).collect()
        };
        for delta in deltas {
            let delta = json!({ "type": "content_block_delta", "index": index, "delta": delta });
            frames.push(("content_block_delta", delta));
        }
        frames.push(("content_block_stop", json!({ "type": "content_block_stop", "index": index })));
    }
    let usage = script.usage;
    frames.push((
        "message_delta",
        json!({ "type": "message_delta",
            "delta": { "stop_reason": stop_reason(script), "stop_sequence": null },
            "usage": {
                "input_tokens": usage.input,
                "cache_creation_input_tokens": usage.cache_write,
                "cache_read_input_tokens": usage.cache_read,
                "output_tokens": usage.output,
            } }),
    ));
    frames.push(("message_stop", json!({ "type": "message_stop" })));
    frames
}
