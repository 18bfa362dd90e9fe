//! One frame of `application/vnd.amazon.eventstream`: the error that ends a stream of Amazon Bedrock.
//!
//! A frame is its length and its headers' length (big-endian, four bytes each), the CRC-32 of these eight, the headers,
//! the payload, and the CRC-32 of all before it. A header is the length of its name, the name, the type 7 (a text), the
//! text's length in two bytes, the text. Source: AWS, "Event stream encoding".

/// An exception of this type with this JSON.
pub(super) fn exception(kind: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in
        [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")]
    {
        // The names and values above have less than 256 bytes.
        headers.push(name.len() as u8);
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let total = 12 + headers.len() + payload.len() + 4;
    let mut frame = Vec::with_capacity(total);
    frame.extend_from_slice(&(total as u32).to_be_bytes());
    frame.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload.as_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_check_sums_fit() {
        let frame = exception("AccessDeniedException", r#"{"message":"spent"}"#);
        let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        assert_eq!(word(0) as usize, frame.len());
        assert_eq!(word(8), crc32fast::hash(&frame[..8]));
        assert_eq!(word(frame.len() - 4), crc32fast::hash(&frame[..frame.len() - 4]));
        let payload = &frame[12 + word(4) as usize..frame.len() - 4];
        assert_eq!(payload, br#"{"message":"spent"}"#);
    }
}
