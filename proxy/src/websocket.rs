//! WebSocket (RFC 6455) as something that is relayed: bytes in, events and bytes out. No I/O, no async, no clock.
//!
//! - [`Offer`] reads a client's opening handshake and checks the upstream's answer to it (section 4).
//! - [`Parser`] reads one direction of an open connection, in whatever pieces it comes (section 5).
//! - [`Passage`] is one direction on its way through: what it was fed and may go on, frame by frame, or message by
//!   message where a stage has to judge each one first; the messages, for those who read them; the counts.
//! - [`close_frame`] and [`FrameHead::encode`] write frames.
//!
//! Invariant: no byte goes on that is not part of a frame allowed where it stands, and extensions are never agreed on,
//! so that every payload can be read.

mod close;
mod frame;
mod handshake;
mod message;
mod parser;
mod passage;
mod redaction;
mod utf8;

pub use close::{Close, close_frame};
pub use frame::{FrameHead, Opcode, mask};
pub(crate) use handshake::switch;
pub use handshake::{HandshakeFault, Offer, accept};
pub use message::{Message, MessageKind};
pub use parser::{DEFAULT_MESSAGE, End, Event, Parser, Sender, Violation};
pub use passage::{Counts, Handing, Passage, WHOLE_FRAME};

#[cfg(test)]
mod tests;
