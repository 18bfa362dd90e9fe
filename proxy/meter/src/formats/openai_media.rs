//! OpenAI images (`POST /v1/images/…`) and audio (`POST /v1/audio/…`).
//!
//! Sources: openai-python `images_response.py`, `image_gen_completed_event.py`, `image_edit_completed_event.py`,
//! `audio/transcription.py`, `transcription_text_done_event.py`, and the API reference's `speech.audio.done`. All state
//! `usage` at the top, of the JSON answer or of the last event. Each completed image is an answer of its own.
//!
//! A transcription by a model that is priced by the minute states `{"type":"duration","seconds":…}`: no tokens, so
//! nothing is stated and the report is not exact. The same holds for pictures of models that are priced by the piece,
//! for speech as plain audio and for transcriptions as plain text, which have no place for usage.

use super::answers::{Field, Kind, Plan};
use super::counts::{Number, usage_at};
use crate::scan::json::{Selector, Take};
use std::sync::LazyLock;

/// Transcriptions name the details after one token, pictures after all of them. Cached input is stated nowhere.
const NAMES: &[(&str, Number)] = &[
    ("input_tokens", Number::Input),
    ("output_tokens", Number::Output),
    ("total_tokens", Number::Total),
    ("input_tokens_details.cached_tokens", Number::CacheRead),
    ("input_token_details.cached_tokens", Number::CacheRead),
    ("output_tokens_details.reasoning_tokens", Number::Reasoning),
];

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    let plain = [
        ("type", Field::Kind, Take::Value),
        ("error", Field::Error, Take::Value),
        ("model", Field::Model, Take::Value),
        // The text of a transcription in pieces, and speech as base64.
        ("delta", Field::Output, Take::Size),
        ("audio", Field::Output, Take::Size),
    ];
    Selector::new(plain.into_iter().chain(usage_at("usage", NAMES, Field::Count)))
});

#[derive(Debug, Default)]
pub(super) struct OpenaiImages;

#[derive(Debug, Default)]
pub(super) struct OpenaiAudio;

impl Plan for OpenaiImages {
    const EACH: bool = true;

    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn kind(name: &str) -> Kind {
        match name {
            "image_generation.completed" | "image_edit.completed" => Kind::End,
            "image_generation.partial_image" | "image_edit.partial_image" => Kind::Image,
            "error" => Kind::Error,
            _ => Kind::Part,
        }
    }
}

impl Plan for OpenaiAudio {
    /// Speech is about 21 tokens a second. The event does not name its coding: this is Opus at 32 kbit/s, the smallest
    /// that is offered, so that every other one is counted high.
    const AUDIO: u64 = 256;

    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn kind(name: &str) -> Kind {
        match name {
            "transcript.text.done" | "speech.audio.done" => Kind::End,
            "speech.audio.delta" => Kind::Audio,
            "error" => Kind::Error,
            _ => Kind::Part,
        }
    }
}

#[cfg(test)]
mod tests;
