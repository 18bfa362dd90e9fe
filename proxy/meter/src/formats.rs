//! The wire formats, one file each, and what they have in common.
//!
//! A format is a [`Reading`]: the paths it wants from the provider's JSON and what it makes of their values. Most state
//! their usage once, at the end, and share the reading in [`answers`]; [`counts`] has the numbers of a usage object.
//! Around a reading stands an [`Extractor`], which turns bytes into those values: [`text`] does so for SSE and JSON,
//! [`bedrock`] for the frames of Amazon's event stream as well. Invariant: usage is taken only from the places the format
//! has for it, and only from JSON objects that arrived whole.

mod answers;
mod anthropic;
mod bedrock;
mod bedrock_blob;
mod bedrock_converse;
mod bedrock_headers;
mod bedrock_invoke;
mod cohere;
mod counts;
mod gemini;
mod gemini_interactions;
mod ollama;
mod openai_chat;
mod openai_media;
mod openai_realtime;
mod openai_responses;
mod text;

pub use bedrock_headers::header_usage;

use crate::scan::json::{JsonSink, Selector, Value};
use answers::Answers;
use bedrock::{BedrockExtractor, Framed};
use hudson_schema::{Format, Usage};
use text::TextExtractor;

/// How the provider's own numbers stand at the end of a body.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) usage: Option<Usage>,
    pub(crate) billed: Option<Usage>,
    pub(crate) exact: bool,
    pub(crate) finished: bool,
    pub(crate) model: Option<String>,
    pub(crate) response_id: Option<String>,
    pub(crate) stream: bool,
    pub(crate) fault: Option<&'static str>,
}

/// What a body was, once it is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ending {
    /// The body ended as HTTP says it should, not in the middle of a JSON text.
    pub(crate) complete: bool,
    /// It came as events and not as JSON.
    pub(crate) events: bool,
}

/// Bytes of a decoded body in, an outcome out.
pub(crate) trait Extractor: Send {
    /// Takes the next bytes.
    fn feed(&mut self, bytes: &[u8]);
    /// Reads what waits for the bytes behind it: no more come.
    fn settle(&mut self);
    /// Output tokens so far, leaning high.
    fn live_output(&self) -> u64;
    /// Ends the body.
    fn finish(&mut self, complete: bool) -> Outcome;
}

/// A format's JSON: which values it wants and what it makes of them. One [`JsonSink::document`] call ends one event.
pub(crate) trait Reading: JsonSink + Default + Send {
    /// The paths, compiled once.
    fn selector() -> &'static Selector<Self::Field>;
    /// An event whose data was `[DONE]`.
    fn done(&mut self) {}
    /// The event so far was no whole JSON text: what it left behind is dropped.
    fn discard(&mut self);
    /// Output tokens so far, leaning high.
    fn live_output(&self) -> u64;
    /// The body is over.
    fn conclude(&mut self, ending: Ending) -> Outcome;
}

/// The extractor of a format for a body of this content type.
pub(crate) fn extractor(format: Format, content_type: Option<&str>) -> Box<dyn Extractor> {
    match format {
        Format::Anthropic => plain::<anthropic::Anthropic>(content_type),
        Format::BedrockConverse => framed::<Answers<bedrock_converse::BedrockConverse>>(content_type),
        Format::BedrockInvoke => framed::<bedrock_invoke::BedrockInvoke>(content_type),
        Format::Cohere => plain::<Answers<cohere::Cohere>>(content_type),
        Format::Gemini => plain::<gemini::Gemini>(content_type),
        Format::GeminiInteractions => plain::<Answers<gemini_interactions::GeminiInteractions>>(content_type),
        Format::Ollama => plain::<Answers<ollama::Ollama>>(content_type),
        Format::OpenaiAudio => plain::<Answers<openai_media::OpenaiAudio>>(content_type),
        Format::OpenaiImages => plain::<Answers<openai_media::OpenaiImages>>(content_type),
        Format::OpenaiRealtime => plain::<Answers<openai_realtime::OpenaiRealtime>>(content_type),
        Format::OpenaiResponses => plain::<Answers<openai_responses::OpenaiResponses>>(content_type),
        // OpenAI's chat; `Format` is open to more.
        _ => plain::<openai_chat::OpenaiChat>(content_type),
    }
}

fn plain<R: Reading + 'static>(content_type: Option<&str>) -> Box<dyn Extractor> {
    Box::new(TextExtractor::<R>::new(content_type))
}

fn framed<R: Framed + 'static>(content_type: Option<&str>) -> Box<dyn Extractor> {
    Box::new(BedrockExtractor::<R>::new(content_type))
}

/// Tokens that so many bytes of generated text may be, leaning high: three bytes each, rounded up. Recorded answers of
/// more than a few words have 3.3 to 5 bytes a token; the corpus test prints how often this falls short.
fn tokens_of(bytes: u64) -> u64 {
    bytes.div_ceil(3)
}

/// Bytes that stand for what a tool call costs beside its name and arguments. Recorded calls with an argument or two
/// have 40 to 70 tokens on Anthropic, 10 to 20 elsewhere.
const TOOL_CALL: u64 = 192;

/// A count, unless the value is none.
fn count(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Number(count) => Some(count),
        _ => None,
    }
}

/// A text, unless the value is none or empty.
fn text_of(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Keeps the first non-empty text.
fn keep_first(slot: &mut Option<String>, value: Value<'_>) {
    if slot.is_none() {
        *slot = text_of(value).map(str::to_owned);
    }
}

/// The usage with its output raised to `output`.
fn with_output(usage: Usage, output: u64) -> Usage {
    let output = usage.output.max(output);
    Usage { output, total: usage.total.saturating_add(output - usage.output), ..usage }
}

/// Adds without wrapping.
fn sum(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |total, part| total.saturating_add(*part))
}

#[cfg(test)]
pub(crate) mod tests;
