//! JSON-RPC messages in a stream of server-sent events, as MCP has them: each event passes somebody who may put another
//! text in the place of its data.
//!
//! Invariants: an event whose data stays is passed on byte for byte, whatever the split of the input, as is everything
//! between two events; what is held back is at most one event of so many bytes. A longer one is passed on as it comes,
//! and ends the stream with an error should it turn out to hold a list of tools.

use crate::scan::json::{JsonScanner, JsonSink, Selector, Take, Value};
use crate::scan::sse::{SseScanner, SseSink};
use std::sync::LazyLock;

/// The byte order mark in UTF-8, which is no part of a stream's first line.
const BOM: &[u8] = &[0xef, 0xbb, 0xbf];

/// A list of tools that is too long to be looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an event holds a list of tools and is over {limit} bytes")]
pub struct ListTooLong {
    /// The most bytes of an event that is looked at as a whole.
    pub limit: usize,
}

/// Who looks at events.
pub trait EventEditor {
    /// What stands in the place of an event's data; `None` where it stays. `name` is the event's, empty where it has none.
    fn edit(&mut self, name: &[u8], data: &[u8]) -> Option<Vec<u8>>;
}

/// The messages that went by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Replies {
    /// Answers that are a result.
    pub results: usize,
    /// Answers that are an error.
    pub errors: usize,
}

/// A stream of events on its way.
pub struct EventFilter {
    limit: usize,
    /// The event under way, as far as it came; empty where it is passed on as it comes.
    held: Vec<u8>,
    /// The event under way is too long to be held.
    passes: bool,
    /// No event was before this one.
    first: bool,
    /// Bytes of the line under way.
    line: usize,
    /// The line under way is a comment.
    comment: bool,
    /// Bytes of the byte order mark that may stand in front of everything; none once it is decided.
    mark: Option<usize>,
    /// The last byte was a CR: a LF right behind belongs to the same line end.
    after_cr: bool,
    events: SseScanner,
    look: Look,
}

impl EventFilter {
    /// A stream at its start, of which events up to so many bytes are held back.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            held: Vec::new(),
            passes: false,
            first: true,
            line: 0,
            comment: false,
            mark: Some(0),
            after_cr: false,
            events: SseScanner::new(),
            look: Look::default(),
        }
    }

    /// Takes the next bytes, and appends to `out` what may go on by now.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        editor: &mut impl EventEditor,
    ) -> Result<(), ListTooLong> {
        bytes = self.start(bytes, out)?;
        while let Some(&byte) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                bytes = self.take(bytes, 1, out)?;
                // The second half of a line end belongs to what is there already.
                if self.line == 0 && self.held == b"\n" {
                    out.append(&mut self.held);
                }
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', bytes);
            let Some(end) = end else {
                self.comment |= self.line == 0 && byte == b':';
                self.line += bytes.len();
                self.take(bytes, bytes.len(), out)?;
                break;
            };
            let blank = self.line + end == 0;
            let comment = std::mem::take(&mut self.comment) || (self.line == 0 && byte == b':');
            self.after_cr = bytes.get(end) == Some(&b'\r');
            self.line = 0;
            let alone = self.held.is_empty();
            bytes = self.take(bytes, end + 1, out)?;
            if blank {
                self.end_event(out, editor);
            } else if comment && (alone || is_comment(&self.held)) {
                // Keep-alives between events come through at once.
                out.append(&mut self.held);
            }
        }
        Ok(())
    }

    /// Ends the stream; an event that no blank line closed is looked at all the same.
    pub fn finish(&mut self, out: &mut Vec<u8>, editor: &mut impl EventEditor) {
        self.events.finish(&mut self.look);
        self.end_event(out, editor);
    }

    /// Whether everything that came was passed on and the next byte begins an event: here an event can be put in.
    pub fn is_between(&self) -> bool {
        self.held.is_empty() && !self.passes && self.line == 0 && self.mark.is_none()
    }

    /// The messages so far.
    pub fn replies(&self) -> Replies {
        self.look.replies
    }

    /// Takes the byte order mark, as far as it is there.
    fn start<'a>(&mut self, mut bytes: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ListTooLong> {
        while let (Some(seen), Some(byte)) = (self.mark, bytes.first()) {
            if BOM.get(seen) == Some(byte) {
                bytes = self.take(bytes, 1, out)?;
                self.mark = (seen + 1 < BOM.len()).then_some(seen + 1);
            } else {
                // The start of a mark that was none belongs to the first line.
                self.line = seen;
                self.mark = None;
            }
        }
        Ok(bytes)
    }

    /// Takes so many bytes from the front; what is left.
    fn take<'a>(
        &mut self,
        bytes: &'a [u8],
        count: usize,
        out: &mut Vec<u8>,
    ) -> Result<&'a [u8], ListTooLong> {
        let (taken, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
        self.events.feed(taken, &mut self.look);
        if self.passes {
            out.extend_from_slice(taken);
        } else {
            self.held.extend_from_slice(taken);
            if self.held.len() > self.limit {
                out.append(&mut self.held);
                self.passes = true;
            }
        }
        match self.passes && self.look.list {
            true => Err(ListTooLong { limit: self.limit }),
            false => Ok(rest),
        }
    }

    fn end_event(&mut self, out: &mut Vec<u8>, editor: &mut impl EventEditor) {
        self.look.next();
        let first = std::mem::take(&mut self.first);
        if std::mem::take(&mut self.passes) || self.held.is_empty() {
            return;
        }
        let mut whole = Whole::default();
        let mut scanner = SseScanner::new();
        if !first {
            // Only the stream's first bytes can be a mark.
            scanner.feed(b"\n", &mut whole);
        }
        scanner.feed(&self.held, &mut whole);
        scanner.finish(&mut whole);
        match whole.ended.then(|| editor.edit(&whole.name, &whole.data)).flatten() {
            Some(data) => replace_data(&self.held, first, &data, out),
            None => out.extend_from_slice(&self.held),
        }
        self.held.clear();
    }
}

