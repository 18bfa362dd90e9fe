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

/// Two formats' bodies, from the first byte's format and the rest: the rest as it stands, and as frames of Amazon's
/// event stream. There it is parted by 0xff into frames, each an event's name, a NUL and a payload; a name behind `!` is
/// an exception's. (Noise alone has no sound checksum, so that little would be reached.)
pub fn eventstream(data: &[u8]) -> Option<(Format, [Vec<u8>; 2])> {
    let (which, rest) = data.split_first()?;
    let format = if which & 1 == 0 { Format::BedrockConverse } else { Format::BedrockInvoke };
    let frames = rest.split(|byte| *byte == 0xff).flat_map(|part| {
        let mut halves = part.splitn(2, |byte| *byte == 0);
        let (name, payload) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        match name.strip_prefix(b"!") {
            Some(name) => frame(b"exception", name, payload),
            None => frame(b"event", name, payload),
        }
    });
    Some((format, [rest.to_vec(), frames.collect()]))
}

fn frame(message: &[u8], name: &[u8], payload: &[u8]) -> Vec<u8> {
    let name = &name[..name.len().min(100)];
    let mut headers = Vec::new();
    for (key, value) in [(&b":message-type"[..], message), (b":event-type", name)] {
        headers.push(key.len() as u8);
        headers.extend_from_slice(key);
        headers.extend_from_slice(&[7, 0, value.len() as u8]);
        headers.extend_from_slice(value);
    }
    let mut frame = Vec::new();
    frame.extend_from_slice(&((16 + headers.len() + payload.len()) as u32).to_be_bytes());
    frame.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    frame.extend_from_slice(&crc(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc(&frame).to_be_bytes());
    frame
}

/// CRC-32 as in gzip.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
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
    // Where each is counted, too.
    let host = match format {
        Format::Anthropic => "api.anthropic.com",
        Format::Gemini => "generativelanguage.googleapis.com",
        _ => "api.openai.com",
    };
    let head = RequestHead {
        format,
        host,
        path: "/v1/m",
        query: None,
        content_type: None,
        socket: false,
        models: &[],
    };
    for path in paths(format) {
        rewrite_at(RequestHead { path, ..head }, body);
    }
    if format == Format::OpenaiResponses {
        rewrite_at(RequestHead { path: "/v1/responses", socket: true, ..head }, body);
    }
    if matches!(format, Format::OpenaiImages | Format::OpenaiAudio) {
        let content_type = Some("multipart/form-data; boundary=b");
        rewrite_at(RequestHead { content_type, ..head }, body);
    }
    if format == Format::OpenaiRealtime && request::realtime::read(body).is_ok() {
        let _ = request::realtime::cap(body, 9).map(|changed| {
            request::realtime::read(&changed).expect("a capped message stays readable");
        });
    }
}

fn rewrite_at(head: RequestHead<'_>, body: &[u8]) {
    let _ = request::count::answer(head.format, body);
    let Ok(facts) = request::read(&head, body) else { return };
    // Gemini's stands in an object of its own.
    let asked = request::count::question(&head, body).filter(|_| head.format != Format::Gemini);
    if let Some(question) = asked {
        let asked = request::read(&head, &question.body).expect("what is asked reads as the request does");
        assert_eq!((&asked.model, &asked.unseen_input), (&facts.model, &facts.unseen_input));
    }
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
