//! stub
use hudson_schema::{Format, Usage};
/// What is known of a response before its body.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `content-type` as sent.
    pub content_type: Option<&'a str>,
    /// `content-encoding` as sent.
    pub content_encoding: Option<&'a str>,
}
/// How a response ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The body ended as HTTP says it should.
    Complete,
    /// The body broke off, or Hudson stopped reading it.
    Interrupted,
}
/// What a response used.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Tokens, as far as the response stated them.
    pub usage: Option<Usage>,
    /// The provider's final numbers were seen.
    pub exact: bool,
    /// The model that answered.
    pub model: Option<String>,
    /// The provider's id of the response.
    pub response_id: Option<String>,
    /// Whether it came as a stream.
    pub stream: bool,
    /// Why nothing or not all could be read; static text, never content.
    pub fault: Option<String>,
    /// The format's last event was seen.
    pub finished: bool,
    /// Output tokens counted from the text itself, leaning high.
    pub live_output: u64,
}
/// The tap.
#[derive(Debug)]
pub struct Meter;
impl Meter {
    /// A meter at the start of a body.
    pub fn new(format: Format, head: &ResponseHead<'_>) -> Self { let _ = (format, head); Self }
    /// Takes the next bytes of the body as they came.
    pub fn feed(&mut self, bytes: &[u8]) { let _ = bytes; }
    /// Output tokens so far.
    pub fn live_output(&self) -> u64 { 0 }
    /// Ends the body.
    pub fn finish(self, end: End) -> Report { let _ = end; Report::default() }
}
