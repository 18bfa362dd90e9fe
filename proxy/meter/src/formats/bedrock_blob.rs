//! The payload of a frame of `InvokeModelWithResponseStream`: `{"bytes":"<base64 of the model's JSON>","p":"…"}`.
//!
//! Source: the API reference (`PayloadPart`), and recordings; `p` is padding. Invariant: memory is a few hundred bytes,
//! whatever the length of the blob, and what comes out does not depend on how the payload is split.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The member that holds the blob.
const MEMBER: &[u8] = b"bytes";
/// About how many decoded bytes are handed on at a time.
const PIECE: usize = 768;

/// The state between two bytes of a payload.
#[derive(Debug, Default)]
pub(super) struct Blob {
    state: State,
    /// The last byte of a string was a backslash.
    escaped: bool,
    key: Vec<u8>,
    /// Base64 that is no group of four yet.
    group: Vec<u8>,
    /// A padded group was seen, behind which nothing may stand.
    padded: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Begin,
    Key,
    InKey,
    Colon,
    Value,
    InBlob,
    InText,
    /// A number or a literal.
    Bare,
    Nested {
        depth: u32,
        text: bool,
    },
    Comma,
    Done,
    Broken,
}

impl Blob {
    /// Takes the next bytes of a payload; `out` gets what the blob decodes to.
    pub(super) fn feed(&mut self, bytes: &[u8], mut out: impl FnMut(&[u8])) {
        let mut decoded = Vec::new();
        for &byte in bytes {
            self.step(byte, &mut decoded);
            if decoded.len() >= PIECE {
                out(&decoded);
                decoded.clear();
            }
        }
        if !decoded.is_empty() {
            out(&decoded);
        }
    }

    /// Whether what there was is one whole object, and the blob in it whole base64.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Done
    }

    fn step(&mut self, byte: u8, decoded: &mut Vec<u8>) {
        let escaped = std::mem::take(&mut self.escaped);
        let blank = matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        self.state = match (self.state, byte) {
            (State::InKey | State::InText | State::Nested { text: true, .. }, b'\\') if !escaped => {
                self.escaped = true;
                self.state
            }
            (State::InKey, b'"') if !escaped => State::Colon,
            (State::InKey, _) => {
                // One byte more than the member's name has, so that a longer one compares unequal.
                if self.key.len() <= MEMBER.len() {
                    self.key.push(byte);
                }
                State::InKey
            }
            (State::InText, b'"') if !escaped => State::Comma,
            (State::InText, _) => State::InText,
            // Base64 has one character that JSON may escape.
            (State::InBlob, b'\\') if !escaped => {
                self.escaped = true;
                State::InBlob
            }
            (State::InBlob, b'"') if self.group.is_empty() => State::Comma,
            (State::InBlob, _) if !escaped || byte == b'/' => self.decode(byte, decoded),
            (State::Nested { depth, text: true }, _) => {
                State::Nested { depth, text: byte != b'"' || escaped }
            }
            (State::Nested { depth, .. }, b'"') => State::Nested { depth, text: true },
            (State::Nested { depth, .. }, b'{' | b'[') => {
                State::Nested { depth: depth.saturating_add(1), text: false }
            }
            (State::Nested { depth: 1, .. }, b'}' | b']') => State::Comma,
            (State::Nested { depth, .. }, b'}' | b']') => State::Nested { depth: depth - 1, text: false },
            (State::Nested { .. }, _) => self.state,
            (State::Bare, b',') => State::Key,
            (State::Bare, b'}') => State::Done,
            (State::Bare, _) => State::Bare,
            (_, _) if blank => self.state,
            (State::Begin, b'{') => State::Key,
            (State::Key, b'"') => {
                self.key.clear();
                State::InKey
            }
            (State::Key | State::Comma, b'}') => State::Done,
            (State::Colon, b':') => State::Value,
            (State::Value, b'"') if self.key == MEMBER => State::InBlob,
            (State::Value, b'"') => State::InText,
            (State::Value, b'{' | b'[') => State::Nested { depth: 1, text: false },
            (State::Value, _) => State::Bare,
            (State::Comma, b',') => State::Key,
            _ => State::Broken,
        };
    }

    /// Takes one character of base64.
    fn decode(&mut self, byte: u8, decoded: &mut Vec<u8>) -> State {
        if self.padded {
            return State::Broken;
        }
        self.group.push(byte);
        if self.group.len() < 4 {
            return State::InBlob;
        }
        self.padded = byte == b'=';
        let result = STANDARD.decode_vec(&self.group, decoded);
        self.group.clear();
        if result.is_ok() { State::InBlob } else { State::Broken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the payload decodes to in pieces of `size`, if it is whole.
    fn decode(payload: &str, size: usize) -> Option<Vec<u8>> {
        let (mut blob, mut out) = (Blob::default(), Vec::new());
        for piece in payload.as_bytes().chunks(size) {
            blob.feed(piece, |bytes| out.extend_from_slice(bytes));
        }
        blob.is_whole().then_some(out)
    }

    #[test]
    fn only_the_member_of_the_object_itself_is_the_blob() {
        for payload in [
            r#"{"bytes":"eyJhIjoxfQ==","p":"abc"}"#,
            r#"{ "p" : "\"}\\" , "bytes" : "eyJhIjoxfQ==" }"#,
            r#"{"n":{"bytes":"QUJD","t":"}\""},"m":[1,{"x":"]"}],"k":-1,"bytes":"eyJhIjoxfQ=="}"#,
        ] {
            assert_eq!(decode(payload, 1).as_deref(), Some(br#"{"a":1}"#.as_slice()), "{payload}");
        }
        assert_eq!(decode(r#"{"bytes":"\/\/8="}"#, 3).unwrap(), [0xff, 0xff]);
        assert_eq!(decode(r#"{"bytesX":"QUJD"}"#, 3).unwrap(), [0u8; 0]);
    }

    #[test]
    fn what_is_no_object_or_no_base64_is_not_whole() {
        for payload in [
            "",
            "[]",
            "\"x\"",
            "{\"bytes\":\"QUJ\"}",
            "{\"bytes\":\"QQ==QUJD\"}",
            "{\"bytes\":\"QU\\u0041D\"}",
        ] {
            assert_eq!(decode(payload, 1), None, "{payload}");
        }
        assert_eq!(decode(r#"{"bytes":"QUJD""#, 1), None);
        assert_eq!(decode(r#"{"bytes":"QUJD"}{"#, 1), None);
    }

    proptest! {
        #[test]
        fn the_blob_is_what_was_encoded_at_every_split(
            content in prop::collection::vec(any::<u8>(), 0..3000),
            size in 1usize..2000,
        ) {
            let payload = format!(r#"{{"bytes":"{}","p":"ab"}}"#, STANDARD.encode(&content));
            prop_assert_eq!(decode(&payload, size), Some(content));
        }
    }
}
