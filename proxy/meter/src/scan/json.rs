//! A JSON scanner that finds a fixed set of values and holds nothing else.
//!
//! A [`Selector`] is compiled once per wire format from paths that start at the root; a name that means something at
//! one place means nothing elsewhere (provider answers contain other objects named `usage`). Everything off those
//! paths is skipped by counting brackets. Invariants: memory is bounded by the longest path and by [`MAX_VALUE`],
//! whatever is nested or long in the input; the outcome does not depend on how the input is split; invalid input ends
//! in [`JsonScanner::is_broken`], never in a panic.

use memchr::memchr2;

/// Longest string that is handed on, in bytes; ids and model names are shorter.
pub(crate) const MAX_VALUE: usize = 256;
/// Longest object key that is compared, in bytes; a longer one is on no path.
const MAX_KEY: usize = 64;

/// How the value at a path is handed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Take {
    /// Scalars as [`Value`]; objects and arrays by [`JsonSink::open`] and [`JsonSink::close`].
    Value,
    /// Only the number of bytes: of a string's content, or of everything else as it stands.
    Size,
}

/// A scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool,
    /// A count; fractions are rounded up, negative numbers are 0, and what is too large is `u64::MAX`.
    Number(u64),
    /// At most [`MAX_VALUE`] bytes of it.
    Text(&'a str),
}

/// What the scanner hands its finds to.
pub(crate) trait JsonSink {
    /// The format's own names for its paths.
    type Field: Copy + Send + Sync + 'static;
    /// A scalar at a path.
    fn value(&mut self, field: Self::Field, value: Value<'_>);
    /// An object or array begins at a path.
    fn open(&mut self, field: Self::Field);
    /// It ended.
    fn close(&mut self, field: Self::Field);
    /// So many more bytes of a value whose size was asked for.
    fn size(&mut self, field: Self::Field, bytes: usize);
    /// A root value ended. An array at the root has each of its elements as a root value of its own.
    fn document(&mut self);
    /// The array at the root was closed.
    fn all_documents(&mut self);
}

/// Paths compiled to a tree.
#[derive(Debug)]
pub(crate) struct Selector<F> {
    nodes: Vec<Node<F>>,
}

#[derive(Debug)]
struct Node<F> {
    keys: Vec<(&'static str, usize)>,
    /// The child for each element of an array.
    each: Option<usize>,
    take: Option<(F, Take)>,
}

impl<F: Copy> Selector<F> {
    /// Compiles paths such as `choices.*.delta.content`, where `*` is each element of an array.
    pub(crate) fn new(paths: impl IntoIterator<Item = (&'static str, F, Take)>) -> Self {
        let mut selector = Self { nodes: vec![Node { keys: Vec::new(), each: None, take: None }] };
        for (path, field, take) in paths {
            let mut at = 0;
            for part in path.split('.') {
                at = selector.child_or_new(at, part);
            }
            if let Some(node) = selector.nodes.get_mut(at) {
                node.take = Some((field, take));
            }
        }
        selector
    }

    fn child_or_new(&mut self, at: usize, part: &'static str) -> usize {
        let found = if part == "*" { self.each(at) } else { self.key(at, part.as_bytes()) };
        if let Some(found) = found {
            return found;
        }
        let new = self.nodes.len();
        self.nodes.push(Node { keys: Vec::new(), each: None, take: None });
        if let Some(node) = self.nodes.get_mut(at) {
            match part {
                "*" => node.each = Some(new),
                _ => node.keys.push((part, new)),
            }
        }
        new
    }

    fn key(&self, at: usize, key: &[u8]) -> Option<usize> {
        let (_, child) = self.nodes.get(at)?.keys.iter().find(|(name, _)| name.as_bytes() == key)?;
        Some(*child)
    }

    fn each(&self, at: usize) -> Option<usize> {
        self.nodes.get(at)?.each
    }

    fn take(&self, at: usize) -> Option<(F, Take)> {
        self.nodes.get(at)?.take
    }

    fn has_children(&self, at: usize) -> bool {
        self.nodes.get(at).is_some_and(|node| node.each.is_some() || !node.keys.is_empty())
    }
}

/// The state between two bytes.
#[derive(Debug)]
pub(crate) struct JsonScanner<F: 'static> {
    selector: &'static Selector<F>,
    /// The open containers that lie on a path, outermost first.
    stack: Vec<Frame>,
    state: State,
    /// The node of the value that comes next; `None` when it is on no path.
    next: Option<usize>,
    /// What is captured of a key, string, number or literal.
    buffer: Vec<u8>,
    /// Whether `buffer` holds a backslash.
    escaped: bool,
    /// The last byte of a string was a backslash that escapes the next one.
    after_backslash: bool,
    /// More than one root value may follow another (NDJSON).
    many: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    node: usize,
    array: bool,
    /// The array at the root whose elements are documents.
    documents: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Before a root value.
    Root,
    Value,
    /// Behind `[`.
    ValueOrEnd,
    /// Behind `{`.
    KeyOrEnd,
    /// Behind a comma of an object.
    Key,
    InKey,
    Colon,
    CommaOrEnd,
    Text(Grab),
    Scalar,
    /// In a container that lies on no path: how deep, and whether in a string.
    Skip {
        depth: u64,
        text: bool,
        size: bool,
    },
    Done,
    Broken,
}

/// What is done with the bytes of a string.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Grab {
    Nothing,
    Capture,
    Size,
}

impl<F: Copy> JsonScanner<F> {
    /// A scanner before its first root value. With `many`, root values may follow one another.
    pub(crate) fn new(selector: &'static Selector<F>, many: bool) -> Self {
        Self {
            selector,
            stack: Vec::new(),
            state: State::Root,
            next: None,
            buffer: Vec::new(),
            escaped: false,
            after_backslash: false,
            many,
        }
    }

