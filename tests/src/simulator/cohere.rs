//! Cohere: `POST /v2/chat`, streamed or whole. Shapes: cohere-python `types/v2chat_stream_response.py`, `usage.py`.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::Shared;
use super::delivery::{Reply, named_event};
use super::script::{Ask, Script, prompt_of};

/// An error as this API shapes it.
pub(super) fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "id": "sim", "message": message }))
}

/// `POST /v2/chat`.
pub(super) fn chat(body: &Value, headers: &HeaderMap, shared: &Arc<Shared>) -> Reply {
    let Some(model) = body.get("model").and_then(Value::as_str) else {
        return error(400, "invalid request: model is required.");
    };
    if headers.get("authorization").is_none() {
        return error(401, "no api key supplied");
    }
    let cap = body.get("max_tokens").and_then(Value::as_u64);
    let prompt = prompt_of(body, &["messages", "tools", "documents"]);
    let script = Script::write(&Ask { shared, headers, model, prompt, cap });
    if let Some(super::Fault::Status(status)) = script.fault {
        return error(status, "refused on purpose");
    }
    if body.get("stream").and_then(Value::as_bool).unwrap_or_default() {
        return streamed(&script);
    }
    let content = json!([{ "type": "text", "text": script.text() }]);
    Reply::answer(
        &script,
        &json!({
            "id": script.id, "finish_reason": finish_reason(&script), "usage": usage(&script),
            "message": { "role": "assistant", "content": content },
        }),
    )
}

fn finish_reason(script: &Script) -> &'static str {
    if script.capped { "MAX_TOKENS" } else { "COMPLETE" }
}

/// What was processed, and beside it what is billed: the preamble of Cohere's own is not.
fn usage(script: &Script) -> Value {
    let (input, output) = (script.usage.all_input(), script.usage.output);
    json!({
        "billed_units": { "input_tokens": input / 2, "output_tokens": output },
        "tokens": { "input_tokens": input, "output_tokens": output },
        "cached_tokens": script.usage.cache_read,
    })
}

fn streamed(script: &Script) -> Reply {
    let event = |kind: &str, mut data: Value| {
        data["type"] = json!(kind);
        named_event(kind, &data)
    };
    let message =
        json!({ "role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": [] });
    let empty = json!({ "message": { "content": { "type": "text", "text": "" } } });
    let mut frames = vec![
        event("message-start", json!({ "id": script.id, "delta": { "message": message } })),
        event("content-start", json!({ "index": 0, "delta": empty })),
    ];
    frames.extend(script.pieces.iter().map(|piece| {
        let delta = json!({ "message": { "content": { "text": piece } } });
        event("content-delta", json!({ "index": 0, "delta": delta }))
    }));
    frames.push(event("content-end", json!({ "index": 0 })));
    let end = json!({ "finish_reason": finish_reason(script), "usage": usage(script) });
    frames.push(event("message-end", json!({ "delta": end })));
    frames.push(Bytes::from_static(b"data: [DONE]\n\n"));
    // The API tells a failure in the end of the message.
    let failure = json!({ "delta": { "finish_reason": "ERROR", "error": "refused on purpose" } });
    Reply::events(script, frames, event("message-end", failure))
}
