//! OpenAI Realtime over a WebSocket (`wss://api.openai.com/v1/realtime?model=…`): a session with its conversation,
//! responses that are asked for, and those that the server begins by itself when it hears that somebody has spoken.
//!
//! Somebody speaks in an append of audio that is not all zeroes, and has stopped in one that is. `metadata.sim` of a
//! `response.create` names the numbers and faults of that response as the model's name does elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use http::request::Parts;
use serde_json::{Value, json};
use tungstenite::Message;

use super::Shared;
use super::script::{Ask, Fault, Script, Usage};
use super::socket::{BEFORE_BREAK, Socket, say};

/// What transcribing one turn uses.
const TRANSCRIPT: Usage = Usage { input: 13, output: 4, cache_read: 0, cache_write: 0, reasoning: 0 };
/// Base64 of PCM in each delta of a spoken response, per token.
const AUDIO: usize = 3200;

/// One session.
struct Session {
    parts: Parts,
    shared: Arc<Shared>,
    model: String,
    terms: Value,
    /// Whether unanswered speech is in the buffer.
    spoken: bool,
    items: usize,
    responses: Vec<Response>,
}

/// A response under way.
struct Response {
    id: String,
    script: Script,
    entry: Option<usize>,
    /// It belongs to the conversation.
    within: bool,
    messages: VecDeque<Value>,
    sent: usize,
}

/// Holds the session until one side ends it.
pub(super) async fn converse(mut socket: Socket, parts: Parts, shared: Arc<Shared>) -> anyhow::Result<()> {
    let query = parts.uri.query().unwrap_or_default();
    let model =
        query.split('&').find_map(|pair| pair.strip_prefix("model=")).unwrap_or("gpt-realtime").to_owned();
    let pcm = json!({ "type": "audio/pcm", "rate": 24000 });
    let detection = json!({ "type": "server_vad", "create_response": true, "interrupt_response": true });
    let terms = json!({
        "type": "realtime", "object": "realtime.session", "id": "sess_sim", "model": model,
        "output_modalities": ["audio"], "instructions": "You are a simulation.", "tools": [],
        "max_output_tokens": "inf", "truncation": "auto", "prompt": null,
        "audio": {
            "input": { "format": pcm, "transcription": null, "turn_detection": detection },
            "output": { "format": pcm, "voice": "marin" },
        },
    });
    let mut session = Session { parts, shared, model, terms, spoken: false, items: 0, responses: Vec::new() };
    say(&mut socket, &json!({ "type": "session.created", "event_id": "event_0", "session": session.terms }))
        .await?;
    loop {
        let heard = match session.responses.is_empty() {
            true => Some(socket.next().await),
            false => socket.next().now_or_never(),
        };
        match heard {
            None => {}
            Some(Some(Ok(Message::Text(text)))) => {
                let told = match serde_json::from_str::<Value>(&text) {
                    Ok(message) => session.hear(&message, text.len()),
                    Err(_) => vec![wrong(None, "invalid_json", "The message is no JSON.")],
                };
                for message in told {
                    say(&mut socket, &message).await?;
                }
                continue;
            }
            Some(Some(Ok(Message::Close(_)) | Err(_)) | None) => return Ok(()),
            Some(Some(Ok(_))) => continue,
        }
        if !session.go_on(&mut socket).await? {
            return Ok(());
        }
    }
}

