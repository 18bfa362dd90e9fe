//! HTTP/2 frame by frame (RFC 9113 section 4), for all that libraries refuse to send. Fields are HPACK literals
//! (RFC 7541 section 6.2.2), so that every byte is the test's own.

use std::io::{self, Read, Write};
use std::time::Duration;

use super::agent::{Agent, Tls};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;

/// The error code of a peer that is too busy with nothing (RFC 9113 section 7).
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A field of a request, byte by byte.
pub(crate) type Field<'a> = (&'a [u8], &'a [u8]);

/// An HTTP/2 connection inside a tunnel.
pub(crate) struct Frames {
    tls: Tls,
}

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// Answered, with this status.
    Status(u16),
    /// The stream was reset, for this reason.
    Reset(u32),
    /// The connection was ended, for this reason.
    GoAway(u32),
    /// The connection was closed without a word.
    Closed,
}

impl Frames {
    /// A connection to a host, with these settings of the client's beside no header table.
    #[track_caller]
    pub(crate) fn open(agent: &Agent, host: &str, settings: &[(u16, u32)]) -> Self {
        let config = agent.tls_config(&[b"h2"]);
        let tls = agent.tls_as(config, &format!("{host}:443"), host);
        let mut tls = tls.unwrap_or_else(|error| panic!("TLS to {host}: {error}"));
        tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the proxy reads");
        let mut frames = Self { tls };
        // Without a header table every answer can be read for itself.
        let settings = [&[(1, 0)], settings].concat();
        let payload: Vec<u8> = settings.iter().flat_map(|(id, value)| setting(*id, *value)).collect();
        frames.send(SETTINGS, 0, 0, &payload).expect("the proxy reads");
        frames
    }

    /// How long the test waits for the proxy to read or to write.
    pub(crate) fn patience(&self, limit: Duration) {
        self.tls.sock.set_write_timeout(Some(limit)).expect("a socket takes options");
        self.tls.sock.set_read_timeout(Some(limit)).expect("a socket takes options");
    }

    /// Writes a frame.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.tls.write_all(&frame(kind, flags, stream, payload))
    }

    /// Writes many frames at once.
    pub(crate) fn send_all(&mut self, frames: &[u8]) -> io::Result<()> {
        self.tls.write_all(frames).and_then(|()| self.tls.flush())
    }

    /// Writes a request without a body.
    pub(crate) fn ask(&mut self, stream: u32, fields: &[Field<'_>]) -> io::Result<()> {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields))
    }

    /// The next frame; nothing when the connection is closed.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.tls.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.tls.read_exact(&mut payload).ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// How a stream ends; the answer's body is read and left.
    pub(crate) fn end(&mut self, stream: u32) -> End {
        let mut status = None;
        while let Some(frame) = self.next() {
            let code = |at: usize| {
                let bytes = frame.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
                bytes.map_or(0, u32::from_be_bytes)
            };
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => drop(self.send(SETTINGS, ACK, 0, &[])),
                // An orderly GOAWAY is followed by what is still open.
                GOAWAY if code(4) != 0 => return End::GoAway(code(4)),
                RST_STREAM if frame.stream == stream && status.is_none() => return End::Reset(code(0)),
                HEADERS if frame.stream == stream && status.is_none() => {
                    status = Some(read_status(&frame.payload))
                }
                _ => {}
            }
            let ended = frame.flags & END_STREAM != 0 || frame.kind == RST_STREAM;
            if let (Some(status), true, true) = (status, frame.stream == stream, ended) {
                return End::Status(status);
            }
        }
        End::Closed
    }
}

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    [&[a, b, c, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// A setting as bytes.
pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// Fields as an HPACK block.
pub(crate) fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend_from_slice(text);
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(mut length: usize, block: &mut Vec<u8>) {
    if length < 127 {
        return block.push(length as u8);
    }
    block.push(127);
    length -= 127;
    while length >= 128 {
        block.push((length % 128) as u8 | 128);
        length /= 128;
    }
    block.push(length as u8);
}

/// The status that stands first in a header block, in the three forms that a status has.
fn read_status(block: &[u8]) -> u16 {
    // A change of the table's size may come first.
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap_or(0);
    match &block[start..] {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [0x08 | 0x18 | 0x48, 3, digits @ ..] => {
            digits[..3].iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'))
        }
        [0x08 | 0x18 | 0x48, length, code @ ..] if length & 0x80 != 0 => {
            let code = &code[..usize::from(length & 0x7f)];
            read_huffman(code.iter().zip([24, 16, 8]).map(|(byte, at)| u32::from(*byte) << at).sum())
        }
        other => panic!("no status in {other:x?}"),
    }
}

/// Three digits of the Huffman code (RFC 7541 appendix B): 0 to 2 take five bits, the others six.
fn read_huffman(mut code: u32) -> u16 {
    let mut status = 0;
    for _ in 0..3 {
        let five = code >> 27;
        let (digit, taken) = if five < 3 { (five, 5) } else { ((code >> 26) - 0x19 + 3, 6) };
        status = status * 10 + digit as u16;
        code <<= taken;
    }
    status
}
