//! OpenAI Responses (`POST /v1/responses`, `…/compact`), and Codex on chatgpt.com.
//!
//! Sources: openai-python `response_usage.py`, `response_stream_event.py`, and recordings. Cached tokens and reasoning
//! are parts of their sides. Invariants: usage is null until a terminal event; every terminal event counts, not only
//! `response.completed`; usage stands in `response.usage` of an event, or in `usage` of an object that is not streamed,
//! and nowhere else.

use super::{Ending, Outcome, Reading, TOOL_CALL, count, keep_first, sum, text_of, tokens_of};
use crate::scan::json::{JsonSink, Selector, Take, Value};
use hudson_schema::Usage;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Type,
    Id,
    Model,
    Status,
    Error,
    Output,
    Usage,
    Count(Number),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Input,
    Output,
    Total,
    Cached,
    CacheWrite,
    Reasoning,
}

macro_rules! response_at {
    ($prefix:literal) => {
        [
            (concat!($prefix, "id"), Field::Id, Take::Value),
            (concat!($prefix, "model"), Field::Model, Take::Value),
            (concat!($prefix, "status"), Field::Status, Take::Value),
            (concat!($prefix, "usage"), Field::Usage, Take::Value),
            (concat!($prefix, "usage.input_tokens"), Field::Count(Number::Input), Take::Value),
            (concat!($prefix, "usage.output_tokens"), Field::Count(Number::Output), Take::Value),
            (concat!($prefix, "usage.total_tokens"), Field::Count(Number::Total), Take::Value),
            (
                concat!($prefix, "usage.input_tokens_details.cached_tokens"),
                Field::Count(Number::Cached),
                Take::Value,
            ),
            (
                concat!($prefix, "usage.input_tokens_details.cache_write_tokens"),
                Field::Count(Number::CacheWrite),
                Take::Value,
            ),
            (
                concat!($prefix, "usage.output_tokens_details.reasoning_tokens"),
                Field::Count(Number::Reasoning),
                Take::Value,
            ),
        ]
    };
}

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    let plain = [
        ("type", Field::Type, Take::Value),
        ("error", Field::Error, Take::Value),
        // Every delta event has its text here: output, arguments, reasoning, code.
        ("delta", Field::Output, Take::Size),
    ];
    Selector::new(plain.into_iter().chain(response_at!("response.")).chain(response_at!("")))
});

#[derive(Debug, Default)]
pub(super) struct OpenaiResponses {
    usage: Option<Usage>,
    /// The event with the usage was a terminal one.
    usage_is_final: bool,
    model: Option<String>,
    id: Option<String>,
    event: Event,
    live: u64,
    terminal: bool,
}

#[derive(Debug, Default)]
struct Event {
    kind: Option<Kind>,
    /// A status that no other one follows.
    settled: bool,
    /// Any status.
    status: bool,
    error: bool,
    has_usage: bool,
    id: Option<String>,
    model: Option<String>,
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    reasoning: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Terminal,
    /// An event about the whole response, which is not its last.
    Response,
    Error,
    /// An event about a part: its `id` and `status` are not the response's.
    Part,
}

impl JsonSink for OpenaiResponses {
    type Field = Field;

    fn value(&mut self, field: Field, value: Value<'_>) {
        let event = &mut self.event;
        match field {
            Field::Type => {
                event.kind = Some(match text_of(value) {
                    Some(
                        "response.completed"
                        | "response.incomplete"
                        | "response.failed"
                        | "response.done"
                        | "response.cancelled",
                    ) => Kind::Terminal,
                    Some("response.created" | "response.in_progress" | "response.queued") => Kind::Response,
                    Some("error") => Kind::Error,
                    Some("response.output_item.added") => {
                        self.live = self.live.saturating_add(TOOL_CALL);
                        Kind::Part
                    }
                    _ => Kind::Part,
                });
            }
            Field::Id => keep_first(&mut event.id, value),
            Field::Model => keep_first(&mut event.model, value),
            Field::Status => {
                event.status |= text_of(value).is_some();
                event.settled |=
                    matches!(text_of(value), Some("completed" | "incomplete" | "failed" | "cancelled"));
            }
            Field::Error => event.error |= text_of(value).is_some(),
            Field::Count(number) => {
                let slot = match number {
                    Number::Input => &mut event.input,
                    Number::Output => &mut event.output,
                    Number::Total => &mut event.total,
                    Number::Cached => &mut event.cached,
                    Number::CacheWrite => &mut event.cache_write,
                    Number::Reasoning => &mut event.reasoning,
                };
                *slot = count(value).or(*slot);
            }
            Field::Usage | Field::Output => {}
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
        let found = event.usage();
        let terminal = match event.kind {
            Some(Kind::Terminal | Kind::Error) => true,
            // A body that is not streamed has no event type: its status decides, or (compact) its usage.
            None => event.settled || event.error || (!event.status && found.is_some()),
            Some(_) => false,
        };
        self.terminal |= terminal;
        if event.kind != Some(Kind::Part) {
            if self.id.is_none() {
                self.id = event.id;
            }
            if self.model.is_none() {
                self.model = event.model;
            }
        }
        if let Some(found) = found
            && (found.total > 0 || self.usage.is_none())
        {
            self.usage = Some(found);
            self.usage_is_final = terminal;
        }
    }

    fn all_documents(&mut self) {}
}

impl Reading for OpenaiResponses {
    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn discard(&mut self) {
        self.event = Event::default();
    }

    fn live_output(&self) -> u64 {
        self.usage.map_or(0, |usage| usage.output).max(tokens_of(self.live))
    }

    fn conclude(&mut self, ending: Ending) -> Outcome {
        Outcome {
            usage: self.usage,
            billed: None,
            exact: self.usage.is_some() && self.usage_is_final,
            finished: self.terminal,
            model: self.model.take(),
            response_id: self.id.take(),
            stream: ending.events,
            fault: None,
        }
    }
}

impl Event {
    /// The usage this event states, if it states any.
    fn usage(&self) -> Option<Usage> {
        if !self.has_usage {
            return None;
        }
        self.input.or(self.output).or(self.total)?;
        let (input, output) = (self.input.unwrap_or(0), self.output.unwrap_or(0));
        Some(Usage {
            input,
            output,
            cache_read: self.cached.unwrap_or(0),
            cache_write: self.cache_write.unwrap_or(0),
            reasoning: self.reasoning.unwrap_or(0),
            total: self.total.unwrap_or(0).max(sum(&[input, output])),
        })
    }
}

#[cfg(test)]
mod tests;
