//! OpenAI Responses: `POST /v1/responses` and Codex's own address for it, retrieval by id, and input counting.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Value, json};

use super::chat::{error, unauthorized};
use super::delivery::{Reply, named_event};
use super::script::{Ask, Script, prompt_of};
use super::{Shared, count};

const PROMPT: [&str; 3] = ["instructions", "input", "tools"];

/// What the counting endpoint takes.
const COUNTED: [&str; 11] = [
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "truncation",
    "previous_response_id",
    "conversation",
    "parallel_tool_calls",
];

/// Retrieval knows this many answers; a simulator that serves benchmarks must not grow for ever.
const MOST_STORED: usize = 4096;

/// `POST /v1/responses`.
pub(super) fn create(body: &Value, headers: &HeaderMap, shared: &Arc<Shared>) -> Reply {
    if let Some(refused) = unauthorized(headers) {
        return refused;
    }
    let Some(model) = body.get("model").and_then(Value::as_str) else {
        return error(400, "missing_required_parameter", "Missing required parameter: 'model'.");
    };
    if body.get("stream_options").and_then(|options| options.get("include_usage")).is_some() {
        return error(400, "unknown_parameter", "Unknown parameter: 'stream_options.include_usage'.");
    }
    let script = script(body, headers, model, shared);
    if let Some(super::Fault::Status(status)) = script.fault {
        return error(status, "refused_on_purpose", "refused on purpose");
    }
    let events = Events::new(&script, body);
    let finished = events.finished();
    if body.get("store").and_then(Value::as_bool).unwrap_or(true) {
        let mut stored = shared.stored.lock().expect("no holder panics");
        if stored.len() < MOST_STORED {
            stored.insert(events.id.clone(), finished.clone());
        }
    }
    if body.get("stream").and_then(Value::as_bool).unwrap_or_default() {
        let failure = named_event(
            "error",
            &json!({ "type": "error", "code": "server_error", "message": "The server had an error.",
                "param": null, "sequence_number": 1000 }),
        );
        let frames = events.stream().iter().map(|(kind, event)| named_event(kind, event)).collect();
        Reply::events(&script, frames, failure)
    } else {
        Reply::answer(&script, &finished)
    }
}

fn script(body: &Value, headers: &HeaderMap, model: &str, shared: &Arc<Shared>) -> Script {
    let cap = body.get("max_output_tokens").and_then(Value::as_u64);
    Script::write(&Ask { shared, headers, model, prompt: prompt_of(body, &PROMPT), cap })
}

/// One turn on a WebSocket: its script, and its events as messages. `generate: false` makes everything ready, and costs
/// the input.
pub(super) fn turn(
    body: &Value,
    headers: &HeaderMap,
    shared: &Arc<Shared>,
) -> Result<(Script, Vec<Value>), Value> {
    let Some(model) = body.get("model").and_then(Value::as_str) else {
        return Err(wrong(400, "missing_required_parameter", "Missing required parameter: 'model'."));
    };
    let mut script = script(body, headers, model, shared);
    if let Some(super::Fault::Status(status)) = script.fault {
        return Err(wrong(status, "refused_on_purpose", "refused on purpose"));
    }
    if body.get("generate") == Some(&json!(false)) {
        script.usage.output = 0;
        script.usage.reasoning = 0;
        script.pieces.clear();
    }
    let mut messages: Vec<Value> =
        Events::new(&script, body).stream().into_iter().map(|(_, event)| event).collect();
    if let Some(lane) = body.get("stream_id") {
        messages.iter_mut().for_each(|message| message["stream_id"] = lane.clone());
    }
    Ok((script, messages))
}

/// An error as a message on a WebSocket.
pub(super) fn wrong(status: u16, code: &str, message: &str) -> Value {
    let error = json!({ "type": "invalid_request_error", "code": code, "message": message, "param": null });
    json!({ "type": "error", "status": status, "error": error })
}

/// `GET /v1/responses/{id}`: the same answer and the same usage again.
pub(super) fn retrieve(id: &str, shared: &Arc<Shared>) -> Reply {
    match shared.stored.lock().expect("no holder panics").get(id) {
        Some(found) => Reply::json(200, found),
        None => error(404, "not_found", &format!("Response with id '{id}' not found.")),
    }
}

