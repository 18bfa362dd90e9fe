//! Takes the usage chunk out of a chat/completions stream again, for a client that did not ask for one.
//!
//! When Hudson forces `stream_options.include_usage`, one event is added to the stream: `"choices": []` and a `usage`
//! object. This is the only event that is removed, with its blank line. Invariants: every other byte is passed on
//! unchanged and in order, whatever the split; an event is held back only while it may still be that one, which the
//! first element of `choices` decides for every ordinary chunk; at most [`MAX_HELD`] bytes are ever held.

use crate::scan::json::{JsonScanner, JsonSink, Selector, Take, Value};
use std::sync::LazyLock;

/// The most bytes that are held back. A usage chunk has a few hundred; a longer event is passed on.
pub const MAX_HELD: usize = 64 << 10;

/// Removes the forced usage chunk. It reads plain bytes: an encoded stream is decoded first
/// ([`StreamDecoder`](crate::StreamDecoder)).
#[derive(Debug)]
pub struct UsageChunkStripper {
    /// Bytes of the current event that wait for a decision.
    held: Vec<u8>,
    state: State,
    /// The last byte was a CR: a LF right behind belongs to the same line end.
    after_cr: bool,
    /// The last event was removed and ended in a CR: a LF right behind goes with it.
    drop_lf: bool,
    /// A `data:` line was seen in this event.
    has_data: bool,
    field: [u8; 5],
    field_len: usize,
    verdict: Verdict,
    json: JsonScanner<Field>,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    LineStart,
    Field,
    DataSpace,
    Data,
    Skip,
    /// A comment in front of an event, passed on as it comes.
    Comment,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Undecided,
    /// It is not the usage chunk: pass on to its end.
    Pass,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Choices,
    Choice,
    Usage,
    Error,
}

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    Selector::new([
        ("choices", Field::Choices, Take::Value),
        ("choices.*", Field::Choice, Take::Value),
        ("usage", Field::Usage, Take::Value),
        ("error", Field::Error, Take::Value),
    ])
});

/// What is known of an event's JSON.
#[derive(Debug, Default)]
struct Shape {
    /// `choices` is an array.
    choices: bool,
    /// It has an element, or something else shows that this is no usage chunk.
    ordinary: bool,
    usage: bool,
    /// The object ended.
    whole: bool,
}

impl Default for UsageChunkStripper {
    fn default() -> Self {
        Self::new()
    }
}

impl UsageChunkStripper {
    /// A stripper at the start of a stream.
    pub fn new() -> Self {
        Self {
            held: Vec::new(),
            state: State::LineStart,
            after_cr: false,
            drop_lf: false,
            has_data: false,
            field: [0; 5],
            field_len: 0,
            verdict: Verdict::Undecided,
            json: JsonScanner::at_once(&SELECTOR),
            shape: Shape::default(),
        }
    }

