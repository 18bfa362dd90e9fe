//! Anthropic Messages (`POST /v1/messages`), streamed and not; also Vertex `rawPredict` and compatible relays.
//!
//! Sources: anthropic-sdk-python `types/usage.py`, `message_delta_usage.py`, `beta/beta_usage.py`, and recordings.
//! Cached tokens are additive to `input_tokens`. Invariants of the merge: every number of a later usage object is
//! cumulative, so the last one present wins and nothing is summed; an absent number is not a zero; the input group
//! changes together; `usage.iterations` replaces the top level where it says more, because compaction and advisor
//! calls are outside the top level.

use super::{Ending, Outcome, Reading, TOOL_CALL, count, keep_first, sum, text_of, tokens_of};
use crate::scan::json::{JsonSink, Selector, Take, Value};
use hudson_schema::Usage;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Type,
    Id,
    Model,
    StopReason,
    /// The usage of `message_start`, inside `message`.
    Start,
    /// The usage at the top: `message_delta`, and the whole message when it is not streamed.
    Top,
    Count(Number),
    Iterations,
    Iteration,
    IterationType,
    IterationCount(Number),
    /// The name of a tool call that begins.
    Tool,
    /// A piece of generated text.
    Output,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Input,
    CacheWrite,
    CacheRead,
    Output,
    Thinking,
}

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    use Field::{Count, IterationCount};
    use Number::{CacheRead, CacheWrite, Input, Output, Thinking};
    Selector::new([
        ("type", Field::Type, Take::Value),
        ("id", Field::Id, Take::Value),
        ("model", Field::Model, Take::Value),
        ("message.id", Field::Id, Take::Value),
        ("message.model", Field::Model, Take::Value),
        ("delta.stop_reason", Field::StopReason, Take::Value),
        ("content_block.name", Field::Tool, Take::Size),
        ("delta.text", Field::Output, Take::Size),
        ("delta.thinking", Field::Output, Take::Size),
        ("delta.partial_json", Field::Output, Take::Size),
        ("message.usage", Field::Start, Take::Value),
        ("message.usage.input_tokens", Count(Input), Take::Value),
        ("message.usage.cache_creation_input_tokens", Count(CacheWrite), Take::Value),
        ("message.usage.cache_read_input_tokens", Count(CacheRead), Take::Value),
        ("message.usage.output_tokens", Count(Output), Take::Value),
        ("usage", Field::Top, Take::Value),
        ("usage.input_tokens", Count(Input), Take::Value),
        ("usage.cache_creation_input_tokens", Count(CacheWrite), Take::Value),
        ("usage.cache_read_input_tokens", Count(CacheRead), Take::Value),
        ("usage.output_tokens", Count(Output), Take::Value),
        ("usage.output_tokens_details.thinking_tokens", Count(Thinking), Take::Value),
        ("usage.iterations", Field::Iterations, Take::Value),
        ("usage.iterations.*", Field::Iteration, Take::Value),
        ("usage.iterations.*.type", Field::IterationType, Take::Value),
        ("usage.iterations.*.input_tokens", IterationCount(Input), Take::Value),
        ("usage.iterations.*.cache_creation_input_tokens", IterationCount(CacheWrite), Take::Value),
        ("usage.iterations.*.cache_read_input_tokens", IterationCount(CacheRead), Take::Value),
        ("usage.iterations.*.output_tokens", IterationCount(Output), Take::Value),
    ])
});

#[derive(Debug, Default)]
pub(super) struct Anthropic {
    /// Usage of earlier messages in the same body.
    banked: Usage,
    message: Message,
    model: Option<String>,
    id: Option<String>,
    /// The JSON object that is being read.
    event: Event,
    live: u64,
    stopped: bool,
    failed: bool,
    spliced: bool,
}

/// What is known of one message.
#[derive(Debug, Default)]
struct Message {
    id: Option<String>,
    usage: Option<Group>,
    iterations: Option<Iterations>,
    /// Usage came with or after the last `message_delta`, or in a message that is not streamed.
    stated: bool,
    /// A stop reason was seen: no usage follows the event that carries it.
    stop_reason: bool,
    /// A message that is not streamed.
    whole: bool,
}

