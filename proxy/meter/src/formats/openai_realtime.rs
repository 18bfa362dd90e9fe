//! OpenAI Realtime (a WebSocket to `/v1/realtime`), and xAI's, as JSON messages in a row.
//!
//! Sources: openai-python `types/realtime/response_done_event.py`, `realtime_response_usage.py`,
//! `realtime_response_create_audio_output.py`, and recordings of xAI, which states the usage beside `response` and leaves
//! `response.usage` an empty object. Each `response.done` is an answer of its own, and all of them are added up; so is the
//! transcription of what was heard, which another model does. An `error` is about one message of the client and ends
//! nothing.
//!
//! Audio comes as base64. OpenAI counts a token for each 50 ms that is spoken, which is 3,200 base64 bytes of PCM at
//! 24 kHz and 533 of G.711; a quarter less is taken here, so that the count leans high.

use super::answers::{Field, Kind, Plan};
use super::counts::{Number, usage_at};
use crate::scan::json::{Selector, Take};
use std::sync::LazyLock;

/// Base64 bytes of PCM for one token.
const PCM: u64 = 2_400;

/// Here the details are named after one token.
const NAMES: &[(&str, Number)] = &[
    ("input_tokens", Number::Input),
    ("output_tokens", Number::Output),
    ("total_tokens", Number::Total),
    ("input_token_details.cached_tokens", Number::CacheRead),
    ("output_token_details.reasoning_tokens", Number::Reasoning),
];

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    let plain = [
        ("type", Field::Kind, Take::Value),
        ("session.model", Field::Model, Take::Value),
        ("session.audio.output.format.type", Field::AudioFormat, Take::Value),
        ("session.output_audio_format", Field::AudioFormat, Take::Value),
        ("response.audio.output.format.type", Field::AudioFormat, Take::Value),
        ("response.output_audio_format", Field::AudioFormat, Take::Value),
        ("response.id", Field::Id, Take::Value),
        ("response.model", Field::Model, Take::Value),
        ("delta", Field::Output, Take::Size),
    ];
    let usage = ["response.usage", "usage"].map(|place| usage_at(place, NAMES, Field::Count));
    Selector::new(plain.into_iter().chain(usage.into_iter().flatten()))
});

#[derive(Debug, Default)]
pub(super) struct OpenaiRealtime;

impl Plan for OpenaiRealtime {
    const AUDIO: u64 = 400;
    const EACH: bool = true;

    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn kind(name: &str) -> Kind {
        match name {
            "response.created" => Kind::Begin,
            "response.done" => Kind::End,
            "response.output_audio.delta" | "response.audio.delta" => Kind::Audio,
            "response.output_item.added" => Kind::Tool,
            "conversation.item.input_audio_transcription.completed" => Kind::Side,
            // Their model is the session's.
            "session.created" | "session.updated" => Kind::About,
            // What was heard is no output; its transcription is stated when it is complete.
            "conversation.item.input_audio_transcription.delta" => Kind::Aside,
            _ => Kind::Part,
        }
    }

    fn audio(format: &str) -> u64 {
        if format.contains("pcm16") || format == "audio/pcm" { PCM } else { Self::AUDIO }
    }
}

#[cfg(test)]
mod tests;
