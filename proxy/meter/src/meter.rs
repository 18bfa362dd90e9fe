//! The tap on a response: bytes as they come from the provider in, token usage out.
//!
//! Owns the order decode, frame, read, and what happens when one of them fails: the meter stops reading and says so in
//! [`Report::fault`], and whoever forwards the bytes never notices. Invariants: the report does not depend on how the
//! bytes were split (nor does it claim to be exact when decoding failed, where a decoder may lose bytes that a finer
//! split would have saved); memory is bounded by constants; nothing that arrives can panic.

use crate::decode::{DecodeError, StreamDecoder};
pub use crate::formats::header_usage;
use crate::formats::{self, Extractor};
use hudson_schema::{Format, Usage};

/// How many encoded bytes are decoded at a time, so that what they decode to stays small.
const STEP: usize = 1 << 10;

/// What is known of a response before its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseHead<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `content-type` as sent.
    pub content_type: Option<&'a str>,
    /// `content-encoding` as sent.
    pub content_encoding: Option<&'a str>,
    /// What [`header_usage`] read from its headers.
    pub stated: Option<Usage>,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// As HTTP says it should: its length was reached, its last chunk or END_STREAM was seen.
    Complete,
    /// It broke off, or Hudson stopped reading.
    Interrupted,
}

/// What a response used.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Every token processed, as the provider stated it. When `exact` is false these are the numbers seen so far, with
    /// the output raised to what was counted from the text; `None` when nothing was stated at all.
    pub usage: Option<Usage>,
    /// What the provider bills where that is less than `usage`: with a fallback answer, declined attempts are not; Cohere
    /// does not bill its own prompt around the messages.
    pub billed: Option<Usage>,
    /// The provider's final numbers were seen.
    pub exact: bool,
    /// The model that answered, by the provider's name for it.
    pub model: Option<String>,
    /// The provider's id of the response.
    pub response_id: Option<String>,
    /// Whether the answer came in pieces.
    pub stream: bool,
    /// Why nothing or not all could be read, as a text without any content of the body.
    pub fault: Option<String>,
    /// The format's last event was seen, an error event included.
    pub finished: bool,
    /// [`Meter::live_output`] at the end: what there is to charge by when nothing was stated.
    pub live_output: u64,
}

/// Reads one response body. See the module.
pub struct Meter {
    decoder: Option<StreamDecoder>,
    extractor: Box<dyn Extractor>,
    scratch: Vec<u8>,
    fault: Option<String>,
    /// Decoding failed in the middle, so that bytes are missing.
    lossy: bool,
    /// What the headers stated.
    stated: Option<Usage>,
}

impl Meter {
    /// A meter at the start of a body in this format.
    pub fn new(format: Format, head: &ResponseHead<'_>) -> Self {
        let mut meter = Self {
            decoder: None,
            extractor: formats::extractor(format, head.content_type),
            scratch: Vec::new(),
            fault: None,
            lossy: false,
            stated: head.stated,
        };
        match StreamDecoder::new(head.content_encoding.unwrap_or_default()) {
            Ok(decoder) if decoder.is_identity() => {}
            Ok(decoder) => meter.decoder = Some(decoder),
            Err(error) => meter.fault = Some(error.to_string()),
        }
        meter
    }

    /// Takes the next bytes of the body, as they came over the wire.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.feed_seen(bytes, |_| {});
    }

    /// The same, and shows what they decode to to somebody else as well, as long as the meter reads.
    pub fn feed_seen(&mut self, bytes: &[u8], mut see: impl FnMut(&[u8])) {
        if self.fault.is_some() {
            return;
        }
        let Some(decoder) = &mut self.decoder else {
            see(bytes);
            return self.extractor.feed(bytes);
        };
        for step in bytes.chunks(STEP) {
            self.scratch.clear();
            let result = decoder.decode(step, &mut self.scratch);
            // What came out of earlier steps stays good after an error.
            see(&self.scratch);
            self.extractor.feed(&self.scratch);
            if let Err(error) = result {
                return self.fail(&error);
            }
        }
    }

    /// Output tokens so far: the provider's own count where a stream carries one, else a third of the bytes of the
    /// generated text, which leans high. Thinking that the provider does not show is not in it.
    pub fn live_output(&self) -> u64 {
        self.extractor.live_output()
    }

    /// Ends the body.
    pub fn finish(mut self, end: End) -> Report {
        if let (Some(decoder), None) = (&mut self.decoder, &self.fault) {
            self.scratch.clear();
            let result = decoder.finish(&mut self.scratch);
            self.extractor.feed(&self.scratch);
            match (result, end) {
                // The encoding of a body that broke off is cut short as a matter of course.
                (Ok(()), _) | (Err(DecodeError::Truncated(_)), End::Interrupted) => {}
                (Err(error), _) => self.fail(&error),
            }
        }
        self.extractor.settle();
        let live_output = self.extractor.live_output();
        let outcome = self.extractor.finish(end == End::Complete && self.fault.is_none());
        Report {
            // Headers are whole whatever became of the body.
            usage: self.stated.or(outcome.usage),
            billed: outcome.billed,
            exact: self.stated.is_some() || (outcome.exact && !self.lossy),
            model: outcome.model,
            response_id: outcome.response_id,
            stream: outcome.stream,
            fault: self.fault.or(outcome.fault.map(str::to_owned)),
            finished: outcome.finished,
            live_output,
        }
    }

    fn fail(&mut self, error: &DecodeError) {
        self.fault = Some(error.to_string());
        self.lossy |= !matches!(error, DecodeError::Truncated(_));
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("live_output", &self.live_output()).field("fault", &self.fault).finish()
    }
}

#[cfg(test)]
mod tests;
