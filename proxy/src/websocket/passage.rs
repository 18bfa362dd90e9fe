//! One direction on its way through: bytes in as they come, bytes out as they may go on.
//!
//! Invariant: a frame of up to [`WHOLE_FRAME`] bytes goes on only once it is complete, and a longer one only after its
//! header was found right; so the side that receives stands between two frames, where a Close frame can be told it,
//! unless a long frame was cut off under way. Nothing goes on after a violation or a Close.

use super::close::Close;
use super::frame::{FrameHead, Opcode};
use super::message::{Collector, Message, MessageKind};
use super::parser::{End, Event, Parser, Sender, Violation};
use super::redaction::Redaction;
use secrecy::SecretString;

/// Frames with up to so much payload, in bytes, go on as a whole; of longer ones each piece goes on as it comes.
pub const WHOLE_FRAME: u64 = 64 << 10;

/// What is done with messages beside relaying them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handing {
    /// Nothing: frames stream.
    Streamed,
    /// Frames stream, and each message is handed out, as it came, after it went on.
    Seen {
        /// How much of each is kept, in bytes; of a longer one, the beginning.
        bound: usize,
    },
    /// Frames stream, and of each message every stretch is there to be read before it goes on, in
    /// [`Passage::piece`]; what is handed out at its end is the stretch that nobody has read.
    Read,
    /// Each message is held back whole until it is admitted.
    Held {
        /// The longest message, in bytes; a longer one is a violation (1009).
        bound: usize,
    },
}

/// What has passed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Complete messages.
    pub messages: u64,
    /// Bytes of their payload, those of an unfinished message included.
    pub bytes: u64,
}

/// One direction.
pub struct Passage {
    parser: Parser,
    handing: Handing,
    redaction: Option<Redaction>,
    collector: Option<Collector>,
    /// What a client's control frames have said since it was last asked for, where somebody reads along.
    control: Option<Vec<u8>>,
    /// The frame that is being read, as far as it has not gone on.
    head: Vec<u8>,
    payload: Vec<u8>,
    /// The opcode of that frame, and whether it goes on piece by piece.
    opcode: Opcode,
    streaming: bool,
    /// The key under which a held message began, and goes on.
    key: Option<[u8; 4]>,
    held: Option<MessageKind>,
    /// Whether anything of a message went out whose end did not.
    begun: bool,
    out: Vec<u8>,
    counts: Counts,
    closed: bool,
    close: Option<Close>,
}

impl Passage {
    /// A direction in which `sender` sends, no message longer than `limit` bytes.
    pub fn new(sender: Sender, limit: u64, handing: Handing) -> Self {
        let (limit, collector) = match handing {
            Handing::Streamed => (limit, None),
            Handing::Seen { bound } => (limit, Some(Collector::new(bound))),
            Handing::Read => (limit, Some(Collector::new(usize::MAX))),
            Handing::Held { bound } => (limit.min(bound as u64), Some(Collector::new(bound))),
        };
        let collects = collector.is_some();
        Self {
            parser: Parser::new(sender, limit),
            handing,
            redaction: None,
            collector,
            control: (sender == Sender::Client && collects).then(Vec::new),
            head: Vec::new(),
            payload: Vec::new(),
            opcode: Opcode::Continuation,
            streaming: false,
            key: None,
            held: None,
            begun: false,
            out: Vec::new(),
            counts: Counts::default(),
            closed: false,
            close: None,
        }
    }

    /// A server's direction in which none of these values passes; each byte of one becomes an asterisk.
    ///
    /// A value is found within a message, also over its fragments, and within a control frame. What could be the
    /// beginning of a value waits for the next fragment, and so does everything behind it.
    pub fn without(values: Vec<SecretString>, limit: u64, handing: Handing) -> Self {
        Self { redaction: Redaction::new(values), ..Self::new(Sender::Server, limit, handing) }
    }

