//! Known values taken out of a server's messages, also where one is split over the fragments of a message.
//!
//! Invariant: lengths stay as the headers told them; what has to wait for the rest of a value makes everything behind
//! it wait, so that the order stays; a message's end waits for nothing.

use super::parser::Violation;
use hudson_dlp::Redactor;
use secrecy::SecretString;
use std::collections::VecDeque;

/// Frames that may wait for the rest of a value. Only a server that sends empty fragments comes this far.
const MOST_WAITING: usize = 1024;

/// Redacts one direction.
pub(super) struct Redaction {
    /// Reads the message over all of its fragments.
    message: Redactor,
    /// Reads one control frame.
    control: Redactor,
    /// What stands between the bytes that come out of `message`, and how many of those come first.
    waiting: VecDeque<Piece>,
}

enum Piece {
    /// Payload bytes that the redactor still has.
    Payload(usize),
    /// Bytes that go out as they are.
    Frame(Vec<u8>),
}

impl Redaction {
    /// Takes these values out; `None` when there are none that could be looked for.
    pub(super) fn new(values: Vec<SecretString>) -> Option<Self> {
        Some(Self {
            message: Redactor::new(values.clone())?,
            control: Redactor::new(values)?,
            waiting: VecDeque::new(),
        })
    }

    /// Whether everything that came has gone out.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A frame's header, or a whole frame that was redacted already.
    pub(super) fn frame(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        if self.waiting.is_empty() {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        self.waiting.push_back(Piece::Frame(bytes.to_vec()));
        match self.waiting.len() > MOST_WAITING {
            true => Err(Violation::Scattered),
            false => Ok(()),
        }
    }

    /// A stretch of a message's payload.
    pub(super) fn payload(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.waiting.back_mut() {
            Some(Piece::Payload(length)) => *length += bytes.len(),
            _ => self.waiting.push_back(Piece::Payload(bytes.len())),
        }
        let passing = self.message.feed(bytes);
        self.release(&passing, out);
    }

    /// The message is complete.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        let rest = self.message.finish();
        self.release(&rest, out);
    }

    /// A control frame's payload without its value.
    pub(super) fn control(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut clear = self.control.feed(payload);
        clear.extend_from_slice(&self.control.finish());
        clear
    }

    fn release(&mut self, mut passing: &[u8], out: &mut Vec<u8>) {
        while let Some(piece) = self.waiting.front_mut() {
            match piece {
                Piece::Frame(bytes) => out.extend_from_slice(bytes),
                Piece::Payload(length) => {
                    let (now, later) = passing.split_at(passing.len().min(*length));
                    out.extend_from_slice(now);
                    passing = later;
                    *length -= now.len();
                    if *length > 0 {
                        return;
                    }
                }
            }
            self.waiting.pop_front();
        }
    }
}
