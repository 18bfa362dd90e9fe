//! Anthropic Messages (`POST /v1/messages`), streamed and not, and the results of a batch of them; also Vertex
//! `rawPredict` and compatible relays.
//!
//! Sources: anthropic-sdk-python `types/usage.py`, `message_delta_usage.py`, `beta/beta_usage.py`,
//! `messages/message_batch_individual_response.py`, and recordings.
//! Cached tokens are additive to `input_tokens`. Invariants of the merge: every number of a later usage object is
//! cumulative, so the last one present wins and nothing is summed; an absent number is not a zero; the input group
//! changes together; `usage.iterations` replaces the top level where it says more, because compaction and advisor
//! calls are outside the top level.
//!
//! The results of a batch are JSON lines, each with a message or the reason why there is none; the messages are added up.
//! A message that comes twice is counted once when its lines follow one another; further apart it is counted twice, since
//! remembering every id would take as much memory as the file has lines (a batch has each `custom_id` once).

use super::counts::{Counts, Number, usage_at};
use super::{Ending, Outcome, Reading, TOOL_CALL, keep_first, sum, text_of, tokens_of};
use crate::scan::json::{JsonSink, Selector, Take, Value};
use hudson_schema::Usage;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Type,
    Id,
    Model,
    StopReason,
    /// The type of a batch's result.
    Result,
    Count(Place, Number),
    Iterations,
    Iteration,
    IterationType,
    /// The name of a tool call that begins.
    Tool,
    /// A piece of generated text.
    Output,
}

/// Where a usage object stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Inside `message`, in `message_start`.
    Start,
    /// At the top: `message_delta`, and the whole message when it is not streamed; in a batch, inside the result.
    Top,
    Iteration,
}

const NAMES: &[(&str, Number)] = &[
    ("input_tokens", Number::Input),
    ("cache_creation_input_tokens", Number::CacheWrite),
    ("cache_read_input_tokens", Number::CacheRead),
    ("output_tokens", Number::Output),
    ("output_tokens_details.thinking_tokens", Number::Reasoning),
];

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    let plain = [
        ("type", Field::Type, Take::Value),
        ("result.type", Field::Result, Take::Value),
        ("id", Field::Id, Take::Value),
        ("model", Field::Model, Take::Value),
        ("message.id", Field::Id, Take::Value),
        ("message.model", Field::Model, Take::Value),
        ("result.message.id", Field::Id, Take::Value),
        ("result.message.model", Field::Model, Take::Value),
        ("delta.stop_reason", Field::StopReason, Take::Value),
        ("content_block.name", Field::Tool, Take::Size),
        ("delta.text", Field::Output, Take::Size),
        ("delta.thinking", Field::Output, Take::Size),
        ("delta.partial_json", Field::Output, Take::Size),
        ("usage.iterations", Field::Iterations, Take::Value),
        ("usage.iterations.*", Field::Iteration, Take::Value),
        ("usage.iterations.*.type", Field::IterationType, Take::Value),
        ("result.message.usage.iterations", Field::Iterations, Take::Value),
        ("result.message.usage.iterations.*", Field::Iteration, Take::Value),
        ("result.message.usage.iterations.*.type", Field::IterationType, Take::Value),
    ];
    let usage = [
        ("message.usage", Place::Start),
        ("usage", Place::Top),
        ("usage.iterations.*", Place::Iteration),
        ("result.message.usage", Place::Top),
        ("result.message.usage.iterations.*", Place::Iteration),
    ]
    .map(|(path, place)| usage_at(path, NAMES, |number| Field::Count(place, number)));
    Selector::new(plain.into_iter().chain(usage.into_iter().flatten()))
});

#[derive(Debug, Default)]
pub(super) struct Anthropic {
    /// Usage of earlier messages in the same body, and what of it is billed.
    banked: Usage,
    banked_billed: Usage,
    message: Message,
    batch: Batch,
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
    usage: Option<Counts>,
    iterations: Option<Iterations>,
    /// Usage came with or after the last `message_delta`, or in a message that is not streamed.
    stated: bool,
    /// A stop reason was seen: no usage follows the event that carries it.
    stop_reason: bool,
    /// A message that is not streamed.
    whole: bool,
}