    /// Takes bytes from the front of `input` until it is used up, or a message is complete that is handed out.
    ///
    /// A message of [`Handing::Held`] waits for [`Passage::admit`]; without it, it does not go on. What may go on is
    /// in [`Passage::out`] each time, also after a violation.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Violation> {
        while let Some(event) = self.parser.next(input)? {
            match event {
                Event::Head { head, wire } => {
                    self.opcode = head.opcode;
                    if matches!(head.opcode, Opcode::Text | Opcode::Binary) {
                        self.key = head.mask;
                    }
                    self.head.extend_from_slice(wire);
                    let held = matches!(self.handing, Handing::Held { .. });
                    self.streaming = !held && !head.opcode.is_control() && head.length > WHOLE_FRAME;
                    if self.streaming {
                        self.pass()?;
                    }
                }
                Event::Payload { wire, clear } => {
                    // Of a held message the collector keeps the payload, and nothing else is needed.
                    if self.opcode.is_control() || !matches!(self.handing, Handing::Held { .. }) {
                        self.payload.extend_from_slice(wire);
                    }
                    if let (true, Some(control)) = (self.opcode.is_control(), &mut self.control) {
                        control.extend_from_slice(clear);
                    }
                    if !self.opcode.is_control() {
                        self.counts.bytes += clear.len() as u64;
                        if let Some(collector) = &mut self.collector {
                            collector.push(clear);
                        }
                    }
                    if self.streaming {
                        self.pass()?;
                    }
                }
                Event::End(End::Fragment) => {
                    self.pass()?;
                    self.streaming = false;
                }
                Event::End(End::Message(kind)) => {
                    if let Some(message) = self.end_message(kind)? {
                        return Ok(Some(message));
                    }
                }
                Event::End(End::Ping(_) | End::Pong(_)) => self.pass()?,
                Event::End(End::Close(close)) => {
                    (self.closed, self.close) = (true, close);
                    self.pass()?;
                }
            }
        }
        Ok(None)
    }

    /// Lets the held message go on, with this payload, as one frame; nothing when no message is held.
    pub fn admit(&mut self, payload: &[u8]) {
        let opcode = match self.held.take() {
            Some(MessageKind::Text) => Opcode::Text,
            Some(MessageKind::Binary) => Opcode::Binary,
            None => return,
        };
        FrameHead::write(opcode, self.key, payload, &mut self.out);
    }

    /// Drops the held message.
    pub fn dismiss(&mut self) {
        self.held = None;
    }

    /// The stretch of the message under way that came since this was last asked ([`Handing::Read`]).
    pub fn piece(&mut self) -> Vec<u8> {
        self.collector.as_mut().map(Collector::take).unwrap_or_default()
    }

    /// What Ping, Pong and Close frames of a client have said since this was last asked, one behind the other.
    pub fn control(&mut self) -> Vec<u8> {
        self.control.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// How long the message under way is at least, in bytes, as its headers told so far.
    pub fn announced(&self) -> u64 {
        self.parser.announced()
    }

    /// Puts a text message of our own behind what may go on, to a client. Only between two messages.
    pub fn say(&mut self, text: &[u8]) {
        FrameHead::write(Opcode::Text, None, text, &mut self.out);
    }

    /// Whether what went out ends where a message ends, so that another message may follow.
    pub fn is_between_messages(&self) -> bool {
        !self.begun && self.is_between_frames()
    }

    /// What may go on and has not been taken yet.
    pub fn out(&self) -> &[u8] {
        &self.out
    }

    /// Everything in [`Passage::out`] went on.
    pub fn clear_out(&mut self) {
        self.out.clear();
    }

    /// Whether what went out ends where a frame ends, so that another frame may follow.
    pub fn is_between_frames(&self) -> bool {
        !self.streaming && self.redaction.as_ref().is_none_or(Redaction::is_settled)
    }

    /// Whether a Close frame has come.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// What that Close frame said, if it said anything.
    pub fn close(&self) -> Option<&Close> {
        self.close.as_ref()
    }

    /// What has passed.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Ends a message, and hands it out where somebody wants it.
    fn end_message(&mut self, kind: MessageKind) -> Result<Option<Message>, Violation> {
        self.pass()?;
        self.streaming = false;
        self.begun = false;
        if let Some(redaction) = &mut self.redaction {
            redaction.end(&mut self.out);
        }
        self.counts.messages += 1;
        if matches!(self.handing, Handing::Held { .. }) {
            self.held = Some(kind);
        }
        Ok(self.collector.as_mut().map(|collector| collector.end(kind)))
    }

    /// Lets the current frame go on, as far as it was read.
    fn pass(&mut self) -> Result<(), Violation> {
        let (control, held) = (self.opcode.is_control(), matches!(self.handing, Handing::Held { .. }));
        self.begun |= !control && !held;
        match &mut self.redaction {
            // It goes on when it is admitted.
            _ if held && !control => {}
            None => {
                self.out.extend_from_slice(&self.head);
                self.out.extend_from_slice(&self.payload);
            }
            Some(redaction) if control => {
                // The code of a Close frame is a number, no text.
                let code = if self.opcode == Opcode::Close { self.payload.len().min(2) } else { 0 };
                let (code, text) = self.payload.split_at(code);
                let frame = [&self.head, code, &redaction.control(text)].concat();
                redaction.frame(&frame, &mut self.out)?;
            }
            Some(redaction) => {
                if !self.head.is_empty() {
                    redaction.frame(&self.head, &mut self.out)?;
                }
                redaction.payload(&self.payload, &mut self.out);
            }
        }
        self.head.clear();
        self.payload.clear();
        Ok(())
    }
}