#[derive(Clone, Debug, Default)]
struct Group {
    input: Option<u64>,
    cache_write: Option<u64>,
    cache_read: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

/// Sums over `usage.iterations`, so that their number does not matter.
#[derive(Clone, Copy, Debug, Default)]
struct Iterations {
    all: Usage,
    /// Those of type `message`.
    messages: Usage,
    /// A `fallback_message` stands among them: the `message` entries were declined and are not billed.
    fallback: bool,
}

#[derive(Debug, Default)]
struct Event {
    kind: Option<Kind>,
    id: Option<String>,
    model: Option<String>,
    stop_reason: bool,
    start: Option<Group>,
    top: Option<Group>,
    in_start: bool,
    iterations: Option<Iterations>,
    iteration: Usage,
    iteration_type: IterationType,
    /// A tool call began.
    tool: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Start,
    Stop,
    Whole,
    Error,
    Other,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum IterationType {
    Message,
    Fallback,
    #[default]
    Other,
}

impl JsonSink for Anthropic {
    type Field = Field;

    fn value(&mut self, field: Field, value: Value<'_>) {
        let event = &mut self.event;
        match field {
            Field::Type => {
                event.kind = Some(match text_of(value) {
                    Some("message_start") => Kind::Start,
                    Some("message_stop") => Kind::Stop,
                    Some("message") => Kind::Whole,
                    Some("error") => Kind::Error,
                    _ => Kind::Other,
                });
            }
            Field::Id => keep_first(&mut event.id, value),
            Field::Model => keep_first(&mut event.model, value),
            Field::StopReason => event.stop_reason |= text_of(value).is_some(),
            Field::Count(number) => {
                let group = if event.in_start { &mut event.start } else { &mut event.top };
                if let Some(group) = group {
                    *group.slot(number) = count(value).or(*group.slot(number));
                }
            }
            Field::IterationType => {
                event.iteration_type = match text_of(value) {
                    Some("message") => IterationType::Message,
                    Some("fallback_message") => IterationType::Fallback,
                    _ => IterationType::Other,
                };
            }
            Field::IterationCount(number) => {
                let count = count(value).unwrap_or(0);
                match number {
                    Number::Input => event.iteration.input = count,
                    Number::CacheWrite => event.iteration.cache_write = count,
                    Number::CacheRead => event.iteration.cache_read = count,
                    Number::Output => event.iteration.output = count,
                    Number::Thinking => event.iteration.reasoning = count,
                }
            }
            Field::Start
            | Field::Top
            | Field::Iterations
            | Field::Iteration
            | Field::Tool
            | Field::Output => {}
        }
    }

    fn open(&mut self, field: Field) {
        let event = &mut self.event;
        match field {
            Field::Start => {
                event.in_start = true;
                event.start = Some(Group::default());
            }
            Field::Top => {
                event.in_start = false;
                event.top = Some(Group::default());
            }
            Field::Iterations => event.iterations = Some(Iterations::default()),
            Field::Iteration => {
                event.iteration = Usage::default();
                event.iteration_type = IterationType::Other;
            }
            _ => {}
        }
    }

    fn close(&mut self, field: Field) {
        let event = &mut self.event;
        if let (Field::Iteration, Some(iterations)) = (field, &mut event.iterations) {
            let entry = with_total(event.iteration);
            iterations.all = iterations.all + entry;
            iterations.fallback |= event.iteration_type == IterationType::Fallback;
            if event.iteration_type == IterationType::Message {
                iterations.messages = iterations.messages + entry;
            }
        }
    }

    fn size(&mut self, field: Field, bytes: usize) {
        if matches!(field, Field::Tool) {
            self.event.tool = true;
        }
        self.live = self.live.saturating_add(bytes as u64);
    }

    fn document(&mut self) {
        let event = std::mem::take(&mut self.event);
        match event.kind {
            Some(Kind::Start) => self.start(&event),
            Some(Kind::Stop) => self.stopped = true,
            Some(Kind::Error) => self.failed = true,
            Some(Kind::Whole) => self.message.whole = true,
            _ => {}
        }
        if self.id.is_none() {
            self.id = event.id;
        }
        if self.model.is_none() {
            self.model = event.model;
        }
        if event.tool {
            self.live = self.live.saturating_add(TOOL_CALL);
        }
        let message = &mut self.message;
        message.stop_reason |= event.stop_reason;
        if let Some(start) = &event.start {
            message.merge(start);
        }
        if let Some(top) = &event.top {
            message.merge(top);
            message.stated |= top.output.is_some();
            // Absent iterations say nothing about those an earlier event had.
            message.iterations = event.iterations.or(message.iterations);
        }
    }

    fn all_documents(&mut self) {}
}

impl Reading for Anthropic {
    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn discard(&mut self) {
        self.event = Event::default();
    }