/// Whether all that is there are comments.
fn is_comment(held: &[u8]) -> bool {
    held.split(|byte| matches!(byte, b'\n' | b'\r')).all(|line| matches!(line.first(), None | Some(b':')))
}

/// The event with other data, and everything else as it was.
fn replace_data(mut event: &[u8], first: bool, data: &[u8], out: &mut Vec<u8>) {
    let mut data = Some(data);
    if first && let Some(rest) = event.strip_prefix(BOM) {
        out.extend_from_slice(BOM);
        event = rest;
    }
    for line in lines(event) {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if content != b"data" && !content.starts_with(b"data:") {
            out.extend_from_slice(line);
            continue;
        }
        let Some(data) = data.take() else { continue };
        let ending = line.get(content.len()..).filter(|ending| !ending.is_empty()).unwrap_or(b"\n");
        for part in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(part);
            out.extend_from_slice(ending);
        }
    }
}

/// The lines of an event, each with its end.
fn lines(mut event: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = match memchr::memchr2(b'\n', b'\r', event) {
            Some(end) if event.get(end..end + 2) == Some(b"\r\n") => end + 2,
            Some(end) => end + 1,
            None => event.len(),
        };
        let (line, rest) = event.split_at_checked(end)?;
        event = rest;
        (!line.is_empty()).then_some(line)
    })
}

/// The data of one event.
#[derive(Default)]
struct Whole {
    name: Vec<u8>,
    data: Vec<u8>,
    ended: bool,
}

impl SseSink for Whole {
    fn data(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
    }

    fn end(&mut self, name: &[u8]) {
        self.name = name.to_vec();
        self.ended = true;
    }
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Tools,
    Result,
    Error,
}

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    Selector::new([
        ("result.tools", Field::Tools, Take::Value),
        ("result", Field::Result, Take::Value),
        ("error", Field::Error, Take::Value),
    ])
});

/// A message that is read as it flows by: whether it holds a list of tools, and which kind of answer it is.
pub struct ReplyScanner {
    json: JsonScanner<Field>,
    seen: Seen,
}

impl Default for ReplyScanner {
    fn default() -> Self {
        Self { json: JsonScanner::at_once(&SELECTOR), seen: Seen::default() }
    }
}

impl ReplyScanner {
    /// Takes the next bytes of the message, or of an array of messages.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.json.feed(bytes, &mut self.seen);
    }

    /// The answers so far.
    pub fn replies(&self) -> Replies {
        self.seen.replies
    }

    fn restart(&mut self) {
        self.json.restart();
        self.seen.tools = false;
    }
}

#[derive(Debug, Default)]
struct Seen {
    tools: bool,
    replies: Replies,
}

impl JsonSink for Seen {
    type Field = Field;

    fn value(&mut self, field: Field, value: Value<'_>) {
        match field {
            Field::Error if value != Value::Null => self.replies.errors += 1,
            Field::Result => self.replies.results += 1,
            Field::Tools | Field::Error => {}
        }
    }

    fn open(&mut self, field: Field) {
        match field {
            Field::Tools => self.tools = true,
            Field::Result => self.replies.results += 1,
            Field::Error => self.replies.errors += 1,
        }
    }

    fn close(&mut self, _field: Field) {}

    fn size(&mut self, _field: Field, _bytes: usize) {}

    fn document(&mut self) {}

    fn all_documents(&mut self) {}
}

/// What events are read for as they come.
#[derive(Default)]
struct Look {
    message: ReplyScanner,
    list: bool,
    replies: Replies,
}

impl Look {
    /// The next event is another message.
    fn next(&mut self) {
        self.message.restart();
        self.list = false;
    }
}

impl SseSink for Look {
    fn data(&mut self, bytes: &[u8]) {
        self.message.feed(bytes);
        self.list = self.message.seen.tools;
        self.replies = self.message.replies();
    }

    fn end(&mut self, _name: &[u8]) {}
}

#[cfg(test)]
mod tests;
