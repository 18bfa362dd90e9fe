//! Gemini Interactions: `POST /v1beta/interactions`, streamed or whole. Shapes: google-genai `interactions` and recorded
//! streams.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Value, json};

use super::Shared;
use super::delivery::{Reply, named_event};
use super::gemini::error;
use super::script::{Ask, Script, prompt_of};

/// `POST /v1beta/interactions`.
pub(super) fn create(body: &Value, headers: &HeaderMap, shared: &Arc<Shared>) -> Reply {
    let Some(model) = body.get("model").and_then(Value::as_str) else {
        return error(400, "INVALID_ARGUMENT", "model is required");
    };
    if !["x-goog-api-key", "authorization"].iter().any(|name| headers.contains_key(*name)) {
        return error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.");
    }
    let config = body.get("generation_config");
    let cap = config.and_then(|config| config.get("max_output_tokens")).and_then(Value::as_u64);
    let prompt = prompt_of(body, &["input", "system_instruction", "tools"]);
    let script = Script::write(&Ask { shared, headers, model, prompt, cap });
    if let Some(super::Fault::Status(status)) = script.fault {
        return error(status, "UNAVAILABLE", "refused on purpose");
    }
    match body.get("stream").and_then(Value::as_bool).unwrap_or_default() {
        true => streamed(&script),
        false => {
            let mut whole = completed(&script);
            whole["steps"] = json!([step(&script.text())]);
            Reply::answer(&script, &whole)
        }
    }
}

fn step(text: &str) -> Value {
    json!({ "type": "model_output", "content": [{ "type": "text", "text": text }] })
}

fn interaction(script: &Script, status: &str) -> Value {
    json!({ "id": format!("v1_{}", script.id), "model": script.model, "object": "interaction", "status": status })
}

/// Thoughts stand beside the output, not inside.
fn completed(script: &Script) -> Value {
    let usage = script.usage;
    let mut completed = interaction(script, if script.capped { "incomplete" } else { "completed" });
    completed["usage"] = json!({
        "total_input_tokens": usage.all_input(),
        "total_cached_tokens": usage.cache_read,
        "total_output_tokens": usage.output - usage.reasoning,
        "total_thought_tokens": usage.reasoning,
        "total_tool_use_tokens": 0,
        "total_tokens": usage.total(),
    });
    completed
}

fn streamed(script: &Script) -> Reply {
    let event = |kind: &str, mut data: Value| {
        data["event_type"] = json!(kind);
        named_event(kind, &data)
    };
    let mut frames = vec![
        event("interaction.created", json!({ "interaction": interaction(script, "in_progress") })),
        event("step.start", json!({ "index": 0, "step": { "type": "model_output" } })),
    ];
    frames.extend(
        script.pieces.iter().map(|piece| {
            event("step.delta", json!({ "index": 0, "delta": { "type": "text", "text": piece } }))
        }),
    );
    frames.push(event("step.stop", json!({ "index": 0 })));
    frames.push(event("interaction.completed", json!({ "interaction": completed(script) })));
    frames.push("event: done\ndata: [DONE]\n\n".into());
    let failure = json!({ "error": { "code": "unavailable", "message": "refused on purpose" } });
    Reply::events(script, frames, event("error", failure))
}
