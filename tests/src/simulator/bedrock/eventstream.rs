//! A frame of `application/vnd.amazon.eventstream`. Source: AWS, "Event stream encoding".

use bytes::Bytes;
use serde_json::Value;

/// The type of a header whose value is a text.
const TEXT: u8 = 7;

/// A frame of this message type, whose kind stands in the header `name`, with this payload.
pub(super) fn frame((message, name, kind): (&str, &str, &str), payload: &Value) -> Bytes {
    let mut headers = Vec::new();
    for (name, value) in [(name, kind), (":content-type", "application/json"), (":message-type", message)] {
        headers.push(u8::try_from(name.len()).expect("a header's name is short"));
        headers.extend_from_slice(name.as_bytes());
        headers.push(TEXT);
        headers.extend_from_slice(&u16::try_from(value.len()).expect("a header is short").to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let payload = payload.to_string();
    // Two lengths and their checksum in front, a checksum behind.
    let length = |bytes: usize| u32::try_from(bytes).expect("a frame is below 4 GiB").to_be_bytes();
    let mut frame = length(12 + headers.len() + payload.len() + 4).to_vec();
    frame.extend_from_slice(&length(headers.len()));
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload.as_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.into()
}
