//! One recorded body through the meter, in chunks. The framing (JSON, events or frames) is found by the meter itself from
//! the first byte; what is found here is the coding around it.

use hudson_meter::{End, Meter, Report, ResponseHead};
use hudson_schema::Format;
use std::io::{self, ErrorKind, Read};

/// How much is read at a time.
pub(super) const CHUNK: usize = 64 << 10;
/// The length of the longest signature that [`guess`] knows, in bytes.
const SIGNATURE: usize = 4;

/// Reads a body to its end. `encoding` is what it is known to be coded in; without it the first bytes tell.
pub(super) fn report(
    mut body: impl Read,
    format: Format,
    content_type: Option<&str>,
    encoding: Option<&str>,
    buffer: &mut [u8],
) -> io::Result<Report> {
    let mut count = read(&mut body, buffer)?;
    // A pipe may give less at first than a signature is long.
    while (1..SIGNATURE).contains(&count) {
        match read(&mut body, buffer.get_mut(count..).unwrap_or_default())? {
            0 => break,
            more => count += more,
        }
    }
    let content_encoding = encoding.or_else(|| guess(buffer.get(..count).unwrap_or_default()));
    let mut meter = Meter::new(
        format,
        &ResponseHead { status: 200, content_type, content_encoding, ..ResponseHead::default() },
    );
    while count > 0 {
        meter.feed(buffer.get(..count).unwrap_or_default());
        count = read(&mut body, buffer)?;
    }
    Ok(meter.finish(End::Complete))
}

fn read(body: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match body.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The coding that the first bytes are the signature of: gzip (RFC 1952) or zstd (RFC 8878).
fn guess(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x1f, 0x8b, 0x08, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str =
        r#"{"id":"msg_1","type":"message","model":"claude-x","usage":{"input_tokens":7,"output_tokens":5}}"#;

    /// Gives one byte at a time, as a pipe may.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(1).min(buffer.len());
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn the_coding_is_known_by_its_signature() {
        assert_eq!(guess(&[0x1f, 0x8b, 8, 0]), Some("gzip"));
        assert_eq!(guess(&[0x28, 0xb5, 0x2f, 0xfd]), Some("zstd"));
        assert_eq!(guess(b"{}"), None);
        assert_eq!(guess(b""), None);
    }

    #[test]
    fn frames_are_metered_without_a_content_type() {
        let mut body =
            b"\x00\x00\x00\x63\x00\x00\x00\x17\x38\x63\x57\x33\x0b:event-type\x07\x00\x08metadata".to_vec();
        body.extend_from_slice(br#"{"usage":{"inputTokens":4,"outputTokens":2,"totalTokens":6}}"#);
        body.extend_from_slice(b"\x61\xdf\x6e\x1a");
        let mut buffer = vec![0; CHUNK];
        let whole = report(&body[..], Format::BedrockConverse, None, None, &mut buffer).unwrap();
        assert_eq!((whole.exact, whole.usage.unwrap().total), (true, 6));
        let dribbled = report(Dribble(&body), Format::BedrockConverse, None, None, &mut buffer).unwrap();
        assert_eq!(whole, dribbled);
    }

    #[test]
    fn a_body_is_metered_however_it_is_read() {
        let mut buffer = vec![0; CHUNK];
        let whole = report(BODY.as_bytes(), Format::Anthropic, None, None, &mut buffer).unwrap();
        assert!(whole.exact);
        assert_eq!(whole.usage.unwrap().total, 12);
        let dribbled = report(Dribble(BODY.as_bytes()), Format::Anthropic, None, None, &mut buffer).unwrap();
        assert_eq!(whole, dribbled);
        assert_eq!(report(io::empty(), Format::Anthropic, None, None, &mut buffer).unwrap().usage, None);
    }
}
