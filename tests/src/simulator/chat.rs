//! OpenAI chat completions and the older completions: `POST /v1/chat/completions`, `POST /v1/completions`. Mistral and Groq
//! answer in the same shape and tell the usage of a stream in its last chunk, asked or not.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::Shared;
use super::delivery::{Reply, data_event};
use super::script::{Ask, Script, Usage, prompt_of};

/// Which of the two endpoints; they differ in how a choice looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Chat,
    Plain,
}

/// Where a stream tells its usage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// In a chunk of its own behind the last one, when asked for.
    Asked(bool),
    /// Mistral: in the last chunk.
    Last,
    /// Groq: in the last chunk, under a name of its own.
    Groq,
}

/// An error as OpenAI's APIs shape it.
pub(super) fn error(status: u16, code: &str, message: &str) -> Reply {
    let kind = if status < 500 { "invalid_request_error" } else { "server_error" };
    Reply::json(
        status,
        &json!({ "error": { "message": message, "type": kind, "param": null, "code": code } }),
    )
}

/// Refuses a call without a credential, as the real API does.
pub(super) fn unauthorized(headers: &HeaderMap) -> Option<Reply> {
    let missing = headers.get("authorization").is_none();
    missing.then(|| error(401, "invalid_api_key", "You didn't provide an API key."))
}

/// Answers a completion request of either kind.
pub(super) fn completions(
    endpoint: Endpoint,
    host: &str,
    body: &Value,
    headers: &HeaderMap,
    shared: &Arc<Shared>,
) -> Reply {
    if let Some(refused) = unauthorized(headers) {
        return refused;
    }
    let Some(model) = body.get("model").and_then(Value::as_str) else {
        return error(400, "missing_required_parameter", "Missing required parameter: 'model'.");
    };
    let cap = ["max_completion_tokens", "max_tokens"].iter().find_map(|key| body.get(key)?.as_u64());
    let prompt = prompt_of(body, &["messages", "prompt", "tools"]);
    let script = Script::write(&Ask { shared, headers, model, prompt, cap });
    if let Some(super::Fault::Status(status)) = script.fault {
        return error(status, "refused_on_purpose", "refused on purpose");
    }
    let flag = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or_default();
    let options = body.get("stream_options");
    if flag(body.get("stream")) {
        let asked = flag(options.and_then(|options| options.get("include_usage")));
        let told = match host {
            "api.mistral.ai" => Told::Last,
            "api.groq.com" => Told::Groq,
            _ => Told::Asked(asked),
        };
        streamed(endpoint, &script, told)
    } else {
        whole(endpoint, &script)
    }
}

fn finish_reason(script: &Script) -> &'static str {
    if script.capped { "length" } else { "stop" }
}

/// OpenAI counts what the cache covers inside the prompt.
fn usage_json(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.all_input(),
        "completion_tokens": usage.output,
        "total_tokens": usage.total(),
        "prompt_tokens_details": { "cached_tokens": usage.cache_read, "audio_tokens": 0 },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

fn envelope(endpoint: Endpoint, script: &Script, stream: bool) -> Value {
    let (prefix, object) = match (endpoint, stream) {
        (Endpoint::Chat, true) => ("chatcmpl", "chat.completion.chunk"),
        (Endpoint::Chat, false) => ("chatcmpl", "chat.completion"),
        (Endpoint::Plain, _) => ("cmpl", "text_completion"),
    };
    json!({
        "id": format!("{prefix}-{}", script.id),
        "object": object,
        "created": script.created,
        "model": script.model,
        "service_tier": "default",
        "system_fingerprint": "fp_sim",
    })
}

fn whole(endpoint: Endpoint, script: &Script) -> Reply {
    let mut body = envelope(endpoint, script, false);
    let reason = finish_reason(script);
    let text = script.text();
    body["choices"] = match endpoint {
        Endpoint::Chat => json!([{ "index": 0, "logprobs": null, "finish_reason": reason,
            "message": { "role": "assistant", "content": text, "refusal": null, "annotations": [] } }]),
        Endpoint::Plain => json!([{ "index": 0, "logprobs": null, "finish_reason": reason, "text": text }]),
    };
    body["usage"] = usage_json(script.usage);
    Reply::answer(script, &body)
}

fn streamed(endpoint: Endpoint, script: &Script, told: Told) -> Reply {
    let chunk = |choices: Value, usage: Value| -> Bytes {
        let mut chunk = envelope(endpoint, script, true);
        chunk["choices"] = choices;
        match (told, usage.is_object()) {
            (Told::Asked(true), _) | (Told::Last, true) => chunk["usage"] = usage,
            (Told::Groq, true) => chunk["x_groq"] = json!({ "id": "req_sim", "usage": usage }),
            _ => {}
        }
        data_event(&chunk.to_string())
    };
    let last = match told {
        Told::Asked(_) => Value::Null,
        Told::Last | Told::Groq => usage_json(script.usage),
    };
    let usage_of = |reason: &Value| if reason.is_null() { Value::Null } else { last.clone() };
    let chat = |delta: Value, reason: Value| {
        let usage = usage_of(&reason);
        chunk(json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason }]), usage)
    };
    let plain = |text: &str, reason: Value| {
        let usage = usage_of(&reason);
        chunk(json!([{ "index": 0, "text": text, "logprobs": null, "finish_reason": reason }]), usage)
    };
    let mut frames = Vec::new();
    match endpoint {
        Endpoint::Chat => {
            frames.push(chat(json!({ "role": "assistant", "content": "", "refusal": null }), Value::Null));
            frames.extend(script.pieces.iter().map(|piece| chat(json!({ "content": piece }), Value::Null)));
            frames.push(chat(json!({}), json!(finish_reason(script))));
        }
        Endpoint::Plain => {
            frames.extend(script.pieces.iter().map(|piece| plain(piece, Value::Null)));
            frames.push(plain("", json!(finish_reason(script))));
        }
    }
    if told == Told::Asked(true) {
        frames.push(chunk(json!([]), usage_json(script.usage)));
    }
    frames.push(data_event("[DONE]"));
    let failure = json!({ "error": { "message": "The server had an error.", "type": "server_error",
        "param": null, "code": null } });
    Reply::events(script, frames, data_event(&failure.to_string()))
}
