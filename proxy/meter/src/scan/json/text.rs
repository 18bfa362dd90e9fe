//! Keys and strings.
//!
//! One that stands whole in the bytes at hand, without a backslash, is used where it stands. Otherwise the first
//! [`MAX_VALUE`] bytes of it are put together in the scanner's buffer, and only if its place wants them.

use super::{JsonScanner, JsonSink, MAX_VALUE, Node, State, Take, Value};
use crate::scan::find;

/// Longest object key that is compared, in bytes; a longer one is on no path.
const MAX_KEY: usize = 64;

/// What is wanted of a string.
#[derive(Clone, Copy)]
enum Grab<F> {
    Nothing,
    Capture(F),
    Size(F),
}

impl<F: Copy> JsonScanner<F> {
    /// Behind the quote that begins a key.
    #[inline]
    pub(super) fn begin_key<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if let Some((key, rest)) = whole(bytes) {
            self.place = self.inner.place.key(key);
            return self.colon(rest);
        }
        self.begin_piece(State::InKey);
        self.more_of_key(bytes)
    }

    pub(super) fn more_of_key<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (piece, rest) = self.part(bytes);
        // One byte more than any key on a path, so that a longer one compares unequal.
        self.capture(piece, MAX_KEY + 1);
        let Some(rest) = rest else { return &[] };
        self.unescape();
        self.place = self.inner.place.key(&self.buffer);
        self.colon(rest)
    }

    /// Behind a key; what is left of `rest` behind the colon.
    #[inline]
    fn colon<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        match rest {
            [b':', b' ', rest @ ..] | [b':', rest @ ..] => {
                self.state = State::Value;
                rest
            }
            _ => {
                self.state = State::Colon;
                rest
            }
        }
    }

    /// Behind the quote that begins a string.
    #[inline]
    pub(super) fn begin_text<'a>(
        &mut self,
        bytes: &'a [u8],
        sink: &mut impl JsonSink<Field = F>,
    ) -> &'a [u8] {
        let Some((text, rest)) = whole(bytes) else {
            self.begin_piece(State::Text);
            return self.more_of_text(bytes, sink);
        };
        match self.grab() {
            Grab::Nothing => {}
            Grab::Capture(field) => value(field, text, sink),
            Grab::Size(field) => size(field, text, sink),
        }
        self.end_value(rest, sink)
    }

    pub(super) fn more_of_text<'a>(
        &mut self,
        bytes: &'a [u8],
        sink: &mut impl JsonSink<Field = F>,
    ) -> &'a [u8] {
        let (piece, rest) = self.part(bytes);
        let grab = self.grab();
        match grab {
            Grab::Nothing => {}
            Grab::Capture(_) => self.capture(piece, MAX_VALUE),
            Grab::Size(field) => size(field, piece, sink),
        }
        let Some(rest) = rest else { return &[] };
        if let Grab::Capture(field) = grab {
            self.unescape();
            value(field, &self.buffer, sink);
        }
        self.end_value(rest, sink)
    }

    fn grab(&self) -> Grab<F> {
        match self.place.and_then(Node::take) {
            Some((field, Take::Value)) => Grab::Capture(field),
            Some((field, Take::Size)) => Grab::Size(field),
            None => Grab::Nothing,
        }
    }

    fn begin_piece(&mut self, state: State) {
        self.buffer.clear();
        self.escaped = false;
        self.after_backslash = false;
        self.state = state;
    }

    /// What of `bytes` belongs to the string that is read, and what is left behind its closing quote, if that is here.
    fn part<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], Option<&'a [u8]>) {
        let mut rest = bytes;
        if std::mem::take(&mut self.after_backslash) {
            rest = rest.get(1..).unwrap_or_default();
        }
        while let Some(at) = find::either(b'"', b'\\', rest) {
            match rest.get(at..) {
                Some([b'\\', _, more @ ..]) => {
                    self.escaped = true;
                    rest = more;
                }
                Some([b'"', more @ ..]) => {
                    let length = bytes.len() - more.len() - 1;
                    return (bytes.get(..length).unwrap_or_default(), Some(more));
                }
                // The backslash is the last byte.
                _ => {
                    self.escaped = true;
                    self.after_backslash = true;
                    break;
                }
            }
        }
        (bytes, None)
    }

    fn capture(&mut self, piece: &[u8], most: usize) {
        let room = most.saturating_sub(self.buffer.len());
        self.buffer.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    /// Undoes the escapes of what was captured; a piece that was cut inside an escape keeps it as it is.
    fn unescape(&mut self) {
        if !self.escaped {
            return;
        }
        let mut quoted = Vec::with_capacity(self.buffer.len() + 2);
        quoted.push(b'"');
        quoted.extend_from_slice(&self.buffer);
        quoted.push(b'"');
        if let Ok(text) = serde_json::from_slice::<String>(&quoted) {
            self.buffer = text.into_bytes();
        }
    }
}

/// A string that ends within `bytes` and has no backslash; what is left of them behind its closing quote.
#[inline]
pub(super) fn whole(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(find::end_of_text(bytes)?)?;
    Some((text, rest.get(1..)?))
}

#[inline]
pub(super) fn value<F>(field: F, text: &[u8], sink: &mut impl JsonSink<Field = F>) {
    let text = text.get(..MAX_VALUE).unwrap_or(text);
    match std::str::from_utf8(text) {
        Ok(text) => sink.value(field, Value::Text(text)),
        Err(_) => sink.value(field, Value::Text(&String::from_utf8_lossy(text))),
    }
}

#[inline]
pub(super) fn size<F>(field: F, piece: &[u8], sink: &mut impl JsonSink<Field = F>) {
    if !piece.is_empty() {
        sink.size(field, piece.len());
    }
}
