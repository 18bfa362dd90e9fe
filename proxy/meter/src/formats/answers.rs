//! Formats that state an answer's usage in its last event, or in the object that is the whole answer.
//!
//! What such a format has of its own is a [`Plan`]: its paths, what its events are called, and how its numbers add up.
//! Invariants: numbers are final only in an event that ends an answer, or in a document that is one; a later statement
//! about the same answer replaces the earlier one and is never added; zeros replace nothing; a second answer in the same
//! body (a WebSocket's messages in a row, images) is added to the first; an answer that began and did not end makes
//! the body not exact.

use super::bedrock::Framed;
use super::counts::{Counts, Number};
use super::{Ending, Outcome, Reading, TOOL_CALL, keep_first, sum, text_of, tokens_of, with_output};
use crate::scan::json::{JsonSink, Selector, Value};
use hudson_schema::Usage;
use std::marker::PhantomData;

/// What one of these formats has of its own.
pub(super) trait Plan: Default + Send + 'static {
    /// How many base64 bytes of audio are one token, leaning low so that the count leans high.
    const AUDIO: u64 = 256;
    /// Two answers without an id are two, and not one that is stated twice.
    const EACH: bool = false;
    /// An object that has numbers and neither an event's name nor a status is a whole answer.
    const BARE: bool = true;

    /// The paths, compiled once.
    fn selector() -> &'static Selector<Field>;
    /// What an event of this name is.
    fn kind(name: &str) -> Kind;
    /// Whether an answer with this status is over.
    fn settled(_status: &str) -> bool {
        false
    }
    /// The tokens that the numbers of one event state.
    fn usage(numbers: &Numbers) -> Option<Usage> {
        numbers.processed.inclusive()
    }
    /// How many base64 bytes of audio in this format are one token.
    fn audio(_format: &str) -> u64 {
        Self::AUDIO
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    /// The event's name.
    Kind,
    Id,
    Model,
    Status,
    Error,
    /// Generated text, or base64 audio in an event that is [`Kind::Audio`].
    Output,
    /// A tool call begins.
    Tool,
    /// The coding of generated audio.
    AudioFormat,
    Count(Number),
    /// A number of what is billed, where that is stated apart.
    Billed(Number),
}

/// What an event is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// An answer begins or goes on; the event is about the whole of it.
    Begin,
    /// An answer is over.
    End,
    /// The answer failed, and the body with it.
    Error,
    /// About a part: its id and status are not the answer's.
    Part,
    /// A piece of audio.
    Audio,
    /// A tool call begins.
    Tool,
    /// A picture on the way to the final one.
    Image,
    /// Usage of side work, which is added whatever else is stated.
    Side,
    /// About all of it, and neither a beginning nor an end.
    About,
    /// Nothing in it counts.
    Aside,
}

/// What OpenAI charges for each partial image (image generation guide, "Streaming").
const PARTIAL_IMAGE: u64 = 100;

/// The numbers of one event.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    pub(super) processed: Counts,
    pub(super) billed: Counts,
}

/// The reading of a format by its plan.
#[derive(Debug)]
pub(super) struct Answers<P> {
    plan: PhantomData<P>,
    /// All answers but the last, and side work.
    banked: Usage,
    side_work: bool,
    last: Option<Usage>,
    /// Of the last one, where that is less.
    billed: Option<Usage>,
    last_id: Option<String>,
    end: End,
    /// An answer began and is not over.
    open: bool,
    /// The id of an answer that ended without numbers.
    unstated: Option<String>,
    finished: bool,
    model: Option<String>,
    id: Option<String>,
    documents: u64,
    live: Live,
    /// How many base64 bytes of audio are one token, where the body says in which format it is.
    audio: Option<u64>,
    event: Event,
}

/// How final the last numbers are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum End {
    #[default]
    Running,
    /// They stood in a document that does not say whether it is the last.
    Whole,
    Settled,
}

/// What was generated since the last numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Live {
    text: u64,
    tokens: u64,
}

#[derive(Debug, Default)]
struct Event {
    kind: Option<Kind>,
    settled: bool,
    status: bool,
    error: bool,
    id: Option<String>,
    model: Option<String>,
    numbers: Numbers,
    output: u64,
    audio: Option<u64>,
}

impl<P> Default for Answers<P> {
    fn default() -> Self {
        Self {
            plan: PhantomData,
            banked: Usage::default(),
            side_work: false,
            last: None,
            billed: None,
            last_id: None,
            end: End::default(),
            open: false,
            unstated: None,
            finished: false,
            model: None,
            id: None,
            documents: 0,
            live: Live::default(),
            audio: None,
            event: Event::default(),
        }
    }
}

impl<P: Plan> JsonSink for Answers<P> {
    type Field = Field;

    fn value(&mut self, field: Field, value: Value<'_>) {
        let event = &mut self.event;
        match field {
            Field::Kind => event.kind = text_of(value).map(P::kind),
            Field::Id => keep_first(&mut event.id, value),
            Field::Model => keep_first(&mut event.model, value),
            Field::Status => {
                event.status |= text_of(value).is_some();
                event.settled |= text_of(value).is_some_and(P::settled);
            }
            Field::Error => event.error |= text_of(value).is_some(),
            Field::AudioFormat => event.audio = text_of(value).map(P::audio),
            Field::Tool if text_of(value).is_some() => event.output = event.output.saturating_add(TOOL_CALL),
            Field::Count(number) => event.numbers.processed.set(number, value),
            Field::Billed(number) => event.numbers.billed.set(number, value),
            Field::Tool | Field::Output => {}
        }
    }

