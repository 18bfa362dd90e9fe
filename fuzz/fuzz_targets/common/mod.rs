//! What the targets share.
#![allow(dead_code, reason = "each target uses a part")]

use hudson_meter::{End, Meter, Report, ResponseHead, Rewrite, StreamDecoder, UsageChunkStripper, request};
use hudson_proxy::websocket::{Counts, Handing, Message, Passage, Sender, Violation};
use hudson_schema::Format;
use secrecy::SecretString;

/// The format that a byte picks.
pub fn format(which: u8) -> Format {
    Format::ALL[usize::from(which) % Format::ALL.len()]
}

/// The report of a body fed in pieces of `size`.
pub fn meter(format: Format, content_type: &str, body: &[u8], size: usize) -> Report {
    let head = ResponseHead { status: 200, content_type: Some(content_type), content_encoding: None };
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
    let (host, path) = ("api.openai.com", "/v1/m");
    let Ok(facts) = request::read_at(format, host, path, None, body) else { return };
    let change = Rewrite { output_cap: Some(9), include_usage: true };
    let changed = request::rewrite(format, &facts, host, body, &change).expect("what reads can be rewritten");
    let again = request::read_at(format, host, path, None, &changed).expect("a rewrite keeps a body readable");
    assert!(again.output_cap.is_some_and(|cap| cap <= 9));
    assert_eq!((&again.model, again.stream, &again.server_tools), (&facts.model, facts.stream, &facts.server_tools));
}

/// What the stripper lets through of a stream fed in pieces of `size`.
pub fn strip(stream: &[u8], size: usize) -> Vec<u8> {
    let mut stripper = UsageChunkStripper::new();
    let mut out = Vec::new();
    stream.chunks(size).for_each(|piece| stripper.feed(piece, &mut out));
    stripper.finish(&mut out);
    out
}

/// What went on of a direction fed in pieces of `size`, what was handed out, and the verdict. A byte picks who sends and
/// what is done with messages.
pub fn websocket(which: u8, wire: &[u8], size: usize) -> (Vec<u8>, Vec<Message>, Option<Violation>, Counts) {
    let seen = Handing::Seen { bound: 64 };
    let mut passage = match which % 4 {
        0 => Passage::new(Sender::Client, 4096, seen),
        1 => Passage::without(vec![SecretString::from("sk-0123456789".to_owned())], 4096, seen),
        2 => Passage::new(Sender::Client, 4096, Handing::Held { bound: 256 }),
        _ => Passage::new(Sender::Server, 4096, Handing::Streamed),
    };
    let (mut out, mut messages, mut verdict) = (Vec::new(), Vec::new(), None);
    'all: for mut piece in wire.chunks(size.min(wire.len().max(1))) {
        loop {
            let fed = passage.feed(&mut piece);
            if let Ok(Some(message)) = &fed {
                passage.admit(&message.payload);
            }
            out.extend_from_slice(passage.out());
            passage.clear_out();
            match fed {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(violation) => {
                    verdict = Some(violation);
                    break 'all;
                }
            }
        }
    }
    let mut counts = passage.counts();
    if verdict.is_some() {
        // Bytes of the frame that broke off are counted as far as they came.
        counts.bytes = 0;
    }
    if which % 4 != 1 && which % 4 != 2 {
        assert!(wire.starts_with(&out), "something else went on than came");
    }
    if which % 4 == 1 {
        let mut reader = Passage::new(Sender::Server, 4096, Handing::Seen { bound: 4096 });
        let mut left = &out[..];
        while let Some(message) = reader.feed(&mut left).expect("what went on is allowed") {
            let value = message.payload.windows(13).any(|bytes| bytes == b"sk-0123456789");
            assert!(!value, "the value went on");
        }
    }
    (out, messages, verdict, counts)
}
