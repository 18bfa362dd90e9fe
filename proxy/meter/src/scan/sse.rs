//! Server-sent events (WHATWG HTML section 9.2.6) as a push scanner over bytes.
//!
//! Owns the line discipline: LF, CRLF and CR end a line, a leading byte order mark is skipped, comments and unknown
//! fields are passed over, `data:` needs no space, bytes need not be UTF-8. It keeps no line: data goes to the sink as
//! it comes, so an event of any size costs constant memory and each byte is looked at once.

use super::find;
use memchr::memchr2;

/// Longest `event:` name that is kept; the formats' names are shorter, and a longer one matches none.
const MAX_NAME: usize = 64;
/// The byte order mark in UTF-8.
const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

/// What a stream's events are handed to.
pub(crate) trait SseSink {
    /// The next bytes of the current event's data; a line break between two `data:` lines comes as `\n`.
    fn data(&mut self, bytes: &[u8]);
    /// The current event is over. `name` is its `event:` field, empty when it has none. Events without data end too.
    fn end(&mut self, name: &[u8]);
}

/// The state between two bytes.
#[derive(Clone, Debug)]
pub(crate) struct SseScanner {
    state: State,
    /// The last byte was a CR: a LF right behind belongs to the same line end.
    after_cr: bool,
    /// The first bytes of the field name of this line.
    field: [u8; 5],
    field_len: usize,
    name: Vec<u8>,
    /// A `data:` line was seen in this event.
    has_data: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// So many bytes of the byte order mark were seen.
    Start(usize),
    LineStart,
    Field,
    /// Behind the colon of `data` or `event`, where one space may be skipped.
    DataSpace,
    NameSpace,
    Data,
    Name,
    /// The rest of the line does not matter.
    Skip,
}

impl SseScanner {
    /// A scanner at the start of a stream.
    pub(crate) fn new() -> Self {
        Self {
            state: State::Start(0),
            after_cr: false,
            field: [0; 5],
            field_len: 0,
            name: Vec::new(),
            has_data: false,
        }
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], sink: &mut impl SseSink) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                bytes = rest;
                continue;
            }
            bytes = match self.state {
                State::LineStart => self.line_start(byte, bytes, rest, sink),
                State::Data | State::Name | State::Skip => self.value(bytes, sink),
                State::Field => self.field(byte, rest, sink),
                State::DataSpace | State::NameSpace => self.space(bytes),
                State::Start(seen) => self.start(seen, byte, bytes, rest),
            }
        }
    }

    /// Ends the stream: an event that no blank line closed is handed on as it is.
    pub(crate) fn finish(&mut self, sink: &mut impl SseSink) {
        self.end_event(sink);
    }

    fn start<'a>(&mut self, seen: usize, byte: u8, bytes: &'a [u8], rest: &'a [u8]) -> &'a [u8] {
        if BOM.get(seen) == Some(&byte) {
            self.state = if seen == 2 { State::LineStart } else { State::Start(seen + 1) };
            return rest;
        }
        self.state = State::LineStart;
        if seen > 0 {
            // The start of a mark that was none: the bytes belong to a field name that nobody knows.
            self.field_len = self.field.len() + 1;
            self.state = State::Field;
        }
        bytes
    }

    /// A line begins with `byte`. The fields that matter are taken in one step where their names are whole.
    fn line_start<'a>(
        &mut self,
        byte: u8,
        bytes: &'a [u8],
        rest: &'a [u8],
        sink: &mut impl SseSink,
    ) -> &'a [u8] {
        match bytes {
            [b'\n' | b'\r', ..] => {
                self.after_cr = byte == b'\r';
                self.end_event(sink);
                rest
            }
            [b'd', b'a', b't', b'a', b':', value @ ..] => {
                self.begin_data(sink);
                self.space(value)
            }
            [b'e', b'v', b'e', b'n', b't', b':', value @ ..] => {
                self.begin_name();
                self.space(value)
            }
            _ => {
                self.field_len = 0;
                self.state = State::Field;
                bytes
            }
        }
    }

    /// The next byte of a field name, or the one that ends it.
    fn field<'a>(&mut self, byte: u8, rest: &'a [u8], sink: &mut impl SseSink) -> &'a [u8] {
        let ends_line = matches!(byte, b'\n' | b'\r');
        if byte != b':' && !ends_line {
            if let Some(slot) = self.field.get_mut(self.field_len) {
                *slot = byte;
            }
            self.field_len = self.field_len.saturating_add(1);
            return rest;
        }
        match self.field.get(..self.field_len) {
            Some(b"data") => self.begin_data(sink),
            Some(b"event") => self.begin_name(),
            _ => self.state = State::Skip,
        }
        if ends_line {
            self.end_line(byte);
        }
        rest
    }

    fn begin_data(&mut self, sink: &mut impl SseSink) {
        if std::mem::replace(&mut self.has_data, true) {
            sink.data(b"\n");
        }
        self.state = State::DataSpace;
    }

    fn begin_name(&mut self) {
        self.name.clear();
        self.state = State::NameSpace;
    }

    /// Behind the colon of a field that matters: one space is no part of the value.
    fn space<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if !bytes.is_empty() {
            self.state = if self.state == State::DataSpace { State::Data } else { State::Name };
        }
        bytes.strip_prefix(b" ").unwrap_or(bytes)
    }

    /// The value of a field up to the end of its line or of `bytes`; what is left of `bytes`.
    fn value<'a>(&mut self, bytes: &'a [u8], sink: &mut impl SseSink) -> &'a [u8] {
        // Names are short, data is not.
        let end = match self.state {
            State::Name => find::either(b'\n', b'\r', bytes),
            _ => memchr2(b'\n', b'\r', bytes),
        };
        let (value, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        match self.state {
            State::Data if !value.is_empty() => sink.data(value),
            State::Name => {
                let room = MAX_NAME.saturating_sub(self.name.len());
                self.name.extend_from_slice(value.get(..room).unwrap_or(value));
            }
            _ => {}
        }
        match rest.split_first() {
            Some((&byte, rest)) => {
                self.end_line(byte);
                rest
            }
            None => rest,
        }
    }

    fn end_line(&mut self, byte: u8) {
        self.after_cr = byte == b'\r';
        self.state = State::LineStart;
    }

    fn end_event(&mut self, sink: &mut impl SseSink) {
        if self.has_data || !self.name.is_empty() {
            sink.end(&self.name);
        }
        self.name.clear();
        self.has_data = false;
    }
}

#[cfg(test)]
mod tests;