    fn open(&mut self, field: Field) {
        match field {
            Field::Error => self.event.error = true,
            Field::Tool => self.event.output = self.event.output.saturating_add(TOOL_CALL),
            _ => {}
        }
    }

    fn close(&mut self, _field: Field) {}

    fn size(&mut self, _field: Field, bytes: usize) {
        self.event.output = self.event.output.saturating_add(bytes as u64);
    }

    fn document(&mut self) {
        let event = std::mem::take(&mut self.event);
        self.documents = self.documents.saturating_add(1);
        self.count(&event);
        // A total and nothing else is the object of another format, of which only that name is known here.
        let known = event.numbers.processed.has_side() || event.numbers.billed.has_side();
        let found = P::usage(&event.numbers).filter(|_| known);
        let ends = match event.kind {
            Some(Kind::End | Kind::Error) => true,
            // A body that is not streamed has no event's name: its status decides, or its numbers.
            None => event.settled || event.error || (P::BARE && !event.status && found.is_some()),
            Some(_) => false,
        };
        match event.kind {
            Some(Kind::Part | Kind::Audio | Kind::Tool | Kind::Image | Kind::Aside) => return,
            Some(Kind::Side) => {
                self.side_work |= found.is_some();
                self.banked = self.banked + found.unwrap_or_default();
                return;
            }
            Some(Kind::Begin) => {
                // One that ended does not begin again.
                let over = self.end != End::Running && event.id.is_some() && event.id == self.last_id;
                self.open |= !over;
            }
            // More text in a row of documents: what looked like the last of them was not.
            None if !ends && event.output > 0 => self.end = End::Running,
            _ => {}
        }
        if ends {
            (self.open, self.finished) = (false, true);
        }
        self.state(&event, found, ends);
        self.id = self.id.take().or(event.id);
        self.model = self.model.take().or(event.model);
    }

    fn all_documents(&mut self) {}
}

impl<P: Plan> Reading for Answers<P> {
    fn selector() -> &'static Selector<Field> {
        P::selector()
    }

    fn discard(&mut self) {
        // What it generated was paid for all the same.
        let event = std::mem::take(&mut self.event);
        self.count(&event);
    }

    fn live_output(&self) -> u64 {
        self.banked.output.saturating_add(self.output())
    }

    fn conclude(&mut self, ending: Ending) -> Outcome {
        let settled = match self.end {
            End::Running => self.last.is_none() && self.side_work,
            End::Whole => ending.complete,
            End::Settled => true,
        };
        let exact = settled && !self.open && self.unstated.is_none();
        let earlier = self.side_work || self.banked != Usage::default();
        let stated = self.last.or(earlier.then(Usage::default));
        let usage = stated.map(|last| {
            let output = if exact { last.output } else { self.output() };
            self.banked + with_output(last, output)
        });
        Outcome {
            usage,
            billed: self.billed.filter(|_| exact).map(|billed| self.banked + billed),
            exact,
            finished: self.finished && !self.open,
            model: self.model.take(),
            response_id: self.id.take(),
            stream: ending.events || self.documents > 1,
            fault: None,
        }
    }
}

impl<P: Plan> Framed for Answers<P> {
    const WRAPPED: bool = false;

    fn named(&mut self, name: &str) {
        self.event.kind = Some(P::kind(name));
    }

    fn fail(&mut self) {
        (self.open, self.finished) = (false, true);
    }
}

impl<P: Plan> Answers<P> {
    /// The output of the last answer, with what was generated since it was stated.
    fn output(&self) -> u64 {
        let live = sum(&[tokens_of(self.live.text), self.live.tokens]);
        let stated = self.last.map_or(0, |last| last.output);
        if self.end == End::Running { stated.max(live) } else { stated.saturating_add(live) }
    }

    /// Takes what an event generated.
    fn count(&mut self, event: &Event) {
        self.audio = event.audio.or(self.audio);
        let live = &mut self.live;
        match event.kind {
            Some(Kind::Audio) => {
                let rate = self.audio.unwrap_or(P::AUDIO).max(1);
                live.tokens = live.tokens.saturating_add(event.output.div_ceil(rate));
            }
            Some(Kind::Tool) => live.text = sum(&[live.text, event.output, TOOL_CALL]),
            Some(Kind::Aside) => {}
            Some(Kind::Image) => live.tokens = live.tokens.saturating_add(PARTIAL_IMAGE),
            _ => live.text = live.text.saturating_add(event.output),
        }
    }

    /// Takes what an event states about the whole of an answer.
    fn state(&mut self, event: &Event, found: Option<Usage>, ends: bool) {
        let other = match (&self.last_id, &event.id) {
            (Some(last), Some(id)) => last != id,
            _ => P::EACH,
        };
        if self.end != End::Running && (found.is_some() || event.kind == Some(Kind::End)) {
            match other {
                true => {
                    self.banked = self.banked + self.last.take().unwrap_or_default();
                    self.end = End::Running;
                }
                // Nothing but another end changes what ended.
                false if !ends => return,
                false => {}
            }
        }
        let Some(found) = found.filter(|found| found.total > 0 || self.last.is_none()) else {
            if event.kind == Some(Kind::End) && self.end == End::Running {
                self.unstated = event.id.clone();
            }
            return;
        };
        self.last = Some(found);
        self.last_id = event.id.clone();
        self.billed = event.numbers.billed.inclusive().filter(|billed| billed.total < found.total);
        if ends {
            self.unstated = self.unstated.take().filter(|id| Some(id) != event.id.as_ref());
            self.live = Live::default();
            self.end = match event.kind.is_some() || event.settled {
                true => End::Settled,
                false => End::Whole,
            };
        }
    }
}
