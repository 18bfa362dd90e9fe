//! Bodies of Amazon Bedrock: frames of an event stream, or text.
//!
//! Owns what is around a model's JSON in a frame: the event's name and whether it is an error, and for `InvokeModel` the
//! base64 around it. Invariants: what stands in a frame counts only once the frame's checksum fits; a frame that is not
//! sound makes the report not exact; an exception or error ends the answer as failed.

use super::bedrock_blob::Blob;
use super::text::TextExtractor;
use super::{Ending, Extractor, Outcome, Reading};
use crate::scan::eventstream::{FrameScanner, FrameSink};
use crate::scan::json::{JsonScanner, JsonSink, Value};

/// Longest name of an event that is kept, in bytes.
const MAX_NAME: usize = 64;

/// A format whose JSON may stand in frames.
pub(super) trait Framed: Reading {
    /// The JSON stands as base64 in the payload's member `bytes`.
    const WRAPPED: bool;
    /// The event that is ending has this name.
    fn named(&mut self, name: &str);
    /// The answer failed.
    fn fail(&mut self);
}

/// Reads one body, in the framing that its first byte shows: frames begin with a length below 2^25, and no text does.
pub(super) struct BedrockExtractor<R: Framed> {
    text: TextExtractor<R>,
    frames: Option<Box<Frames<R>>>,
    begun: bool,
}

impl<R: Framed> BedrockExtractor<R> {
    pub(super) fn new(content_type: Option<&str>) -> Self {
        // A refusal is JSON even where frames were promised.
        let other = content_type.filter(|kind| !kind.trim_start().starts_with("application/vnd.amazon."));
        Self { text: TextExtractor::new(other), frames: None, begun: false }
    }
}

impl<R: Framed> Extractor for BedrockExtractor<R> {
    fn feed(&mut self, bytes: &[u8]) {
        if let (false, Some(first)) = (self.begun, bytes.first()) {
            self.begun = true;
            self.frames = matches!(first, 0 | 1).then(|| Box::new(Frames::new()));
        }
        match &mut self.frames {
            Some(frames) => frames.scanner.feed(bytes, &mut frames.payloads),
            None => self.text.feed(bytes),
        }
    }

    fn settle(&mut self) {
        // Nothing waits in a frame: see [`JsonScanner::at_once`].
        self.text.settle();
    }

    fn live_output(&self) -> u64 {
        match &self.frames {
            Some(frames) => frames.payloads.reading.live_output(),
            None => self.text.live_output(),
        }
    }

    fn finish(&mut self, complete: bool) -> Outcome {
        match &mut self.frames {
            Some(frames) => frames.finish(complete),
            None => self.text.finish(complete),
        }
    }
}

pub(super) struct Frames<R: Framed> {
    scanner: FrameScanner,
    payloads: Payloads<R>,
}

/// The side of the frames' content.
struct Payloads<R: Framed> {
    json: JsonScanner<R::Field>,
    blob: Blob,
    reading: R,
    frame: Frame,
    fault: Option<&'static str>,
    failed: bool,
}

/// What is known of the frame that is being read.
#[derive(Debug, Default)]
struct Frame {
    name: Vec<u8>,
    /// It is an exception or an error, and its payload the reason.
    failure: bool,
    has_payload: bool,
    /// Its JSON is whole.
    whole: bool,
}

impl<R: Framed> Frames<R> {
    fn new() -> Self {
        let payloads = Payloads {
            // A document counts where its frame ends, so no find may wait beyond.
            json: JsonScanner::at_once(R::selector()),
            blob: Blob::default(),
            reading: R::default(),
            frame: Frame::default(),
            fault: None,
            failed: false,
        };
        Self { scanner: FrameScanner::new(), payloads }
    }

    fn finish(&mut self, complete: bool) -> Outcome {
        let payloads = &mut self.payloads;
        if self.scanner.is_broken() {
            payloads.fault = Some("a frame's lengths or headers cannot be believed");
        }
        payloads.reading.discard();
        let complete = complete && !self.scanner.is_open();
        let outcome = payloads.reading.conclude(Ending { complete, events: true });
        let sound = payloads.fault.is_none();
        Outcome {
            exact: outcome.exact && sound && !payloads.failed,
            fault: payloads.fault.or(outcome.fault),
            ..outcome
        }
    }
}

impl<R: Framed> FrameSink for Payloads<R> {
    fn header(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b":event-type" => {
                self.frame.name.clear();
                self.frame.name.extend(value.iter().take(MAX_NAME));
            }
            b":message-type" => self.frame.failure = matches!(value, b"exception" | b"error"),
            _ => {}
        }
    }

    fn payload(&mut self, bytes: &[u8]) {
        let Self { json, blob, reading, frame, .. } = self;
        frame.has_payload = true;
        if frame.failure {
            return;
        }
        let mut held = Held { reading, whole: &mut frame.whole };
        match R::WRAPPED {
            true => blob.feed(bytes, |decoded| json.feed(decoded, &mut held)),
            false => json.feed(bytes, &mut held),
        }
    }

    fn end(&mut self, sound: bool) {
        let frame = std::mem::take(&mut self.frame);
        let blob = std::mem::take(&mut self.blob);
        let whole = frame.whole && !self.json.is_broken() && (blob.is_whole() || !R::WRAPPED);
        self.json.restart();
        if !sound {
            self.fault = Some("a frame's checksum does not fit");
        } else if frame.failure {
            self.failed = true;
            self.reading.fail();
        } else if whole {
            self.reading.named(&String::from_utf8_lossy(&frame.name));
            return self.reading.document();
        } else if frame.has_payload {
            self.fault = Some("an event is not JSON");
        }
        self.reading.discard();
    }
}

/// Keeps a document back until its frame is proven.
struct Held<'a, R> {
    reading: &'a mut R,
    whole: &'a mut bool,
}

impl<R: Framed> JsonSink for Held<'_, R> {
    type Field = R::Field;

    fn value(&mut self, field: Self::Field, value: Value<'_>) {
        self.reading.value(field, value);
    }

    fn open(&mut self, field: Self::Field) {
        self.reading.open(field);
    }

    fn close(&mut self, field: Self::Field) {
        self.reading.close(field);
    }

    fn size(&mut self, field: Self::Field, bytes: usize) {
        self.reading.size(field, bytes);
    }

    fn document(&mut self) {
        *self.whole = true;
    }

    fn all_documents(&mut self) {}
}

#[cfg(test)]
mod tests;