impl Session {
    /// Answers a message, but for what a response says.
    fn hear(&mut self, message: &Value, length: usize) -> Vec<Value> {
        let event = message["event_id"].as_str();
        match message["type"].as_str().unwrap_or_default() {
            "session.update" => {
                if let Some(cap) = message["session"]["max_output_tokens"].as_u64().filter(|cap| *cap > 4096)
                {
                    return vec![wrong(event, "invalid_value", &format!("{cap} is more than 4096."))];
                }
                merge(&mut self.terms, &message["session"]);
                vec![json!({ "type": "session.updated", "event_id": "event_1", "session": self.terms })]
            }
            "conversation.item.create" => {
                self.items += 1;
                vec![
                    json!({ "type": "conversation.item.added", "item": { "id": format!("item_{}", self.items) } }),
                ]
            }
            "input_audio_buffer.append" => {
                let silent = message["audio"]
                    .as_str()
                    .unwrap_or_default()
                    .bytes()
                    .all(|byte| byte == b'A' || byte == b'=');
                let turns = &self.terms["audio"]["input"]["turn_detection"];
                let (listens, answers) = (!turns.is_null(), turns["create_response"] != json!(false));
                self.spoken |= !silent;
                if !(silent && self.spoken && listens) {
                    return Vec::new();
                }
                let mut told = vec![json!({ "type": "input_audio_buffer.speech_stopped" })];
                told.extend(self.commit(answers, length));
                told
            }
            "input_audio_buffer.commit" => self.commit(false, length),
            "input_audio_buffer.clear" => {
                self.spoken = false;
                vec![json!({ "type": "input_audio_buffer.cleared" })]
            }
            "response.create" => {
                let within = message["response"]["conversation"] != json!("none");
                if within && self.responses.iter().any(|response| response.within) {
                    let text = "Conversation already has an active response in progress.";
                    return vec![wrong(event, "conversation_already_has_active_response", text)];
                }
                self.begin(message, length, within, false).err().into_iter().collect()
            }
            "response.cancel" => {
                for response in &mut self.responses {
                    response.cancel();
                }
                Vec::new()
            }
            kind => vec![wrong(event, "unknown_event", &format!("Unknown event {kind}."))],
        }
    }

    /// What was heard becomes a turn of the user.
    fn commit(&mut self, answers: bool, length: usize) -> Vec<Value> {
        self.spoken = false;
        self.items += 1;
        let mut told = vec![
            json!({ "type": "input_audio_buffer.committed", "item_id": format!("item_{}", self.items) }),
        ];
        let transcribed = !self.terms["audio"]["input"]["transcription"].is_null();
        if answers {
            told.extend(self.begin(&Value::Null, length, true, transcribed).err());
        } else if transcribed {
            let entry = self.shared.journal.arrived(&self.parts);
            self.shared.journal.update(entry, |entry| {
                (entry.status, entry.stream, entry.complete) = (200, true, true);
                (entry.usage, entry.model) = (Some(TRANSCRIPT), Some(self.model.clone()));
            });
            told.push(transcript());
        }
        told
    }

    fn begin(
        &mut self,
        message: &Value,
        length: usize,
        within: bool,
        transcribed: bool,
    ) -> Result<(), Value> {
        let entry = self.shared.journal.arrived(&self.parts);
        self.shared.journal.body(entry, length, message.to_string().as_bytes());
        let asked = &message["response"];
        let cap = |object: &Value| object["max_output_tokens"].as_u64();
        let cap = cap(asked).or_else(|| cap(&self.terms).filter(|_| asked["max_output_tokens"].is_null()));
        let model = asked["metadata"]["sim"].as_str().unwrap_or(&self.model);
        let prompt = message.to_string();
        let ask = Ask { shared: &self.shared, headers: &self.parts.headers, model, prompt, cap };
        let script = Script::write(&ask);
        if let Some(Fault::Status(status)) = script.fault {
            self.shared.journal.update(entry, |entry| entry.status = status);
            return Err(wrong(message["event_id"].as_str(), "refused_on_purpose", "refused on purpose"));
        }
        self.shared.journal.update(entry, |entry| {
            (entry.status, entry.stream) = (200, true);
            let mut usage = script.usage;
            if transcribed {
                (usage.input, usage.output) =
                    (usage.input + TRANSCRIPT.input, usage.output + TRANSCRIPT.output);
            }
            (entry.usage, entry.model) = (Some(usage), Some(self.model.clone()));
            entry.text = Some(script.text());
        });
        let modalities = match &asked["output_modalities"] {
            Value::Null => self.terms["output_modalities"].clone(),
            own => own.clone(),
        };
        let spoken = modalities == json!(["audio"]);
        let mut response = Response {
            id: format!("resp_{}", script.id),
            script,
            entry,
            within,
            messages: VecDeque::new(),
            sent: 0,
        };
        response.write(spoken, transcribed);
        self.responses.push(response);
        Ok(())
    }