    fn live_output(&self) -> u64 {
        let stated = self.message.usage.as_ref().and_then(|usage| usage.output).unwrap_or(0);
        self.banked.output.saturating_add(stated.max(tokens_of(self.live)))
    }

    fn conclude(&mut self, ending: Ending) -> Outcome {
        let message = &self.message;
        let ended = self.stopped || message.stop_reason || (ending.complete && !self.failed);
        let exact = message.usage.is_some()
            && match ending.events {
                true => message.stated && ended,
                false => message.whole && message.stated && ending.complete,
            };
        let live = (!exact && ending.events).then(|| tokens_of(self.live));
        Outcome {
            usage: message.processed(live).map(|usage| self.banked + usage),
            billed: message.billed().map(|usage| self.banked + usage),
            exact,
            finished: match ending.events {
                true => self.stopped || self.failed,
                false => ending.complete,
            },
            model: self.model.take(),
            response_id: self.id.take(),
            stream: ending.events,
            fault: self.spliced.then_some("the stream holds more than one message; all are counted"),
        }
    }
}

impl Anthropic {
    /// `message_start`: a second message in one stream is charged on top of the first.
    fn start(&mut self, event: &Event) {
        if let (Some(old), Some(new)) = (&self.message.id, &event.id)
            && old != new
        {
            let live = (!self.message.stated).then(|| tokens_of(self.live));
            self.banked = self.banked + self.message.processed(live).unwrap_or_default();
            self.message = Message::default();
            self.live = 0;
            self.stopped = false;
            self.spliced = true;
        }
        self.message.id = event.id.clone().or(self.message.id.take());
    }
}

impl Message {
    /// Takes the numbers of a later usage object.
    fn merge(&mut self, new: &Group) {
        let old = self.usage.get_or_insert_default();
        // Relays send zeros where they know nothing: a group of nothing but zeros never replaces a real one.
        if [new.input, new.cache_write, new.cache_read].into_iter().flatten().any(|count| count > 0) {
            old.input = new.input.or(old.input);
            old.cache_write = new.cache_write.or(old.cache_write);
            old.cache_read = new.cache_read.or(old.cache_read);
        } else {
            old.input = old.input.or(new.input);
            old.cache_write = old.cache_write.or(new.cache_write);
            old.cache_read = old.cache_read.or(new.cache_read);
        }
        old.output = new.output.or(old.output);
        old.thinking = new.thinking.or(old.thinking);
    }

    /// Every token processed. `live` is the output counted from the text, when the stated one is not final.
    fn processed(&self, live: Option<u64>) -> Option<Usage> {
        let top = self.top()?;
        let usage = match self.iterations {
            // Where the entries say less than the top level, they are not the whole story.
            Some(iterations) if iterations.all.total >= top.total => {
                Usage { reasoning: top.reasoning, ..iterations.all }
            }
            _ => top,
        };
        Some(with_total(Usage { output: usage.output.max(live.unwrap_or(0)), ..usage }))
    }

    /// What is billed, where that differs: declined `message` entries are not when a fallback answered.
    fn billed(&self) -> Option<Usage> {
        let iterations = self.iterations.filter(|iterations| iterations.fallback)?;
        let (all, declined) = (iterations.all, iterations.messages);
        Some(with_total(Usage {
            input: all.input.saturating_sub(declined.input),
            output: all.output.saturating_sub(declined.output),
            cache_read: all.cache_read.saturating_sub(declined.cache_read),
            cache_write: all.cache_write.saturating_sub(declined.cache_write),
            ..Usage::default()
        }))
    }

    fn top(&self) -> Option<Usage> {
        let usage = self.usage.as_ref()?;
        Some(with_total(Usage {
            input: usage.input.unwrap_or(0),
            output: usage.output.unwrap_or(0),
            cache_read: usage.cache_read.unwrap_or(0),
            cache_write: usage.cache_write.unwrap_or(0),
            reasoning: usage.thinking.unwrap_or(0),
            total: 0,
        }))
    }
}

impl Group {
    fn slot(&mut self, number: Number) -> &mut Option<u64> {
        match number {
            Number::Input => &mut self.input,
            Number::CacheWrite => &mut self.cache_write,
            Number::CacheRead => &mut self.cache_read,
            Number::Output => &mut self.output,
            Number::Thinking => &mut self.thinking,
        }
    }
}

/// Cached tokens are additive here.
fn with_total(usage: Usage) -> Usage {
    Usage { total: sum(&[usage.input, usage.output, usage.cache_read, usage.cache_write]), ..usage }
}

#[cfg(test)]
mod tests;