/// What is known of a batch's results.
#[derive(Debug, Default)]
struct Batch {
    /// A result was seen.
    seen: bool,
    /// A message in it had no numbers.
    unstated: bool,
    /// The message of the line before.
    last_id: Option<String>,
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
    start: Counts,
    top: Counts,
    iterations: Option<Iterations>,
    iteration: Counts,
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
    /// A result of a batch with a message.
    Succeeded,
    /// One without: the request failed, was cancelled or expired.
    Unanswered,
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
            Field::Result => {
                event.kind = Some(match text_of(value) {
                    Some("succeeded") => Kind::Succeeded,
                    _ => Kind::Unanswered,
                });
            }
            Field::Count(Place::Start, number) => event.start.set(number, value),
            Field::Count(Place::Top, number) => event.top.set(number, value),
            Field::Count(Place::Iteration, number) => event.iteration.set(number, value),
            Field::IterationType => {
                event.iteration_type = match text_of(value) {
                    Some("message") => IterationType::Message,
                    Some("fallback_message") => IterationType::Fallback,
                    _ => IterationType::Other,
                };
            }
            Field::Iterations | Field::Iteration | Field::Tool | Field::Output => {}
        }
    }

    fn open(&mut self, field: Field) {
        let event = &mut self.event;
        match field {
            Field::Iterations => event.iterations = Some(Iterations::default()),
            Field::Iteration => {
                event.iteration = Counts::default();
                event.iteration_type = IterationType::Other;
            }
            _ => {}
        }
    }

    fn close(&mut self, field: Field) {
        let event = &mut self.event;
        if let (Field::Iteration, Some(iterations)) = (field, &mut event.iterations) {
            let entry = event.iteration.additive().unwrap_or_default();
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
            Some(Kind::Succeeded | Kind::Unanswered) => return self.result(event),
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
        message.merge(&event.start);
        message.merge(&event.top);
        message.stated |= event.top.output.is_some();
        // Absent iterations say nothing about those an earlier event had.
        message.iterations = event.iterations.or(message.iterations);
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
        let exact = match ending.events {
            _ if self.batch.seen => ending.complete && !self.batch.unstated,
            true => message.usage.is_some() && message.stated && ended,
            false => message.usage.is_some() && message.whole && message.stated && ending.complete,
        };
        let live = (!exact && ending.events).then(|| tokens_of(self.live));
        let last = message.processed(live).or(self.batch.seen.then(Usage::default));
        let less = message.billed().is_some() || self.banked_billed != self.banked;
        Outcome {
            usage: last.map(|usage| self.banked + usage),
            billed: message.billed().or(last).filter(|_| less).map(|usage| self.banked_billed + usage),
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
            self.bank(live);
            self.live = 0;
            self.stopped = false;
            self.spliced = true;
        }
        self.message.id = event.id.clone().or(self.message.id.take());
    }

    /// A line of a batch's results.
    fn result(&mut self, event: Event) {
        self.batch.seen = true;
        let again = event.id.is_some() && event.id == self.batch.last_id;
        if event.kind != Some(Kind::Succeeded) || again {
            return;
        }
        self.message.merge(&event.top);
        self.message.iterations = event.iterations;
        self.batch.unstated |= event.top.output.is_none();
        self.bank(None);
        self.id = self.id.take().or_else(|| event.id.clone());
        self.model = self.model.take().or(event.model);
        self.batch.last_id = event.id;
    }

    /// Puts the message to the earlier ones.
    fn bank(&mut self, live: Option<u64>) {
        let message = std::mem::take(&mut self.message);
        let processed = message.processed(live).unwrap_or_default();
        self.banked_billed = self.banked_billed + message.billed().unwrap_or(processed);
        self.banked = self.banked + processed;
    }
}

impl Message {
    /// Takes the numbers of a later usage object.
    fn merge(&mut self, new: &Counts) {
        if new.additive().is_none() {
            return;
        }
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
        old.reasoning = new.reasoning.or(old.reasoning);
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
        self.usage.as_ref()?.additive()
    }
}

/// Cached tokens are additive here.
fn with_total(usage: Usage) -> Usage {
    Usage { total: sum(&[usage.input, usage.output, usage.cache_read, usage.cache_write]), ..usage }
}

#[cfg(test)]
mod tests;
