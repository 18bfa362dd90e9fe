//! OpenAI chat/completions, completions and embeddings, and everything compatible with them.
//!
//! Sources: openai-python `completion_usage.py`, the providers' references, and recordings of 20 of them. Cached tokens
//! are part of `prompt_tokens`. Invariants: a later usage object replaces an earlier one whole and is never added to it
//! (Groq sends the same numbers twice, Perplexity on every chunk); an object of zeros replaces nothing; the total is
//! the largest of what is stated and what adds up, because two providers leave tokens out of the parts (xAI's reasoning,
//! Mistral's audio).

use super::{Ending, Outcome, Reading, TOOL_CALL, count, keep_first, sum, text_of, tokens_of};
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
    Usage(Place),
    Count(Number),
}

/// Where a usage object stands; a later variant is only used when no earlier one has numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Top,
    /// `x_groq.usage`: alone on older streams, beside `usage` with the same numbers on newer ones.
    Groq,
    /// `choices[].usage`: Moonshot.
    Choice,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Prompt,
    Completion,
    Total,
    Cached,
    CachedFlat,
    CacheWrite,
    Reasoning,
    ReasoningFlat,
}

/// The members of a usage object.
macro_rules! usage_at {
    ($prefix:literal, $place:expr) => {
        [
            ($prefix, Field::Usage($place), Take::Value),
            (concat!($prefix, ".prompt_tokens"), Field::Count(Number::Prompt), Take::Value),
            (concat!($prefix, ".completion_tokens"), Field::Count(Number::Completion), Take::Value),
            // The names of the newer OpenAI formats, which some compatible servers use here too.
            (concat!($prefix, ".input_tokens"), Field::Count(Number::Prompt), Take::Value),
            (concat!($prefix, ".output_tokens"), Field::Count(Number::Completion), Take::Value),
            (concat!($prefix, ".total_tokens"), Field::Count(Number::Total), Take::Value),
            (
                concat!($prefix, ".prompt_tokens_details.cached_tokens"),
                Field::Count(Number::Cached),
                Take::Value,
            ),
            (
                concat!($prefix, ".prompt_tokens_details.cache_write_tokens"),
                Field::Count(Number::CacheWrite),
                Take::Value,
            ),
            // Hugging Face and Together; DeepSeek; Venice.
            (concat!($prefix, ".cached_tokens"), Field::Count(Number::CachedFlat), Take::Value),
            (concat!($prefix, ".prompt_cache_hit_tokens"), Field::Count(Number::CachedFlat), Take::Value),
            (concat!($prefix, ".cache_read_input_tokens"), Field::Count(Number::CachedFlat), Take::Value),
            (
                concat!($prefix, ".completion_tokens_details.reasoning_tokens"),
                Field::Count(Number::Reasoning),
                Take::Value,
            ),
            (concat!($prefix, ".reasoning_tokens"), Field::Count(Number::ReasoningFlat), Take::Value),
        ]
    };
}

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
    let usage = [
        usage_at!("usage", Place::Top),
        usage_at!("x_groq.usage", Place::Groq),
        usage_at!("choices.*.usage", Place::Choice),
    ];
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
    /// The objects by their [`Place`].
    top: Numbers,
    groq: Numbers,
    choice: Numbers,
    place: Option<Place>,
}

/// One usage object.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    cached_flat: Option<u64>,
    cache_write: Option<u64>,
    reasoning: Option<u64>,
    reasoning_flat: Option<u64>,
}

impl JsonSink for OpenaiChat {
    type Field = Field;

    fn value(&mut self, field: Field, value: Value<'_>) {
        match field {
            Field::Id => keep_first(&mut self.id, value),
            Field::Model => keep_first(&mut self.model, value),
            Field::FinishReason => self.event.finish_reason |= text_of(value).is_some(),
            Field::Error => self.event.error |= text_of(value).is_some(),
            Field::Count(number) => {
                let slot = self.event.numbers().slot(number);
                *slot = count(value).or(*slot);
            }
            Field::Tool if text_of(value).is_some() => self.live = self.live.saturating_add(TOOL_CALL),
            Field::Usage(_) | Field::Tool | Field::Output => {}
        }
    }

    fn open(&mut self, field: Field) {
        match field {
            Field::Usage(place) => self.event.place = Some(place),
            Field::Error => self.event.error = true,
            _ => {}
        }
    }

    fn close(&mut self, _field: Field) {}

    fn size(&mut self, _field: Field, bytes: usize) {
        self.live = self.live.saturating_add(bytes as u64);
    }

    fn document(&mut self) {
        let event = std::mem::take(&mut self.event);
        self.finish_reason |= event.finish_reason;
        self.failed |= event.error;
        let found = [event.top, event.groq, event.choice].iter().find_map(Numbers::usage);
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
            false => {
                let output = usage.output.max(live);
                let more = output - usage.output;
                Usage { output, total: usage.total.saturating_add(more), ..usage }
            }
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

impl Event {
    fn numbers(&mut self) -> &mut Numbers {
        match self.place {
            Some(Place::Groq) => &mut self.groq,
            Some(Place::Choice) => &mut self.choice,
            _ => &mut self.top,
        }
    }
}

impl Numbers {
    fn slot(&mut self, number: Number) -> &mut Option<u64> {
        match number {
            Number::Prompt => &mut self.prompt,
            Number::Completion => &mut self.completion,
            Number::Total => &mut self.total,
            Number::Cached => &mut self.cached,
            Number::CachedFlat => &mut self.cached_flat,
            Number::CacheWrite => &mut self.cache_write,
            Number::Reasoning => &mut self.reasoning,
            Number::ReasoningFlat => &mut self.reasoning_flat,
        }
    }

    /// The usage these numbers state, if they state any.
    fn usage(&self) -> Option<Usage> {
        self.prompt.or(self.completion).or(self.total)?;
        let input = self.prompt.unwrap_or(0);
        let reasoning = self.reasoning.or(self.reasoning_flat).unwrap_or(0);
        let mut output = self.completion.unwrap_or(0);
        let stated = self.total.unwrap_or(0);
        // xAI counts reasoning beside the completion and inside the total.
        if reasoning > 0 && stated > sum(&[input, output]) && stated == sum(&[input, output, reasoning]) {
            output = output.saturating_add(reasoning);
        }
        Some(Usage {
            input,
            output,
            cache_read: self.cached.or(self.cached_flat).unwrap_or(0),
            cache_write: self.cache_write.unwrap_or(0),
            reasoning,
            total: stated.max(sum(&[input, output])),
        })
    }
}

#[cfg(test)]
mod tests;
