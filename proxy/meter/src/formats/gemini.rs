//! Gemini `generateContent` and `streamGenerateContent`, on generativelanguage, Vertex and Code Assist.
//!
//! Sources: the API's discovery document (`UsageMetadata`), and recordings. Cached tokens are part of the prompt;
//! thoughts and tool-use prompts stand beside candidates and prompt. Invariants: each chunk's `usageMetadata` is a
//! whole, cumulative snapshot, so the last one wins and no member is carried over; it is read to the end of the body,
//! because chunks follow the first finish reason; on a body that broke off the largest numbers count, since snapshots
//! may fall again.

use super::counts::{Counts, Number, usage_at};
use super::{Ending, Outcome, Reading, keep_first, sum, text_of, tokens_of};
use crate::scan::json::{JsonSink, Selector, Take, Value};
use hudson_schema::Usage;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Id,
    Model,
    /// A finish or block reason.
    Reason,
    Error,
    Output,
    Count(Number),
}

const NAMES: &[(&str, Number)] = &[
    ("promptTokenCount", Number::Input),
    ("candidatesTokenCount", Number::Output),
    // The Live API's name for the same.
    ("responseTokenCount", Number::Output),
    ("thoughtsTokenCount", Number::Reasoning),
    ("toolUsePromptTokenCount", Number::ToolUse),
    ("cachedContentTokenCount", Number::CacheRead),
    ("totalTokenCount", Number::Total),
];

macro_rules! response_at {
    ($prefix:literal) => {
        [
            (concat!($prefix, "responseId"), Field::Id, Take::Value),
            (concat!($prefix, "modelVersion"), Field::Model, Take::Value),
            (concat!($prefix, "error"), Field::Error, Take::Value),
            (concat!($prefix, "candidates.*.finishReason"), Field::Reason, Take::Value),
            (concat!($prefix, "promptFeedback.blockReason"), Field::Reason, Take::Value),
            (concat!($prefix, "candidates.*.content.parts.*.text"), Field::Output, Take::Size),
            (concat!($prefix, "candidates.*.content.parts.*.functionCall"), Field::Output, Take::Size),
            (concat!($prefix, "candidates.*.content.parts.*.executableCode"), Field::Output, Take::Size),
        ]
    };
}

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    // Code Assist (cloudcode-pa.googleapis.com) wraps each chunk in `response`.
    let plain = response_at!("").into_iter().chain(response_at!("response."));
    let usage = ["usageMetadata", "response.usageMetadata"].map(|place| usage_at(place, NAMES, Field::Count));
    Selector::new(plain.chain(usage.into_iter().flatten()))
});

#[derive(Debug, Default)]
pub(super) struct Gemini {
    last: Option<Usage>,
    most: Option<Usage>,
    model: Option<String>,
    id: Option<String>,
    event: Event,
    live: u64,
    reason: bool,
    failed: bool,
    /// The array around the chunks was closed.
    array: bool,
}

#[derive(Debug, Default)]
struct Event {
    reason: bool,
    error: bool,
    counts: Counts,
}

impl JsonSink for Gemini {
    type Field = Field;

    fn value(&mut self, field: Field, value: Value<'_>) {
        let event = &mut self.event;
        match field {
            Field::Id => keep_first(&mut self.id, value),
            Field::Model => keep_first(&mut self.model, value),
            Field::Reason => event.reason |= text_of(value).is_some(),
            Field::Count(number) => event.counts.set(number, value),
            Field::Error | Field::Output => {}
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
        let event = std::mem::take(&mut self.event);
        self.reason |= event.reason;
        self.failed |= event.error;
        // A snapshot without numbers (`{"trafficType": …}`) is none.
        if let Some(usage) = event.counts.with_thoughts_beside().filter(|usage| usage.total > 0) {
            self.last = Some(usage);
            self.most = Some(self.most.map_or(usage, |most| largest(most, usage)));
        }
    }

    fn all_documents(&mut self) {
        self.array = true;
    }
}

impl Reading for Gemini {
    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn discard(&mut self) {
        self.event = Event::default();
    }

    fn live_output(&self) -> u64 {
        self.most.map_or(0, |most| most.output).max(tokens_of(self.live))
    }

    fn conclude(&mut self, ending: Ending) -> Outcome {
        let ended = self.reason && !self.failed;
        let exact = self.last.is_some() && ending.complete && ended;
        let usage = match exact {
            true => self.last,
            false => self.most.map(|most| {
                let output = self.live_output();
                Usage { output, total: most.total.max(sum(&[most.input, output])), ..most }
            }),
        };
        Outcome {
            usage,
            billed: None,
            exact,
            finished: self.failed || (self.reason && ending.complete),
            model: self.model.take(),
            response_id: self.id.take(),
            stream: ending.events || self.array,
            fault: None,
        }
    }
}

/// The larger of each number.
fn largest(one: Usage, other: Usage) -> Usage {
    Usage {
        input: one.input.max(other.input),
        output: one.output.max(other.output),
        cache_read: one.cache_read.max(other.cache_read),
        cache_write: one.cache_write.max(other.cache_write),
        reasoning: one.reasoning.max(other.reasoning),
        total: one.total.max(other.total),
    }
}

#[cfg(test)]
mod tests;