    /// Takes the next bytes and appends to `out` what the client may have by now.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                if !std::mem::take(&mut self.drop_lf) {
                    self.pass(b"\n", out);
                }
                bytes = rest;
                continue;
            }
            self.drop_lf = false;
            bytes = self.step(byte, bytes, rest, out);
            if self.held.len() > MAX_HELD || self.shape.ordinary {
                self.release(out);
            }
        }
    }

    /// Ends the stream: an event that no blank line closed is judged by what there is of it.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if !self.is_usage_chunk() {
            out.extend_from_slice(&self.held);
        }
        self.held.clear();
    }

    /// Takes what belongs together from the front of `bytes`; what is left.
    fn step<'a>(&mut self, byte: u8, bytes: &'a [u8], rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        match self.state {
            State::LineStart if matches!(byte, b'\n' | b'\r') => {
                self.after_cr = byte == b'\r';
                self.end_event(byte, out);
                rest
            }
            // A comment stands between the events: keep-alives must come through at once.
            State::LineStart if byte == b':' && self.held.is_empty() => {
                self.state = State::Comment;
                bytes
            }
            State::LineStart => {
                self.field_len = 0;
                self.state = State::Field;
                bytes
            }
            State::Field => {
                self.pass(&[byte], out);
                if byte == b':' || matches!(byte, b'\n' | b'\r') {
                    self.field_name(byte);
                } else {
                    if let Some(slot) = self.field.get_mut(self.field_len) {
                        *slot = byte;
                    }
                    self.field_len = self.field_len.saturating_add(1);
                }
                rest
            }
            State::DataSpace => {
                self.state = State::Data;
                if byte != b' ' {
                    return bytes;
                }
                self.pass(b" ", out);
                rest
            }
            State::Data | State::Skip | State::Comment => self.line(bytes, out),
        }
    }

    /// The rest of a line, as far as it is there.
    fn line<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let end = memchr::memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
        let (value, rest) = bytes.split_at(end);
        if self.state == State::Comment {
            out.extend_from_slice(value);
        } else {
            if self.state == State::Data && self.verdict == Verdict::Undecided {
                self.json.feed(value, &mut self.shape);
            }
            self.pass(value, out);
        }
        let Some((&byte, rest)) = rest.split_first() else { return rest };
        match self.state {
            State::Comment => out.push(byte),
            _ => self.pass(&[byte], out),
        }
        self.after_cr = byte == b'\r';
        self.state = State::LineStart;
        rest
    }

    /// The name of a field is complete; `byte` ended it.
    fn field_name(&mut self, byte: u8) {
        let data = self.field.get(..self.field_len) == Some(b"data");
        if data && std::mem::replace(&mut self.has_data, true) {
            self.json.feed(b"\n", &mut self.shape);
        }
        self.state = match byte {
            b':' if data => State::DataSpace,
            b':' => State::Skip,
            _ => {
                self.after_cr = byte == b'\r';
                State::LineStart
            }
        };
    }

    /// A blank line.
    fn end_event(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.verdict == Verdict::Undecided && self.is_usage_chunk() {
            self.held.clear();
            self.drop_lf = byte == b'\r';
        } else {
            self.release(out);
            out.push(byte);
        }
        self.has_data = false;
        self.verdict = Verdict::Undecided;
        self.shape = Shape::default();
        self.json.restart();
    }

    fn is_usage_chunk(&self) -> bool {
        let shape = &self.shape;
        let clean = shape.whole && !self.json.is_broken() && !self.json.is_open();
        clean && shape.choices && shape.usage && !shape.ordinary
    }

    /// Passes bytes of the current event on, or holds them while it is undecided.
    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.verdict {
            // Between two events nothing is pending: the second half of a CRLF is nobody's secret.
            Verdict::Undecided if self.held.is_empty() && bytes == b"\n" => out.extend_from_slice(bytes),
            Verdict::Undecided => self.held.extend_from_slice(bytes),
            Verdict::Pass => out.extend_from_slice(bytes),
        }
    }

    /// The event is an ordinary one: everything held goes out.
    fn release(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        self.verdict = Verdict::Pass;
        self.shape.ordinary = false;
    }
}

impl JsonSink for Shape {
    type Field = Field;

    fn value(&mut self, field: Field, value: Value<'_>) {
        match field {
            // `"choices": null` and `"usage": null` are not what was forced.
            Field::Choices | Field::Choice | Field::Usage => self.ordinary = true,
            Field::Error => self.ordinary |= value != Value::Null,
        }
    }

    fn open(&mut self, field: Field) {
        match field {
            Field::Choices => self.choices = true,
            Field::Usage => self.usage = true,
            Field::Choice | Field::Error => self.ordinary = true,
        }
    }

    fn close(&mut self, _field: Field) {}

    fn size(&mut self, _field: Field, _bytes: usize) {}

    fn document(&mut self) {
        self.whole = true;
    }

    fn all_documents(&mut self) {
        self.ordinary = true;
    }
}

#[cfg(test)]
mod tests;
