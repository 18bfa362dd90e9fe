//! Messages for those who read them: put together from fragments, in bounded memory.

/// What a message's payload is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// A complete message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// What its payload is.
    pub kind: MessageKind,
    /// The payload in clear, from its beginning, as far as it was kept.
    pub payload: Vec<u8>,
    /// The whole payload's length, in bytes.
    pub length: u64,
}

impl Message {
    /// Whether the payload is only the beginning, because the message was over the bound. A cut text may end inside a
    /// character.
    pub fn is_cut(&self) -> bool {
        (self.payload.len() as u64) < self.length
    }
}

/// Puts one message after the other together.
#[derive(Debug)]
pub(super) struct Collector {
    bound: usize,
    payload: Vec<u8>,
    length: u64,
}

impl Collector {
    /// Keeps up to `bound` bytes of each message.
    pub(super) fn new(bound: usize) -> Self {
        Self { bound, payload: Vec::new(), length: 0 }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let room = self.bound.saturating_sub(self.payload.len()).min(bytes.len());
        self.payload.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }

    /// What was kept of the message under way; from here on the rest is kept.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.payload)
    }

    pub(super) fn end(&mut self, kind: MessageKind) -> Message {
        Message { kind, payload: std::mem::take(&mut self.payload), length: std::mem::take(&mut self.length) }
    }
}
