//! Amazon's event stream (`application/vnd.amazon.eventstream`) as a push scanner over bytes.
//!
//! Source: smithy's `aws-smithy-eventstream` (`frame.rs`, `message.rs`). A frame is its length, the length of its headers and
//! their CRC-32, then headers, payload and the CRC-32 of all that. Invariants: a payload is handed on as it comes, so a
//! frame of any size costs constant memory; nothing of a frame is proven before [`FrameSink::end`] says so; where lengths
//! cannot be believed, reading stops, since no later frame can be found.

use crc32fast::Hasher;

/// Length and checksum of the lengths.
const PRELUDE: usize = 12;
/// The checksum behind the payload.
const CHECKSUM: usize = 4;
/// The longest frame that a service sends (24 MiB of payload and 128 KiB of headers), in bytes.
const MAX_FRAME: usize = (24 << 20) + (128 << 10) + PRELUDE + CHECKSUM;
/// The longest headers that are read, in bytes: Bedrock's have about 100.
const MAX_HEADERS: usize = 8 << 10;

/// What frames are handed to.
pub(crate) trait FrameSink {
    /// A header of the frame that has a text as its value.
    fn header(&mut self, name: &[u8], value: &[u8]);
    /// The next bytes of its payload.
    fn payload(&mut self, bytes: &[u8]);
    /// The frame is over. Unless it is `sound`, its checksum does not fit and nothing of it is to be believed.
    fn end(&mut self, sound: bool);
}

/// The state between two bytes.
#[derive(Clone, Debug)]
pub(crate) struct FrameScanner {
    state: State,
    /// What there is of a prelude, of headers or of a checksum.
    taken: Vec<u8>,
    /// Over the frame so far.
    crc: Hasher,
    /// What is left of the payload.
    payload: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Prelude,
    /// So many bytes of headers.
    Headers(usize),
    Payload,
    Checksum,
    Broken,
}

impl FrameScanner {
    /// A scanner before the first frame.
    pub(crate) fn new() -> Self {
        Self { state: State::Prelude, taken: Vec::new(), crc: Hasher::new(), payload: 0 }
    }

    /// Whether lengths or headers were found that no frame has.
    pub(crate) fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// Whether a frame is not over.
    pub(crate) fn is_open(&self) -> bool {
        self.state != State::Prelude || !self.taken.is_empty()
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], sink: &mut impl FrameSink) {
        while !bytes.is_empty() && self.state != State::Broken {
            bytes = match self.state {
                State::Payload => self.pass(bytes, sink),
                State::Prelude => self.collect(PRELUDE, bytes),
                State::Headers(length) => self.collect(length, bytes),
                State::Checksum | State::Broken => self.collect(CHECKSUM, bytes),
            };
            self.step(sink);
        }
    }

    /// Hands on what belongs to the payload.
    fn pass<'a>(&mut self, bytes: &'a [u8], sink: &mut impl FrameSink) -> &'a [u8] {
        let (piece, rest) = bytes.split_at(self.payload.min(bytes.len()));
        self.crc.update(piece);
        self.payload -= piece.len();
        sink.payload(piece);
        rest
    }

    /// Keeps bytes until there are `length`; what is left of them.
    fn collect<'a>(&mut self, length: usize, bytes: &'a [u8]) -> &'a [u8] {
        let room = length.saturating_sub(self.taken.len());
        let (piece, rest) = bytes.split_at(room.min(bytes.len()));
        self.taken.extend_from_slice(piece);
        rest
    }

    /// Goes on as far as what was taken allows.
    fn step(&mut self, sink: &mut impl FrameSink) {
        loop {
            self.state = match self.state {
                State::Prelude if self.taken.len() == PRELUDE => self.begin(),
                State::Headers(length) if self.taken.len() == length => self.headers(sink),
                State::Payload if self.payload == 0 => State::Checksum,
                State::Checksum if self.taken.len() == CHECKSUM => {
                    let sum = std::mem::take(&mut self.crc).finalize();
                    sink.end(number(&self.taken) == Some(sum));
                    self.taken.clear();
                    State::Prelude
                }
                _ => return,
            };
        }
    }

    /// The prelude is whole.
    fn begin(&mut self) -> State {
        let (total, headers, sum) = match self.taken.as_slice() {
            [a, b, c, d, e, f, g, h, sum @ ..] => {
                (length(&[*a, *b, *c, *d]), length(&[*e, *f, *g, *h]), number(sum))
            }
            _ => return State::Broken,
        };
        let mut crc = Hasher::new();
        crc.update(self.taken.get(..8).unwrap_or_default());
        if sum != Some(crc.finalize()) || total > MAX_FRAME || headers > MAX_HEADERS {
            return State::Broken;
        }
        let Some(payload) = total.checked_sub(PRELUDE + CHECKSUM + headers) else { return State::Broken };
        self.crc.update(&self.taken);
        self.taken.clear();
        self.payload = payload;
        State::Headers(headers)
    }

    /// The headers are whole.
    fn headers(&mut self, sink: &mut impl FrameSink) -> State {
        self.crc.update(&self.taken);
        let mut rest = self.taken.as_slice();
        while !rest.is_empty() {
            let Some((header, more)) = header(rest) else { return State::Broken };
            if header.text {
                sink.header(header.name, header.value);
            }
            rest = more;
        }
        self.taken.clear();
        State::Payload
    }
}

struct Header<'a> {
    name: &'a [u8],
    value: &'a [u8],
    text: bool,
}

/// The first header, and what is behind it.
fn header(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let (length, rest) = match kind {
        // True, false, byte, short, int, long or time, and UUID have their own lengths; bytes and text state it.
        0 | 1 => (0, rest),
        2 => (1, rest),
        3 => (2, rest),
        4 => (4, rest),
        5 | 8 => (8, rest),
        9 => (16, rest),
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((Header { name, value, text: *kind == 7 }, rest))
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn length(bytes: &[u8; 4]) -> usize {
    usize::try_from(u32::from_be_bytes(*bytes)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
