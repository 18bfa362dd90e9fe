//! One direction of a WebSocket, read as a state machine that is fed bytes in whatever pieces they come.
//!
//! Invariant: events and verdict depend on the bytes alone, never on where they were split; nothing is reported of a
//! frame before its header was found to be allowed where it stands; memory is a header, a control frame and the
//! unmasked copy of one piece.

use super::close::Close;
use super::frame::{FrameHead, Opcode, mask};
use super::message::MessageKind;
use super::utf8::Utf8;

/// The longest message that passes, in bytes, where nothing else is said. It is relayed in pieces; this bounds what
/// the side that receives it is made to hold.
pub const DEFAULT_MESSAGE: u64 = 64 << 20;
/// The longest payload of a control frame (RFC 6455 section 5.5).
const LONGEST_CONTROL: usize = 125;
/// The longest header: two bytes, a length of eight, a masking key.
const LONGEST_HEADER: usize = 14;

/// Who sends what is read here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sender {
    /// The client: every frame must be masked.
    Client,
    /// The server: no frame may be masked.
    Server,
}

/// What was read.
#[derive(Debug, Eq, PartialEq)]
pub enum Event<'a> {
    /// A frame begins.
    Head {
        /// Its header, allowed where it stands.
        head: FrameHead,
        /// The header as it came.
        wire: &'a [u8],
    },
    /// The next stretch of its payload; never empty.
    Payload {
        /// As it came.
        wire: &'a [u8],
        /// Unmasked.
        clear: &'a [u8],
    },
    /// The frame is complete.
    End(End<'a>),
}

/// What is complete with a frame.
#[derive(Debug, Eq, PartialEq)]
pub enum End<'a> {
    /// A fragment; its message goes on.
    Fragment,
    /// A message.
    Message(MessageKind),
    /// A ping with this payload.
    Ping(&'a [u8]),
    /// A pong with this payload.
    Pong(&'a [u8]),
    /// The direction; what comes after it is not read.
    Close(Option<Close>),
}

/// A breach of RFC 6455; the connection must be failed with [`Violation::close_code`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A client's frame that is not masked (section 5.1).
    #[error("a frame of the client is not masked")]
    NotMasked,
    /// A server's frame that is masked (section 5.1).
    #[error("a frame of the server is masked")]
    Masked,
    /// A reserved bit, with no extension agreed on (section 5.2).
    #[error("a reserved bit is set, and no extension was agreed on")]
    ReservedBit,
    /// An opcode that means nothing (section 5.2).
    #[error("the opcode {bits:#x} is reserved")]
    ReservedOpcode {
        /// The four bits.
        bits: u8,
    },
    /// A length in more bytes than it needs (section 5.2).
    #[error("a length is not in its shortest form")]
    LengthNotMinimal,
    /// A length of 2^63 or more (section 5.2).
    #[error("a length has its highest bit set")]
    LengthTooHigh,
    /// A control frame over 125 bytes (section 5.5).
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// A control frame without FIN (section 5.5).
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// A continuation of nothing (section 5.4).
    #[error("a continuation frame continues no message")]
    NothingToContinue,
    /// A new message inside a fragmented one (section 5.4).
    #[error("a message begins inside another")]
    MessageInsideMessage,
    /// Text that is no UTF-8 (section 8.1).
    #[error("a text message is not UTF-8")]
    TextNotUtf8,
    /// A Close frame with a single byte (section 5.5.1).
    #[error("a Close frame has half a status code")]
    CloseCodeMissing,
    /// A code that may not be sent (section 7.4).
    #[error("the close code {code} may not be sent")]
    CloseCode {
        /// The code.
        code: u16,
    },
    /// A reason that is no UTF-8 (section 5.5.1).
    #[error("the reason of a Close frame is not UTF-8")]
    CloseReasonNotUtf8,
    /// A message over the limit.
    #[error("a message is longer than {limit} bytes")]
    MessageTooLong {
        /// The limit.
        limit: u64,
    },
    /// Too many fragments between the parts of what may be a value that must not pass.
    #[error("a message has too many empty fragments")]
    Scattered,
}

impl Violation {
    /// The status code with which the connection is failed (section 7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Self::TextNotUtf8 | Self::CloseReasonNotUtf8 => 1007,
            Self::MessageTooLong { .. } => 1009,
            Self::Scattered => 1008,
            _ => 1002,
        }
    }
}

