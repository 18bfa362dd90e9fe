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

/// Reads, rewrites and reads again, on every endpoint of the format and as a form; and as a message of a socket.
pub fn rewrite(format: Format, body: &[u8]) {
    for path in paths(format) {
        rewrite_at(
            RequestHead { format, host: "api.openai.com", path, query: None, content_type: None },
            body,
        );
    }
    if matches!(format, Format::OpenaiImages | Format::OpenaiAudio) {
        let content_type = Some("multipart/form-data; boundary=b");
        rewrite_at(
            RequestHead { format, host: "api.openai.com", path: "/v1/m", query: None, content_type },
            body,
        );
    }
    if format == Format::OpenaiRealtime && request::realtime::read(body).is_ok() {
        let _ = request::realtime::cap(body, 9).map(|changed| {
            request::realtime::read(&changed).expect("a capped message stays readable");
        });
    }
}

fn rewrite_at(head: RequestHead<'_>, body: &[u8]) {
    let Ok(facts) = request::read(&head, body) else { return };
    let change = Rewrite { output_cap: facts.cap_supported.then_some(9), include_usage: true };
    let changed = request::rewrite(&head, &facts, body, &change).expect("what reads can be rewritten");
    let again = request::read(&head, &changed).expect("a rewrite keeps a body readable");
    assert!(!facts.cap_supported || again.output_cap.is_some_and(|cap| cap <= 9));
    assert_eq!(
        (&again.model, again.stream, &again.server_tools),
        (&facts.model, facts.stream, &facts.server_tools)
    );
}

/// Paths that decide how a body of this format is read.
fn paths(format: Format) -> &'static [&'static str] {
    match format {
        Format::Anthropic => &["/v1/messages", "/v1/messages/batches"],
        Format::BedrockConverse => {
            &["/model/m/converse-stream", "/model/arn:aws:bedrock:r:1:prompt%2Fp/converse"]
        }
        Format::BedrockInvoke => &[
            "/model/us.anthropic.claude/invoke",
            "/model/amazon.nova-lite/invoke",
            "/model/amazon.titan-text/invoke",
            "/model/meta.llama/invoke",
            "/model/mistral.large/invoke",
            "/model/cohere.command/invoke",
            "/model/ai21.j2/invoke",
            "/model/unknown/invoke",
        ],
        Format::Gemini => &["/v1beta/models/g:generateContent", "/v1beta/models/g:embedContent"],
        Format::OpenaiAudio => &["/v1/audio/speech", "/v1/audio/transcriptions"],
        Format::OpenaiResponses => &["/v1/responses", "/v1/batches"],
        _ => &["/v1/m"],
    }
}

/// What the stripper lets through of a stream fed in pieces of `size`.
pub fn strip(stream: &[u8], size: usize) -> Vec<u8> {
    let mut stripper = UsageChunkStripper::new();
    let mut out = Vec::new();
    stream.chunks(size).for_each(|piece| stripper.feed(piece, &mut out));
    stripper.finish(&mut out);
    out
}