    /// Starts over before a root value.
    pub(crate) fn restart(&mut self) {
        self.stack.clear();
        self.state = State::Root;
        self.after_backslash = false;
    }

    /// Whether the input was no JSON.
    pub(crate) fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// Whether a root value is open.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.state, State::Root | State::Done)
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], sink: &mut impl JsonSink<Field = F>) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::InKey | State::Text(_) => self.text(bytes, sink),
                State::Skip { .. } => self.skip(bytes, sink),
                State::Scalar => self.scalar(bytes, sink),
                State::Broken => return,
                _ => self.structure(bytes, sink),
            };
        }
    }

    /// Ends the input: a number at the root has no other end.
    pub(crate) fn finish(&mut self, sink: &mut impl JsonSink<Field = F>) {
        if self.state == State::Scalar && self.stack.is_empty() {
            self.end_scalar(sink);
        }
    }

    fn structure<'a>(&mut self, bytes: &'a [u8], sink: &mut impl JsonSink<Field = F>) -> &'a [u8] {
        let Some((&byte, rest)) = bytes.split_first() else { return bytes };
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return rest;
        }
        match (self.state, byte) {
            (State::Done, _) if self.many => {
                self.state = State::Root;
                return bytes;
            }
            (State::Root, b'[') => {
                self.stack.push(Frame { node: 0, array: true, documents: true });
                self.state = State::ValueOrEnd;
            }
            (State::Root, _) => {
                self.next = Some(0);
                return self.begin(byte, bytes, sink);
            }
            (State::ValueOrEnd, b']') | (State::CommaOrEnd, b']' | b'}') | (State::KeyOrEnd, b'}') => {
                self.end_container(byte, sink);
            }
            (State::Value | State::ValueOrEnd, _) => return self.begin(byte, bytes, sink),
            (State::KeyOrEnd | State::Key, b'"') => {
                self.buffer.clear();
                self.escaped = false;
                self.state = State::InKey;
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::CommaOrEnd, b',') => match self.stack.last() {
                Some(frame) if frame.array => {
                    self.next = self.element(*frame);
                    self.state = State::Value;
                }
                _ => self.state = State::Key,
            },
            _ => self.state = State::Broken,
        }
        if self.state == State::ValueOrEnd {
            self.next = self.stack.last().and_then(|frame| self.element(*frame));
        }
        rest
    }

    /// The node of the elements of an array.
    fn element(&self, frame: Frame) -> Option<usize> {
        if frame.documents { Some(0) } else { self.selector.each(frame.node) }
    }

    /// A value begins with `byte`.
    fn begin<'a>(&mut self, byte: u8, bytes: &'a [u8], sink: &mut impl JsonSink<Field = F>) -> &'a [u8] {
        let rest = bytes.get(1..).unwrap_or_default();
        let take = self.next.and_then(|node| self.selector.take(node));
        match byte {
            b'"' => {
                self.buffer.clear();
                self.escaped = false;
                self.state = State::Text(match take {
                    Some((_, Take::Value)) => Grab::Capture,
                    Some((_, Take::Size)) => Grab::Size,
                    None => Grab::Nothing,
                });
                rest
            }
            b'{' | b'[' => {
                let size = matches!(take, Some((_, Take::Size)));
                if let Some((field, Take::Value)) = take {
                    sink.open(field);
                }
                match self.next {
                    Some(node) if !size && self.selector.has_children(node) => {
                        let array = byte == b'[';
                        self.stack.push(Frame { node, array, documents: false });
                        self.state = if array { State::ValueOrEnd } else { State::KeyOrEnd };
                        self.next = self.selector.each(node).filter(|_| array);
                    }
                    _ => {
                        if let (true, Some((field, _))) = (size, take) {
                            sink.size(field, 1);
                        }
                        self.state = State::Skip { depth: 1, text: false, size };
                    }
                }
                rest
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                self.buffer.clear();
                self.state = State::Scalar;
                bytes
            }
            _ => {
                self.state = State::Broken;
                rest
            }
        }
    }

    fn end_container(&mut self, byte: u8, sink: &mut impl JsonSink<Field = F>) {
        match self.stack.pop() {
            Some(frame) if frame.array == (byte == b']') => {
                if frame.documents {
                    self.state = State::Done;
                    return sink.all_documents();
                }
                if let Some((field, Take::Value)) = self.selector.take(frame.node) {
                    sink.close(field);
                }
                self.end_value(sink);
            }
            _ => self.state = State::Broken,
        }
    }

    /// A value is complete.
    fn end_value(&mut self, sink: &mut impl JsonSink<Field = F>) {
        self.state = State::CommaOrEnd;
        match self.stack.last() {
            None => {
                self.state = State::Done;
                sink.document();
            }
            Some(frame) if frame.documents => sink.document(),
            Some(_) => {}
        }
    }

    fn text<'a>(&mut self, bytes: &'a [u8], sink: &mut impl JsonSink<Field = F>) -> &'a [u8] {
        if std::mem::take(&mut self.after_backslash) {
            let (escaped, rest) = bytes.split_at(1.min(bytes.len()));
            self.grab(escaped, sink);
            return rest;
        }
        let end = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        let (plain, rest) = bytes.split_at(end);
        self.grab(plain, sink);
        match rest.split_first() {
            Some((b'\\', rest)) => {
                self.grab(b"\\", sink);
                self.escaped = true;
                self.after_backslash = true;
                rest
            }
            Some((_, rest)) => {
                self.end_text(sink);
                rest
            }
            None => rest,
        }
    }

    /// Does with a piece of a string what its place asks for.
    fn grab(&mut self, piece: &[u8], sink: &mut impl JsonSink<Field = F>) {
        let most = match self.state {
            // One byte more than any key on a path, so that a longer one compares unequal.
            State::InKey => MAX_KEY + 1,
            State::Text(Grab::Capture) => MAX_VALUE,
            State::Text(Grab::Size) => {
                if let Some((field, _)) = self.next.and_then(|node| self.selector.take(node))
                    && !piece.is_empty()
                {
                    sink.size(field, piece.len());
                }
                return;
            }
            _ => return,
        };
        let room = most.saturating_sub(self.buffer.len());
        self.buffer.extend(piece.iter().take(room));
    }

    fn end_text(&mut self, sink: &mut impl JsonSink<Field = F>) {
        if self.escaped {
            unescape(&mut self.buffer);
        }
        match self.state {
            State::InKey => {
                let node = self.stack.last().map(|frame| frame.node);
                self.next = node.and_then(|node| self.selector.key(node, &self.buffer));
                self.state = State::Colon;
            }
            state => {
                if state == State::Text(Grab::Capture)
                    && let Some((field, _)) = self.next.and_then(|node| self.selector.take(node))
                {
                    sink.value(field, Value::Text(&String::from_utf8_lossy(&self.buffer)));
                }
                self.end_value(sink);
            }
        }
    }

    fn scalar<'a>(&mut self, bytes: &'a [u8], sink: &mut impl JsonSink<Field = F>) -> &'a [u8] {
        let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let end = bytes.iter().position(|byte| !inside(byte)).unwrap_or(bytes.len());
        let (piece, rest) = bytes.split_at(end);
        let room = MAX_VALUE.saturating_sub(self.buffer.len());
        self.buffer.extend(piece.iter().take(room));
        if !rest.is_empty() {
            self.end_scalar(sink);
        }
        rest
    }

    fn end_scalar(&mut self, sink: &mut impl JsonSink<Field = F>) {
        let value = match self.buffer.as_slice() {
            b"null" => Some(Value::Null),
            b"true" | b"false" => Some(Value::Bool),
            digits => number(digits).map(Value::Number),
        };
        let Some(value) = value else {
            self.state = State::Broken;
            return;
        };
        if let Some((field, Take::Value)) = self.next.and_then(|node| self.selector.take(node)) {
            sink.value(field, value);
        }
        self.end_value(sink);
    }

    /// Passes over a container that lies on no path.
    fn skip<'a>(&mut self, bytes: &'a [u8], sink: &mut impl JsonSink<Field = F>) -> &'a [u8] {
        let State::Skip { mut depth, mut text, size } = self.state else { return bytes };
        let mut at = 0;
        while depth > 0 {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(&byte) = rest.first() else { break };
            if std::mem::take(&mut self.after_backslash) {
                at += 1;
            } else if text {
                let end = memchr2(b'"', b'\\', rest);
                at += end.map_or(rest.len(), |end| end + 1);
                match end.and_then(|end| rest.get(end)) {
                    Some(b'"') => text = false,
                    Some(_) => self.after_backslash = true,
                    None => {}
                }
            } else {
                at += 1;
                match byte {
                    b'"' => text = true,
                    b'{' | b'[' => depth = depth.saturating_add(1),
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
            }
        }
        let field = self.next.and_then(|node| self.selector.take(node));
        if let (true, Some((field, _))) = (size, field) {
            sink.size(field, at);
        }
        self.state = State::Skip { depth, text, size };
        if depth == 0 {
            if let Some((field, Take::Value)) = field {
                sink.close(field);
            }
            self.end_value(sink);
        }
        bytes.get(at..).unwrap_or_default()
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

/// Undoes the escapes of a captured string in place; a piece that was cut inside an escape keeps it as it is.
fn unescape(buffer: &mut Vec<u8>) {
    let mut quoted = Vec::with_capacity(buffer.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(buffer);
    quoted.push(b'"');
    if let Ok(text) = serde_json::from_slice::<String>(&quoted) {
        *buffer = text.into_bytes();
    }
}

#[cfg(test)]
mod tests;