/// Reads one direction.
#[derive(Debug)]
pub struct Parser {
    sender: Sender,
    limit: u64,
    state: State,
    header: [u8; LONGEST_HEADER],
    header_length: usize,
    /// The message that is being read, over all of its fragments.
    message: Option<Open>,
    utf8: Utf8,
    control: Vec<u8>,
    /// The unmasked copy of a stretch of payload.
    clear: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    Payload { head: FrameHead, seen: u64 },
    Closed,
    Failed(Violation),
}

#[derive(Clone, Copy, Debug)]
struct Open {
    kind: MessageKind,
    length: u64,
}

impl Parser {
    /// Reads what `sender` sends after the handshake; a message over `limit` bytes is a violation.
    pub fn new(sender: Sender, limit: u64) -> Self {
        Self {
            sender,
            limit,
            state: State::Header,
            header: [0; LONGEST_HEADER],
            header_length: 0,
            message: None,
            utf8: Utf8::default(),
            control: Vec::new(),
            clear: Vec::new(),
        }
    }

    /// The next event, taking its bytes from the front of `input`; `None` when `input` is used up. After a violation
    /// it is given again and again; after a Close everything is taken and nothing reported.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Event<'s>>, Violation> {
        match self.state {
            State::Header => match self.read_header(input) {
                Ok(None) => Ok(None),
                Ok(Some(head)) => {
                    self.state = State::Payload { head, seen: 0 };
                    let length = std::mem::take(&mut self.header_length);
                    let wire = self.header.get(..length).unwrap_or_default();
                    Ok(Some(Event::Head { head, wire }))
                }
                Err(violation) => self.fail(violation),
            },
            State::Payload { head, seen } if seen == head.length => match self.complete(head) {
                Err(violation) => self.fail(violation),
                Ok(Done::Fragment) => Ok(Some(Event::End(End::Fragment))),
                Ok(Done::Message(kind)) => Ok(Some(Event::End(End::Message(kind)))),
                Ok(Done::Ping) => Ok(Some(Event::End(End::Ping(&self.control)))),
                Ok(Done::Pong) => Ok(Some(Event::End(End::Pong(&self.control)))),
                Ok(Done::Close(close)) => Ok(Some(Event::End(End::Close(close)))),
            },
            State::Payload { head, seen } => {
                let length = input.len().min(usize::try_from(head.length - seen).unwrap_or(usize::MAX));
                let (wire, rest) = input.split_at_checked(length).unwrap_or_default();
                if wire.is_empty() {
                    return Ok(None);
                }
                *input = rest;
                if let Err(violation) = self.take(head, seen, wire) {
                    return self.fail(violation);
                }
                self.state = State::Payload { head, seen: seen + length as u64 };
                let clear = if head.mask.is_some() { &self.clear } else { wire };
                Ok(Some(Event::Payload { wire, clear }))
            }
            State::Closed => {
                *input = &[];
                Ok(None)
            }
            State::Failed(violation) => Err(violation),
        }
    }

    /// How long the message under way is, as far as its headers have told; 0 between messages.
    pub fn announced(&self) -> u64 {
        self.message.map_or(0, |message| message.length)
    }

    fn fail<T>(&mut self, violation: Violation) -> Result<T, Violation> {
        self.state = State::Failed(violation);
        Err(violation)
    }

    /// Takes a header byte by byte, so that the first wrong one is the verdict at every split.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<FrameHead>, Violation> {
        while let Some((byte, rest)) = input.split_first() {
            let Some(slot) = self.header.get_mut(self.header_length) else { break };
            *slot = *byte;
            self.header_length += 1;
            *input = rest;
            if let Some(head) = self.header_so_far()? {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    fn header_so_far(&mut self) -> Result<Option<FrameHead>, Violation> {
        let header = self.header.get(..self.header_length).unwrap_or_default();
        let (first, rest) = match header {
            [first, rest @ ..] => (*first, rest),
            [] => return Ok(None),
        };
        let (fin, opcode) = self.first(first)?;
        let Some((second, rest)) = rest.split_first() else { return Ok(None) };
        self.second(opcode, *second)?;
        let Some((length, rest)) = length(second & 0x7f, rest)? else { return Ok(None) };
        if rest.is_empty() {
            self.room(opcode, length)?;
        }
        let mask = match (self.sender, rest.first_chunk::<4>()) {
            (Sender::Server, _) => None,
            (Sender::Client, Some(key)) => Some(*key),
            (Sender::Client, None) => return Ok(None),
        };
        self.begin(opcode, length);
        Ok(Some(FrameHead { fin, opcode, mask, length }))
    }

    /// FIN, reserved bits and opcode, and whether such a frame may stand here.
    fn first(&self, byte: u8) -> Result<(bool, Opcode), Violation> {
        let (fin, bits) = (byte & 0x80 != 0, byte & 0x0f);
        if byte & 0x70 != 0 {
            return Err(Violation::ReservedBit);
        }
        let opcode = Opcode::of(bits).ok_or(Violation::ReservedOpcode { bits })?;
        match (opcode, self.message) {
            (opcode, _) if opcode.is_control() && !fin => Err(Violation::ControlFragmented),
            (Opcode::Continuation, None) => Err(Violation::NothingToContinue),
            (Opcode::Text | Opcode::Binary, Some(_)) => Err(Violation::MessageInsideMessage),
            _ => Ok((fin, opcode)),
        }
    }

    /// Whether it is masked, and the seven bits of its length.
    fn second(&self, opcode: Opcode, byte: u8) -> Result<(), Violation> {
        match (self.sender, byte & 0x80 != 0) {
            (Sender::Client, false) => Err(Violation::NotMasked),
            (Sender::Server, true) => Err(Violation::Masked),
            _ if opcode.is_control() && usize::from(byte & 0x7f) > LONGEST_CONTROL => {
                Err(Violation::ControlTooLong)
            }
            _ => Ok(()),
        }
    }

    /// Whether the message has room for a frame of this length.
    fn room(&self, opcode: Opcode, length: u64) -> Result<(), Violation> {
        let before = self.message.map_or(0, |message| message.length);
        match !opcode.is_control() && before.saturating_add(length) > self.limit {
            true => Err(Violation::MessageTooLong { limit: self.limit }),
            false => Ok(()),
        }
    }

    fn begin(&mut self, opcode: Opcode, length: u64) {
        match opcode {
            Opcode::Text => self.message = Some(Open { kind: MessageKind::Text, length }),
            Opcode::Binary => self.message = Some(Open { kind: MessageKind::Binary, length }),
            Opcode::Continuation => {
                if let Some(message) = &mut self.message {
                    message.length += length;
                }
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => self.control.clear(),
        }
    }

    /// Unmasks and checks a stretch of payload.
    fn take(&mut self, head: FrameHead, seen: u64, wire: &[u8]) -> Result<(), Violation> {
        let clear = match head.mask {
            Some(key) => {
                self.clear.clear();
                self.clear.extend_from_slice(wire);
                mask(key, seen, &mut self.clear);
                &self.clear
            }
            None => wire,
        };
        if head.opcode.is_control() {
            self.control.extend_from_slice(clear);
            return Ok(());
        }
        let text = matches!(self.message, Some(Open { kind: MessageKind::Text, .. }));
        match text && !self.utf8.feed(clear) {
            true => Err(Violation::TextNotUtf8),
            false => Ok(()),
        }
    }

    /// Ends a frame.
    fn complete(&mut self, head: FrameHead) -> Result<Done, Violation> {
        self.state = State::Header;
        match head.opcode {
            Opcode::Ping => Ok(Done::Ping),
            Opcode::Pong => Ok(Done::Pong),
            Opcode::Close => {
                let close = Close::read(&self.control)?;
                self.state = State::Closed;
                Ok(Done::Close(close))
            }
            _ if !head.fin => Ok(Done::Fragment),
            _ => {
                let kind = self.message.take().map_or(MessageKind::Binary, |message| message.kind);
                match self.utf8.end() {
                    true => Ok(Done::Message(kind)),
                    false => Err(Violation::TextNotUtf8),
                }
            }
        }
    }
}

/// [`End`] without what it borrows.
enum Done {
    Fragment,
    Message(MessageKind),
    Ping,
    Pong,
    Close(Option<Close>),
}

/// The payload's length and what stands behind it in the header; `None` while it is not complete.
fn length(bits: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (length, rest, least) = match bits {
        126 => match rest.split_first_chunk::<2>() {
            Some((bytes, rest)) => (u64::from(u16::from_be_bytes(*bytes)), rest, 126),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((bytes, rest)) => (u64::from_be_bytes(*bytes), rest, 1 << 16),
            None => return Ok(None),
        },
        bits => (u64::from(bits), rest, 0),
    };
    if length >> 63 != 0 {
        return Err(Violation::LengthTooHigh);
    }
    match length < least {
        true => Err(Violation::LengthNotMinimal),
        false => Ok(Some((length, rest))),
    }
}
