//! Gemini `generateContent` and `streamGenerateContent`, on generativelanguage, Vertex and Code Assist.
//!
//! Sources: the API's discovery document (`UsageMetadata`), and recordings. Cached tokens are part of the prompt;
//! thoughts and tool-use prompts stand beside candidates and prompt. Invariants: each chunk's `usageMetadata` is a
//! whole, cumulative snapshot, so the last one wins and no member is carried over; it is read to the end of the body,
//! because chunks follow the first finish reason; on a body that broke off the largest numbers count, since snapshots
//! may fall again.

use super::{Ending, Outcome, Reading, count, keep_first, sum, text_of, tokens_of};
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
    Usage,
    Count(Number),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Prompt,
    Candidates,
    Thoughts,
    ToolPrompt,
    Cached,
    Total,
}

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
            (concat!($prefix, "usageMetadata"), Field::Usage, Take::Value),
            (concat!($prefix, "usageMetadata.promptTokenCount"), Field::Count(Number::Prompt), Take::Value),
            (
                concat!($prefix, "usageMetadata.candidatesTokenCount"),
                Field::Count(Number::Candidates),
                Take::Value,
            ),
            // The Live API's name for the same.
            (
                concat!($prefix, "usageMetadata.responseTokenCount"),
                Field::Count(Number::Candidates),
                Take::Value,
            ),
            (
                concat!($prefix, "usageMetadata.thoughtsTokenCount"),
                Field::Count(Number::Thoughts),
                Take::Value,
            ),
            (
                concat!($prefix, "usageMetadata.toolUsePromptTokenCount"),
                Field::Count(Number::ToolPrompt),
                Take::Value,
            ),
            (
                concat!($prefix, "usageMetadata.cachedContentTokenCount"),
                Field::Count(Number::Cached),
                Take::Value,
            ),
            (concat!($prefix, "usageMetadata.totalTokenCount"), Field::Count(Number::Total), Take::Value),
        ]
    };
}

static SELECTOR: LazyLock<Selector<Field>> =
    // Code Assist (cloudcode-pa.googleapis.com) wraps each chunk in `response`.
    LazyLock::new(|| Selector::new(response_at!("").into_iter().chain(response_at!("response."))));

#[derive(Debug, Default)]
pub(super) struct Gemini {
    last: Option<Usage>,
    most: Usage,
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
    has_usage: bool,
    prompt: u64,
    candidates: u64,
    thoughts: u64,
    tool_prompt: u64,
    cached: u64,
    total: u64,
}

impl JsonSink for Gemini {
    type Field = Field;

    fn value(&mut self, field: Field, value: Value<'_>) {
        let event = &mut self.event;
        match field {
            Field::Id => keep_first(&mut self.id, value),
            Field::Model => keep_first(&mut self.model, value),
            Field::Reason => event.reason |= text_of(value).is_some(),
            Field::Count(number) => {
                let slot = match number {
                    Number::Prompt => &mut event.prompt,
                    Number::Candidates => &mut event.candidates,
                    Number::Thoughts => &mut event.thoughts,
                    Number::ToolPrompt => &mut event.tool_prompt,
                    Number::Cached => &mut event.cached,
                    Number::Total => &mut event.total,
                };
                *slot = count(value).unwrap_or(*slot);
            }
            Field::Error | Field::Usage | Field::Output => {}
        }
    }

    fn open(&mut self, field: Field) {
        match field {
            Field::Usage => self.event.has_usage = true,
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
        self.reason |= event.reason;
        self.failed |= event.error;
        let usage = event.usage();
        // A snapshot without numbers (`{"trafficType": …}`) is none.
        if event.has_usage && usage.total > 0 {
            self.last = Some(usage);
            self.most = largest(self.most, usage);
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
        self.most.output.max(tokens_of(self.live))
    }

    fn conclude(&mut self, ending: Ending) -> Outcome {
        let ended = self.reason && !self.failed;
        let exact = self.last.is_some() && ending.complete && ended;
        let usage = match exact {
            true => self.last,
            false => self.last.map(|_| {
                let output = self.live_output();
                let total = self.most.total.max(sum(&[self.most.input, output]));
                Usage { output, total, ..self.most }
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

impl Event {
    fn usage(&self) -> Usage {
        let output = sum(&[self.candidates, self.thoughts]);
        Usage {
            input: self.prompt,
            output,
            cache_read: self.cached,
            cache_write: 0,
            reasoning: self.thoughts,
            total: self.total.max(sum(&[self.prompt, output, self.tool_prompt])),
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