    /// Says the next message of each response; false when the connection is to break.
    async fn go_on(&mut self, socket: &mut Socket) -> anyhow::Result<bool> {
        if !self.shared.options.gap.is_zero() {
            tokio::time::sleep(self.shared.options.gap).await;
        }
        for response in &mut self.responses {
            match response.script.fault {
                Some(Fault::Drop(after)) if response.sent >= after => {
                    tokio::time::sleep(BEFORE_BREAK).await;
                    return Ok(false);
                }
                Some(Fault::Stall(after)) if response.sent == after => {
                    tokio::time::sleep(self.shared.options.stall).await;
                }
                Some(Fault::Error(after)) if response.sent == after => {
                    say(socket, &wrong(None, "server_error", "The server had an error.")).await?;
                }
                _ => {}
            }
            if let Some(message) = response.messages.pop_front() {
                response.sent += 1;
                let text = message.to_string();
                self.shared.journal.sent(response.entry, text.as_bytes());
                if message["type"] == "response.done" {
                    self.shared.journal.update(response.entry, |entry| entry.complete = true);
                }
                futures_util::SinkExt::send(socket, Message::text(text)).await?;
            }
        }
        self.responses.retain(|response| !response.messages.is_empty());
        Ok(true)
    }
}

impl Response {
    fn write(&mut self, spoken: bool, transcribed: bool) {
        let about = |status: &str, usage: Value| {
            json!({ "object": "realtime.response", "id": self.id, "status": status, "status_details": null,
                "output": [], "conversation_id": if self.within { json!("conv_sim") } else { Value::Null },
                "audio": { "output": { "format": { "type": "audio/pcm", "rate": 24000 }, "voice": "marin" } },
                "usage": usage })
        };
        let mut messages = VecDeque::new();
        messages
            .push_back(json!({ "type": "response.created", "response": about("in_progress", Value::Null) }));
        if transcribed {
            messages.push_back(transcript());
        }
        let delta = |kind: &str, delta: &str| {
            json!({ "type": kind, "response_id": self.id, "item_id": "item_r", "output_index": 0, "content_index": 0,
                "delta": delta })
        };
        for piece in &self.script.pieces {
            match spoken {
                true => {
                    let tokens = piece.split_whitespace().count().max(1);
                    messages.push_back(delta("response.output_audio.delta", &"A".repeat(AUDIO * tokens)));
                }
                false => messages.push_back(delta("response.output_text.delta", piece)),
            }
        }
        let usage = self.script.usage;
        let told = json!({
            "total_tokens": usage.total(), "input_tokens": usage.all_input(), "output_tokens": usage.output,
            "input_token_details": { "text_tokens": usage.all_input(), "audio_tokens": 0, "cached_tokens": usage.cache_read },
            "output_token_details": { "text_tokens": usage.output, "audio_tokens": 0 },
        });
        let status = if self.script.capped { "incomplete" } else { "completed" };
        messages.push_back(json!({ "type": "response.done", "response": about(status, told) }));
        messages.push_back(json!({ "type": "rate_limits.updated", "rate_limits": [] }));
        self.messages = messages;
    }

    /// Ends it after what was said; its numbers stay.
    fn cancel(&mut self) {
        let begun = if self.sent == 0 { self.messages.pop_front() } else { None };
        let last = self.messages.len().saturating_sub(2);
        let mut ends = self.messages.split_off(last);
        if let Some(done) = ends.front_mut().filter(|done| done["type"] == "response.done") {
            done["response"]["status"] = json!("cancelled");
        }
        self.messages = begun.into_iter().chain(ends).collect();
    }
}

fn transcript() -> Value {
    json!({
        "type": "conversation.item.input_audio_transcription.completed", "item_id": "item_1", "content_index": 0,
        "transcript": "words",
        "usage": { "type": "tokens", "total_tokens": TRANSCRIPT.total(), "input_tokens": TRANSCRIPT.input,
            "output_tokens": TRANSCRIPT.output },
    })
}

/// An error about one message, which ends nothing.
fn wrong(event: Option<&str>, code: &str, message: &str) -> Value {
    let error = json!({ "type": "invalid_request_error", "code": code, "message": message, "param": null, "event_id": event });
    json!({ "type": "error", "event_id": "event_e", "error": error })
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
