//! The payload of a Close frame (RFC 6455 sections 5.5.1 and 7.4), read and written.

use super::frame::{FrameHead, Opcode};
use super::parser::Violation;

/// The longest reason: a control frame carries 125 bytes, and the code takes two of them.
const LONGEST_REASON: usize = 123;

/// Why a side closes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Close {
    /// The status code.
    pub code: u16,
    /// Words for people; often none.
    pub reason: String,
}

impl Close {
    /// Reads a Close frame's payload, which may be empty.
    pub(super) fn read(payload: &[u8]) -> Result<Option<Self>, Violation> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            return if payload.is_empty() { Ok(None) } else { Err(Violation::CloseCodeMissing) };
        };
        let code = u16::from_be_bytes(*code);
        if !may_be_sent(code) {
            return Err(Violation::CloseCode { code });
        }
        match std::str::from_utf8(reason) {
            Ok(reason) => Ok(Some(Self { code, reason: reason.to_owned() })),
            Err(_) => Err(Violation::CloseReasonNotUtf8),
        }
    }
}

/// A Close frame; a reason that is too long is cut. `mask` is the key with which a client masks it.
pub fn close_frame(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let reason = reason.get(..reason.floor_char_boundary(LONGEST_REASON)).unwrap_or_default();
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    let mut out = Vec::with_capacity(payload.len() + 6);
    FrameHead::write(Opcode::Close, mask, &payload, &mut out);
    out
}

/// Whether a code may stand in a frame: those of RFC 6455 section 7.4.1 that are no mere internal words (1004 to 1006,
/// 1015), those registered since (1012 to 1014), and those left to libraries and applications.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_are_mere_words_or_nobodys_are_refused() {
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
            assert_eq!(Close::read(&code.to_be_bytes()), Err(Violation::CloseCode { code }));
        }
        for code in [1000u16, 1001, 1003, 1007, 1011, 1014, 3000, 4999] {
            assert_eq!(Close::read(&code.to_be_bytes()), Ok(Some(Close { code, reason: String::new() })));
        }
        assert_eq!(Close::read(&[]), Ok(None));
        assert_eq!(Close::read(&[3]), Err(Violation::CloseCodeMissing));
        assert_eq!(Close::read(b"\x03\xe8\xff"), Err(Violation::CloseReasonNotUtf8));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = close_frame(1008, &"ü".repeat(80), None);
        assert_eq!(frame.get(..2), Some(&[0x88, 124][..]));
        assert_eq!(Close::read(frame.get(2..).unwrap()).unwrap().unwrap().reason, "ü".repeat(61));
    }
}
