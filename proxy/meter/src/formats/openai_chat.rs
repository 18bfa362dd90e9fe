//! OpenAI chat/completions, completions and embeddings, and everything compatible with them.
//!
//! Sources: openai-python `completion_usage.py`, the providers' references, and recordings of 20 of them. Cached tokens
//! are part of `prompt_tokens`. Invariants: a later usage object replaces an earlier one whole and is never added to it
//! (Groq sends the same numbers twice, Perplexity on every chunk); an object of zeros replaces nothing; the total is
//! the largest of what is stated and what adds up, because two providers leave tokens out of the parts (xAI's reasoning,
//! Mistral's audio).

use super::counts::{Counts, Number, usage_at};
use super::{Ending, Outcome, Reading, TOOL_CALL, keep_first, sum, text_of, tokens_of, with_output};
use crate::scan::json::{JsonSink, Selector, Take, Value};
use hudson_schema::Usage;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Id,
    Model,
    FinishReason,
    Error,
    /// The id of a tool call that begins.
    Tool,
    /// A piece of generated text.
    Output,
    Count(Place, Number),
}

/// Where a usage object stands; a later one is only used when no earlier one has numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Top,
    /// `x_groq.usage`: alone on older streams, beside `usage` with the same numbers on newer ones.
    Groq,
    /// `choices[].usage`: Moonshot.
    Choice,
}

const NAMES: &[(&str, Number)] = &[
    ("prompt_tokens", Number::Input),
    ("completion_tokens", Number::Output),
    // The names of the newer OpenAI formats, which some compatible servers use here too.
    ("input_tokens", Number::Input),
    ("output_tokens", Number::Output),
    ("total_tokens", Number::Total),
    ("prompt_tokens_details.cached_tokens", Number::CacheRead),
    ("prompt_tokens_details.cache_write_tokens", Number::CacheWrite),
    // Hugging Face and Together; DeepSeek; Venice.
    ("cached_tokens", Number::CacheRead),
    ("prompt_cache_hit_tokens", Number::CacheRead),
    ("cache_read_input_tokens", Number::CacheRead),
    ("completion_tokens_details.reasoning_tokens", Number::Reasoning),
    ("reasoning_tokens", Number::Reasoning),
];

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    let plain = [
        ("id", Field::Id, Take::Value),
        ("model", Field::Model, Take::Value),
        ("error", Field::Error, Take::Value),
        ("choices.*.finish_reason", Field::FinishReason, Take::Value),
        ("choices.*.text", Field::Output, Take::Size),
        ("choices.*.delta.content", Field::Output, Take::Size),
        ("choices.*.delta.refusal", Field::Output, Take::Size),
        ("choices.*.delta.reasoning", Field::Output, Take::Size),
        ("choices.*.delta.reasoning_content", Field::Output, Take::Size),
        ("choices.*.delta.function_call", Field::Output, Take::Size),
        ("choices.*.delta.tool_calls.*.id", Field::Tool, Take::Value),
        ("choices.*.delta.tool_calls.*.function", Field::Output, Take::Size),
        ("choices.*.delta.tool_calls.*.custom", Field::Output, Take::Size),
    ];
    let places = [("usage", Place::Top), ("x_groq.usage", Place::Groq), ("choices.*.usage", Place::Choice)];
    let usage = places.map(|(path, place)| usage_at(path, NAMES, |number| Field::Count(place, number)));
    Selector::new(plain.into_iter().chain(usage.into_iter().flatten()))
});

#[derive(Debug, Default)]
pub(super) struct OpenaiChat {
    usage: Option<Usage>,
    /// The numbers came with or after a finish reason.
    usage_is_final: bool,
    model: Option<String>,
    id: Option<String>,
    event: Event,
    live: u64,
    finish_reason: bool,
    done: bool,
    failed: bool,
}

#[derive(Debug, Default)]
struct Event {
    finish_reason: bool,
    error: bool,
    /// A number stood in one of the objects, as in few events.
    counted: bool,
    /// The objects by their [`Place`].
    top: Counts,
    groq: Counts,
    choice: Counts,
}

impl JsonSink for OpenaiChat {
    type Field = Field;

    fn value(&mut self, field: Field, value: Value<'_>) {
        match field {
            Field::Id => keep_first(&mut self.id, value),
            Field::Model => keep_first(&mut self.model, value),
            Field::FinishReason => self.event.finish_reason |= text_of(value).is_some(),
            Field::Error => self.event.error |= text_of(value).is_some(),
            Field::Count(place, number) => {
                self.event.counted = true;
                let counts = match place {
                    Place::Top => &mut self.event.top,
                    Place::Groq => &mut self.event.groq,
                    Place::Choice => &mut self.event.choice,
                };
                counts.set(number, value);
            }
            Field::Tool if text_of(value).is_some() => self.live = self.live.saturating_add(TOOL_CALL),
            Field::Tool | Field::Output => {}
        }
    }

    fn open(&mut self, field: Field) {
        self.event.error |= matches!(field, Field::Error);
    }

    fn close(&mut self, _field: Field) {}

    fn size(&mut self, _field: Field, bytes: usize) {
        self.live = self.live.saturating_add(bytes as u64);
    }

    fn document(&mut self) {
        self.finish_reason |= std::mem::take(&mut self.event.finish_reason);
        self.failed |= std::mem::take(&mut self.event.error);
        if !self.event.counted {
            return;
        }
        let event = std::mem::take(&mut self.event);
        let found = [event.top, event.groq, event.choice].iter().find_map(usage);
        let Some(found) = found else { return };
        if found.total > 0 || self.usage.is_none() {
            self.usage = Some(found);
            self.usage_is_final = self.finish_reason;
        }
    }

    fn all_documents(&mut self) {}
}

impl Reading for OpenaiChat {
    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn done(&mut self) {
        self.done = true;
    }

    fn discard(&mut self) {
        self.event = Event::default();
    }

    fn live_output(&self) -> u64 {
        self.usage.map_or(0, |usage| usage.output).max(tokens_of(self.live))
    }

    fn conclude(&mut self, ending: Ending) -> Outcome {
        let exact = self.usage.is_some()
            && match ending.events {
                true => self.done || self.usage_is_final || (ending.complete && self.finish_reason),
                false => ending.complete,
            };
        let live = tokens_of(self.live);
        let usage = self.usage.map(|usage| match exact {
            true => usage,
            // Numbers from the middle of a stream: the text since then may be more.
            false => with_output(usage, live),
        });
        Outcome {
            usage,
            billed: None,
            exact,
            finished: self.done || self.failed || (!ending.events && ending.complete),
            model: self.model.take(),
            response_id: self.id.take(),
            stream: ending.events,
            fault: None,
        }
    }
}

/// The usage that an object states. xAI counts reasoning beside the completion and inside the total.
fn usage(counts: &Counts) -> Option<Usage> {
    let usage = counts.inclusive()?;
    let beside = sum(&[usage.input, usage.output, usage.reasoning]);
    let output = match counts.stated() == beside {
        true => usage.output.saturating_add(usage.reasoning),
        false => usage.output,
    };
    Some(Usage { output, ..usage })
}

#[cfg(test)]
mod tests;
