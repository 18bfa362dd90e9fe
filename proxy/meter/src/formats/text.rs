//! Bodies that are text: server-sent events, one JSON object, JSON objects in an array or in a row.
//!
//! The framing is taken from the first byte of the body, which cannot be wrong, and not from the content type, which
//! servers and relays get wrong; a content type that promises neither only serves to name the fault. Invariant: memory
//! is that of the two scanners, whatever arrives.

use super::{Ending, Extractor, Outcome, Reading};
use crate::scan::json::JsonScanner;
use crate::scan::sse::{SseScanner, SseSink};

/// Longest event data that is compared with `[DONE]`.
const MAX_MARK: usize = 8;

pub(super) struct TextExtractor<R: Reading> {
    framing: Framing,
    sse: SseScanner,
    events: Events<R>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Framing {
    /// Nothing but white space and a byte order mark so far.
    Undecided,
    Sse,
    Json,
    /// Neither: nothing is read.
    Other,
}

/// The JSON side: events' data in, values out to the reading.
struct Events<R: Reading> {
    json: JsonScanner<R::Field>,
    reading: R,
    /// The first bytes of the event's data, and how many they are.
    mark: ([u8; MAX_MARK], usize),
    /// An event had data.
    any: bool,
    fault: Option<&'static str>,
}

impl<R: Reading> TextExtractor<R> {
    pub(super) fn new(content_type: Option<&str>) -> Self {
        let fault =
            content_type.filter(|kind| is_binary(kind)).map(|_| "the content type is neither JSON nor SSE");
        let events = Events {
            json: JsonScanner::new(R::selector(), false),
            reading: R::default(),
            mark: ([0; MAX_MARK], 0),
            any: false,
            fault,
        };
        let framing = if fault.is_some() { Framing::Other } else { Framing::Undecided };
        Self { framing, sse: SseScanner::new(), events }
    }

    /// Finds the framing from the first byte that says something; what is left of `bytes` from there on.
    fn decide<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        // A byte order mark and leading white space mean nothing in either framing.
        let blank = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 0xef | 0xbb | 0xbf);
        let Some(at) = bytes.iter().position(|byte| !blank(byte)) else { return &[] };
        let rest = bytes.get(at..).unwrap_or_default();
        self.framing = match rest.first() {
            Some(b'{' | b'[') => {
                self.events.json = JsonScanner::new(R::selector(), true);
                Framing::Json
            }
            Some(b':' | b'a'..=b'z' | b'A'..=b'Z') => Framing::Sse,
            _ => {
                self.events.fault = Some("the body is neither JSON nor SSE");
                Framing::Other
            }
        };
        rest
    }
}

impl<R: Reading> Extractor for TextExtractor<R> {
    fn feed(&mut self, bytes: &[u8]) {
        let bytes = if self.framing == Framing::Undecided { self.decide(bytes) } else { bytes };
        match self.framing {
            Framing::Sse => self.sse.feed(bytes, &mut self.events),
            Framing::Json => self.events.json.feed(bytes, &mut self.events.reading),
            Framing::Undecided | Framing::Other => {}
        }
    }

    fn settle(&mut self) {
        self.events.json.settle(&mut self.events.reading);
    }

    fn live_output(&self) -> u64 {
        self.events.reading.live_output()
    }

    fn finish(&mut self, complete: bool) -> Outcome {
        let events = &mut self.events;
        let mut complete = complete;
        match self.framing {
            Framing::Sse => {
                self.sse.finish(events);
                if !events.any {
                    // Text begins like an event and is none.
                    events.fault = Some("the body is neither JSON nor SSE");
                }
            }
            Framing::Json => {
                events.json.finish(&mut events.reading);
                complete &= !events.json.is_open();
                if events.json.is_broken() {
                    events.fault = Some("the body is not JSON");
                }
            }
            Framing::Undecided | Framing::Other => complete = false,
        }
        events.reading.discard();
        let stream = self.framing == Framing::Sse;
        let outcome = events.reading.conclude(Ending { complete, events: stream });
        Outcome { stream: outcome.stream || stream, fault: outcome.fault.or(events.fault), ..outcome }
    }
}

impl<R: Reading> SseSink for Events<R> {
    fn data(&mut self, bytes: &[u8]) {
        self.any = true;
        let (mark, length) = &mut self.mark;
        match bytes.first_chunk() {
            Some(first) if *length == 0 => (*mark, *length) = (*first, MAX_MARK),
            _ => {
                for (slot, byte) in mark.iter_mut().skip(*length).zip(bytes) {
                    *slot = *byte;
                    *length += 1;
                }
            }
        }
        self.json.feed(bytes, &mut self.reading);
    }

    fn end(&mut self, _name: &[u8]) {
        self.json.settle(&mut self.reading);
        // An event without data (a bare `event:` line) is neither broken nor open.
        if self.json.is_broken() || self.json.is_open() {
            let (mark, length) = &self.mark;
            if mark.get(..*length).unwrap_or_default().trim_ascii() == b"[DONE]" {
                self.reading.done();
            } else {
                self.fault = Some("an event is not JSON");
                self.reading.discard();
            }
        }
        self.mark.1 = 0;
        self.json.restart();
    }
}

/// Content types that are certainly neither JSON nor SSE, even if they begin like one.
fn is_binary(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ["image/", "audio/", "video/", "font/", "application/vnd.amazon.eventstream", "application/octet-stream"]
        .iter()
        .any(|prefix| kind.starts_with(prefix))
}