/// `POST /v1/responses/input_tokens`.
pub(super) fn input_tokens(body: &Value, headers: &HeaderMap, shared: &Arc<Shared>) -> Reply {
    if let Some(refused) = unauthorized(headers) {
        return refused;
    }
    if let Some(name) = count::foreign(body, &COUNTED) {
        return error(400, "unknown_parameter", &format!("Unknown parameter: '{name}'."));
    }
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    let ask = Ask { shared, headers, model, prompt: prompt_of(body, &PROMPT), cap: None };
    let told = |tokens| json!({ "object": "response.input_tokens", "input_tokens": tokens });
    count::answer(&ask, told, |status, why| error(status, "server_error", why))
}

/// Builds the events of one answer in the order the API sends them.
struct Events<'a> {
    script: &'a Script,
    request: &'a Value,
    id: String,
    item: String,
}

impl<'a> Events<'a> {
    fn new(script: &'a Script, request: &'a Value) -> Self {
        let (id, item) = (format!("resp_{}", script.id), format!("msg_{}", script.id));
        Self { script, request, id, item }
    }

    fn part(&self, text: &str) -> Value {
        json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": text })
    }

    fn message(&self, status: &str, content: Value) -> Value {
        json!({ "id": self.item, "type": "message", "status": status, "role": "assistant", "content": content })
    }

    fn response(&self, status: &str, output: Value, usage: Value) -> Value {
        let asked = |key: &str| self.request.get(key).cloned().unwrap_or_default();
        let incomplete = status == "incomplete";
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.script.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": if incomplete { json!({ "reason": "max_output_tokens" }) } else { Value::Null },
            "instructions": asked("instructions"),
            "max_output_tokens": asked("max_output_tokens"),
            "model": self.script.model,
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": { "effort": null, "summary": null },
            "service_tier": "default",
            "store": self.request.get("store").cloned().unwrap_or(json!(true)),
            "temperature": 1.0,
            "text": { "format": { "type": "text" } },
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": usage,
            "metadata": {},
        })
    }

    fn finished(&self) -> Value {
        let usage = self.script.usage;
        let told = json!({
            "input_tokens": usage.all_input(),
            "input_tokens_details": { "cached_tokens": usage.cache_read },
            "output_tokens": usage.output,
            "output_tokens_details": { "reasoning_tokens": usage.reasoning },
            "total_tokens": usage.total(),
        });
        let status = if self.script.capped { "incomplete" } else { "completed" };
        let message = self.message(status, json!([self.part(&self.script.text())]));
        self.response(status, json!([message]), told)
    }

    /// The events of the stream, each with its name.
    fn stream(&self) -> Vec<(&'static str, Value)> {
        let mut sequence = 0;
        let mut events = Vec::new();
        let mut say = |kind: &'static str, mut fields: Value| {
            let mut event = json!({ "type": kind, "sequence_number": sequence });
            if let (Some(event), Some(fields)) = (event.as_object_mut(), fields.as_object_mut()) {
                event.append(fields);
            }
            sequence += 1;
            events.push((kind, event));
        };
        let opened = self.response("in_progress", json!([]), Value::Null);
        say("response.created", json!({ "response": opened }));
        say("response.in_progress", json!({ "response": opened }));
        let empty = self.message("in_progress", json!([]));
        say("response.output_item.added", json!({ "output_index": 0, "item": empty }));
        let place = |mut fields: Value| {
            fields["item_id"] = json!(self.item);
            fields["output_index"] = json!(0);
            fields["content_index"] = json!(0);
            fields
        };
        say("response.content_part.added", place(json!({ "part": self.part("") })));
        for piece in &self.script.pieces {
            say("response.output_text.delta", place(json!({ "delta": piece, "logprobs": [] })));
        }
        let text = self.script.text();
        say("response.output_text.done", place(json!({ "text": text, "logprobs": [] })));
        say("response.content_part.done", place(json!({ "part": self.part(&text) })));
        let finished = self.finished();
        say("response.output_item.done", json!({ "output_index": 0, "item": finished["output"][0] }));
        let last = if self.script.capped { "response.incomplete" } else { "response.completed" };
        say(last, json!({ "response": finished }));
        events
    }
}
