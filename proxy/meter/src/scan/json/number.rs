//! Numbers and literals.

use super::{JsonScanner, JsonSink, MAX_VALUE, Node, State, Take, Value};
use crate::scan::find;

impl<F: Copy> JsonScanner<F> {
    /// A number or literal begins with the first of `bytes`.
    #[inline]
    pub(super) fn begin_scalar<'a>(
        &mut self,
        bytes: &'a [u8],
        sink: &mut impl JsonSink<Field = F>,
    ) -> &'a [u8] {
        let Some((scalar, rest)) = plain(bytes) else {
            self.buffer.clear();
            self.state = State::Scalar;
            return bytes;
        };
        match self.place.and_then(Node::take) {
            Some((_, Take::Value)) => self.end_scalar(scalar, rest, sink),
            _ => self.end_value(rest, sink),
        }
    }

    pub(super) fn more_of_scalar<'a>(
        &mut self,
        bytes: &'a [u8],
        sink: &mut impl JsonSink<Field = F>,
    ) -> &'a [u8] {
        let end = bytes.iter().position(|byte| !is_part(*byte)).unwrap_or(bytes.len());
        let (piece, rest) = bytes.split_at(end);
        let room = MAX_VALUE.saturating_sub(self.buffer.len());
        self.buffer.extend(piece.iter().take(room));
        if rest.is_empty() { rest } else { self.end_buffered_scalar(rest, sink) }
    }

    pub(super) fn end_buffered_scalar<'a>(
        &mut self,
        rest: &'a [u8],
        sink: &mut impl JsonSink<Field = F>,
    ) -> &'a [u8] {
        let scalar = std::mem::take(&mut self.buffer);
        let rest = self.end_scalar(&scalar, rest, sink);
        self.buffer = scalar;
        rest
    }

    fn end_scalar<'a>(
        &mut self,
        scalar: &[u8],
        rest: &'a [u8],
        sink: &mut impl JsonSink<Field = F>,
    ) -> &'a [u8] {
        let Some(value) = value(scalar) else {
            self.state = State::Broken;
            return rest;
        };
        if let Some((field, Take::Value)) = self.place.and_then(Node::take) {
            sink.value(field, value);
        }
        self.end_value(rest, sink)
    }
}

/// A scalar that ends within `bytes`, and what is left of them behind it, where it is a literal or a plain decimal
/// number and stands directly before what may follow a value. Of everything else [`value`] says what it is, once it is
/// known to be whole.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = match bytes {
        [b'n', b'u', b'l', b'l', ..] | [b't', b'r', b'u', b'e', ..] => 4,
        [b'f', b'a', b'l', b's', b'e', ..] => 5,
        [b'0'..=b'9', ..] => {
            let whole = find::digits(bytes);
            match bytes.get(whole..)? {
                [b'.', fraction @ ..] => match find::digits(fraction) {
                    0 => return None,
                    digits => whole + 1 + digits,
                },
                _ => whole,
            }
        }
        _ => return None,
    };
    let (scalar, rest) = bytes.split_at_checked(length)?;
    (length <= MAX_VALUE && matches!(rest, [b',' | b'}' | b']', ..])).then_some((scalar, rest))
}

/// May this byte be part of a scalar?
#[inline]
pub(super) fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// A whole scalar.
pub(super) fn value(scalar: &[u8]) -> Option<Value<'static>> {
    match scalar {
        b"null" => Some(Value::Null),
        b"true" | b"false" => Some(Value::Bool),
        digits => number(digits).map(Value::Number),
    }
}

/// A JSON number as a count.
fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    if let Ok(count) = text.parse::<u64>() {
        return Some(count);
    }
    // `parse` accepts more than JSON has (`inf`, `nan`, `+1`); the first byte rules those out.
    let first = *digits.first()?;
    if first != b'-' && !first.is_ascii_digit() {
        return None;
    }
    let float = text.parse::<f64>().ok()?;
    // The cast saturates at both ends, and the constant is far above any count of tokens.
    Some(float.ceil() as u64)
}
