//! Ollama's own API: `POST /api/chat` and `POST /api/generate`, a JSON object a line unless `stream` is false. Shapes:
//! ollama-python `_types.py`.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::Shared;
use super::delivery::Reply;
use super::script::{Ask, Script, prompt_of};

/// Which of the two endpoints; they differ in where the text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Chat,
    Generate,
}

/// Answers a request of either kind. A server of one's own asks for no key.
pub(super) fn call(endpoint: Endpoint, body: &Value, headers: &HeaderMap, shared: &Arc<Shared>) -> Reply {
    let Some(model) = body.get("model").and_then(Value::as_str) else {
        return error(400, "model is required");
    };
    let cap = body.get("options").and_then(|options| options.get("num_predict")).and_then(Value::as_u64);
    let prompt = prompt_of(body, &["messages", "prompt", "system", "tools"]);
    let script = Script::write(&Ask { shared, headers, model, prompt, cap });
    if let Some(super::Fault::Status(status)) = script.fault {
        return error(status, "refused on purpose");
    }
    if !body.get("stream").and_then(Value::as_bool).unwrap_or(true) {
        return Reply::answer(&script, &last(endpoint, &script, &script.text()));
    }
    let line = |part: &Value| Bytes::from(format!("{part}\n"));
    let mut frames: Vec<Bytes> =
        script.pieces.iter().map(|piece| line(&part(endpoint, &script, piece))).collect();
    frames.push(line(&last(endpoint, &script, "")));
    let mut reply = Reply::events(&script, frames, line(&json!({ "error": "refused on purpose" })));
    reply.content_type = "application/x-ndjson";
    reply
}

fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "error": message }))
}

fn part(endpoint: Endpoint, script: &Script, text: &str) -> Value {
    let mut part = json!({ "model": script.model, "created_at": "2026-01-01T00:00:00Z", "done": false });
    match endpoint {
        Endpoint::Chat => part["message"] = json!({ "role": "assistant", "content": text }),
        Endpoint::Generate => part["response"] = json!(text),
    }
    part
}

fn last(endpoint: Endpoint, script: &Script, text: &str) -> Value {
    let mut last = part(endpoint, script, text);
    last["done"] = json!(true);
    last["done_reason"] = json!(if script.capped { "length" } else { "stop" });
    last["total_duration"] = json!(1_000_000);
    last["prompt_eval_count"] = json!(script.usage.all_input());
    last["eval_count"] = json!(script.usage.output);
    last
}
