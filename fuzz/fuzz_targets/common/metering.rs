//! What the targets of the meter share.

use hudson_meter::{
    End, Meter, Report, RequestHead, ResponseHead, Rewrite, StreamDecoder, UsageChunkStripper, request,
};
use hudson_schema::Format;

/// The format that a byte picks.
pub fn format(which: u8) -> Format {
    Format::ALL[usize::from(which) % Format::ALL.len()]
}

/// The report of a body fed in pieces of `size`.
pub fn meter(format: Format, content_type: &str, body: &[u8], size: usize) -> Report {
    let head = ResponseHead {
        status: 200,
        content_type: Some(content_type),
        content_encoding: None,
        ..ResponseHead::default()
    };
    let mut meter = Meter::new(format, &head);
    body.chunks(size).for_each(|piece| meter.feed(piece));
    meter.finish(End::Complete)
}

/// Decodes a body in the encoding that a byte picks.
pub fn decode(which: u8, body: &[u8]) {
    let encoding = ["gzip", "deflate", "br", "zstd", "gzip, zstd"][usize::from(which >> 2) % 5];
    let mut decoder = StreamDecoder::new(encoding).expect("a known encoding");
    let mut out = Vec::new();
    let _ = decoder.decode(body, &mut out).and_then(|()| decoder.finish(&mut out));
}

/// Reads, rewrites and reads again.
pub fn rewrite(format: Format, body: &[u8]) {
    let head = RequestHead { format, host: "api.openai.com", path: "/v1/m", query: None, content_type: None };
    let Ok(facts) = request::read(&head, body) else { return };
    let change = Rewrite { output_cap: Some(9), include_usage: true };
    let changed = request::rewrite(&head, &facts, body, &change).expect("what reads can be rewritten");
    let again = request::read(&head, &changed).expect("a rewrite keeps a body readable");
    assert!(again.output_cap.is_some_and(|cap| cap <= 9));
    assert_eq!(
        (&again.model, again.stream, &again.server_tools),
        (&facts.model, facts.stream, &facts.server_tools)
    );
}

/// What the stripper lets through of a stream fed in pieces of `size`.
pub fn strip(stream: &[u8], size: usize) -> Vec<u8> {
    let mut stripper = UsageChunkStripper::new();
    let mut out = Vec::new();
    stream.chunks(size).for_each(|piece| stripper.feed(piece, &mut out));
    stripper.finish(&mut out);
    out
}
