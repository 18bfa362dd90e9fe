//! What the tests of the formats share.

use crate::meter::{End, Meter, Report, ResponseHead};
use base64::Engine;
use hudson_schema::Format;

/// The report of a body that is fed in pieces of 11 bytes, which is also that of the body as a whole.
pub(crate) fn meter(format: Format, body: impl AsRef<[u8]>, end: End) -> Report {
    let reports = [11, usize::MAX].map(|size| {
        let mut meter = Meter::new(format, &ResponseHead { status: 200, ..ResponseHead::default() });
        body.as_ref().chunks(size).for_each(|piece| meter.feed(piece));
        meter.finish(end)
    });
    assert_eq!(reports[0], reports[1], "the split does not matter");
    let [_, whole] = reports;
    whole
}

/// Input, output, cache read, cache write, reasoning and total.
pub(crate) fn numbers(report: &Report) -> [u64; 6] {
    let usage = report.usage.expect("usage is stated");
    [usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning, usage.total]
}

/// Events with these data.
pub(crate) fn events(data: &[&str]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect()
}

/// One frame of Amazon's event stream, as the service sends it.
pub(crate) fn frame(message: &str, name: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    let kind = if message == "exception" { ":exception-type" } else { ":event-type" };
    for (name, value) in [(":message-type", message), (kind, name), (":content-type", "application/json")] {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    frame_of(&headers, payload)
}

/// One frame with these headers.
pub(crate) fn frame_of(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = 16 + headers.len() + payload.len();
    let mut frame = Vec::with_capacity(total);
    for length in [total, headers.len()] {
        frame.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
    }
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(headers);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

/// A chunk of `InvokeModelWithResponseStream` around a model's JSON.
pub(crate) fn chunk(json: &str) -> Vec<u8> {
    let blob = base64::engine::general_purpose::STANDARD.encode(json);
    frame("event", "chunk", format!(r#"{{"bytes":"{blob}","p":"abc"}}"#).as_bytes())
}
