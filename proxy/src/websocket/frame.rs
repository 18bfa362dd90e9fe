//! One frame's header and masking (RFC 6455 sections 5.2 and 5.3).
//!
//! Invariant: what is written has the shortest length encoding, the only one that is read.

/// What a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opcode {
    /// The next fragment of a message.
    Continuation,
    /// The first fragment of a text message, or all of it.
    Text,
    /// The first fragment of a binary message, or all of it.
    Binary,
    /// The end of this direction.
    Close,
    /// A question whether the other side is there.
    Ping,
    /// Its answer.
    Pong,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameHead {
    /// Whether it ends its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The masking key; what a client sends is masked, what a server sends is not.
    pub mask: Option<[u8; 4]>,
    /// The payload, in bytes; at most 2^63 - 1.
    pub length: u64,
}

impl Opcode {
    /// The opcode of these four bits; `None` where they are reserved.
    pub(super) fn of(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// Whether it is a control frame: short, whole, and allowed between the fragments of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }
}

impl FrameHead {
    /// Appends the header as it goes over the wire: 2 to 14 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        out.push(if self.fin { 0x80 } else { 0 } | self.opcode.bits());
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(length @ 0..=125), _) => out.push(masked | length),
            (_, Ok(length)) => {
                out.push(masked | 126);
                out.extend_from_slice(&length.to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
        out.extend_from_slice(self.mask.as_ref().map_or(&[], |key| key));
    }

    /// Appends a whole frame of this opcode, masked where a key is given.
    pub fn write(opcode: Opcode, key: Option<[u8; 4]>, payload: &[u8], out: &mut Vec<u8>) {
        Self { fin: true, opcode, mask: key, length: payload.len() as u64 }.encode(out);
        let start = out.len();
        out.extend_from_slice(payload);
        if let (Some(key), Some(written)) = (key, out.get_mut(start..)) {
            mask(key, 0, written);
        }
    }
}

/// Masks or unmasks a stretch of a payload that begins `offset` bytes into it; doing it twice changes nothing.
pub fn mask(key: [u8; 4], offset: u64, bytes: &mut [u8]) {
    let mut key = key;
    key.rotate_left((offset % 4) as usize);
    // Eight bytes a step: this is done to every byte that a client sends.
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c, d]) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        for (length, bytes) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), (u64::MAX >> 1, 10)] {
            for (mask, more) in [(None, 0), (Some([1, 2, 3, 4]), 4)] {
                let mut out = Vec::new();
                FrameHead { fin: true, opcode: Opcode::Binary, mask, length }.encode(&mut out);
                assert_eq!(out.len(), bytes + more, "{length}");
            }
        }
    }

    #[test]
    fn the_example_of_the_rfc_is_written() {
        let mut out = Vec::new();
        FrameHead::write(Opcode::Text, Some([0x37, 0xfa, 0x21, 0x3d]), b"Hello", &mut out);
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    proptest! {
        #[test]
        fn masking_is_the_rfcs_formula_at_every_offset(
            key: [u8; 4], before in 0u64..9, bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut masked = bytes.clone();
            mask(key, before, &mut masked);
            for (index, byte) in bytes.iter().enumerate() {
                prop_assert_eq!(masked[index], byte ^ key[(before as usize + index) % 4]);
            }
        }
    }
}
