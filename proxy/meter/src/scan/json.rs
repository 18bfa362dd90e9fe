//! A JSON scanner that finds a fixed set of values and holds nothing else.
//!
//! A [`Selector`] is compiled once per wire format from paths that start at the root; a name that means something at
//! one place means nothing elsewhere (provider answers contain other objects named `usage`). Everything off those
//! paths is skipped by counting brackets. Invariants: memory is bounded by the longest path and by [`MAX_VALUE`],
//! whatever is nested or long in the input; the outcome does not depend on how the input is split; invalid input ends
//! in [`JsonScanner::is_broken`], never in a panic.
//!
//! What stands whole in the bytes at hand is taken in one step and without a copy; the states in between are for what
//! a split cut in two.

mod number;
mod selector;
mod skip;
mod template;
mod text;

pub(crate) use selector::Selector;

use selector::Node;
use skip::Skip;
use template::Template;

/// Longest string that is handed on, in bytes; ids and model names are shorter.
pub(crate) const MAX_VALUE: usize = 256;

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

/// The state between two bytes.
#[derive(Debug)]
pub(crate) struct JsonScanner<F: 'static> {
    selector: &'static Selector<F>,
    state: State,
    /// The container that is read.
    inner: Frame<F>,
    /// Those around it, outermost first: all of them lie on a path.
    outer: Vec<Frame<F>>,
    /// The place of the value that is read or comes next; `None` when it is on no path.
    place: Option<&'static Node<F>>,
    /// What is captured of a key, string, number or literal that a split cut in two.
    buffer: Vec<u8>,
    /// A backslash was seen in this string.
    escaped: bool,
    /// The last byte of a string was a backslash that escapes the next one.
    after_backslash: bool,
    /// Where in a container on no path.
    skip: Skip,
    /// More than one root value may follow another (NDJSON).
    many: bool,
    template: Template<F>,
}

#[derive(Clone, Copy, Debug)]
struct Frame<F: 'static> {
    place: &'static Node<F>,
    kind: Container,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Container {
    /// Around the root value.
    None,
    Object,
    Array,
    /// The array at the root whose elements are documents.
    Documents,
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
    Text,
    Scalar,
    /// In a container that lies on no path.
    Skip,
    Done,
    Broken,
}

impl<F: Copy> JsonScanner<F> {
    /// A scanner before its first root value. With `many`, root values may follow one another.
    pub(crate) fn new(selector: &'static Selector<F>, many: bool) -> Self {
        Self {
            selector,
            state: State::Root,
            inner: Frame { place: selector.root(), kind: Container::None },
            outer: Vec::new(),
            place: None,
            buffer: Vec::new(),
            escaped: false,
            after_backslash: false,
            skip: Skip::new(),
            many,
            template: Template::new(),
        }
    }

    /// One that hands on each find as soon as its bytes are there, where others wait up to the end of an event for bytes
    /// that are as in the event before.
    pub(crate) fn at_once(selector: &'static Selector<F>) -> Self {
        Self { template: Template::none(), ..Self::new(selector, false) }
    }

    /// Starts over before a root value.
    pub(crate) fn restart(&mut self) {
        self.outer.clear();
        self.inner = Frame { place: self.selector.root(), kind: Container::None };
        self.state = State::Root;
        self.template.restart();
    }

    /// Whether the input was no JSON.
    pub(crate) fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// Whether a root value is open.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.state, State::Root | State::Done) || self.is_unsettled()
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], sink: &mut impl JsonSink<Field = F>) {
        if self.is_cut() || (self.state == State::Root && bytes.first() == Some(&b'{')) {
            bytes = self.repeat(bytes, sink);
        }
        self.scan(bytes, sink);
    }

    fn scan(&mut self, mut bytes: &[u8], sink: &mut impl JsonSink<Field = F>) {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Key if byte == b'"' => self.members(bytes, sink),
                State::Value => self.begin(byte, bytes, rest, sink),
                State::InKey => self.more_of_key(bytes),
                State::Text => self.more_of_text(bytes, sink),
                State::Scalar => self.more_of_scalar(bytes, sink),
                State::Skip => self.more_of_skip(bytes, sink),
                State::Broken => return,
                _ => self.structure(byte, bytes, rest, sink),
            };
        }
    }

    /// Ends the input: a number at the root has no other end.
    pub(crate) fn finish(&mut self, sink: &mut impl JsonSink<Field = F>) {
        self.settle(sink);
        if self.state == State::Scalar && self.inner.kind == Container::None {
            self.end_buffered_scalar(&[], sink);
        }
    }

    /// Members of an object, from the quote of the first one's key on: those that stand whole in `bytes` one after the
    /// other, up to one that is not or has a container as its value.
    fn members<'a>(&mut self, mut bytes: &'a [u8], sink: &mut impl JsonSink<Field = F>) -> &'a [u8] {
        let object = self.inner.place;
        loop {
            let [b'"', rest @ ..] = bytes else {
                self.state = State::Key;
                return bytes;
            };
            let Some((key, rest)) = text::whole(rest) else { return self.begin_key(rest) };
            let place = object.key(key);
            let ([b':', b' ', value @ ..] | [b':', value @ ..]) = rest else {
                self.place = place;
                self.state = State::Colon;
                return rest;
            };
            let take = place.and_then(Node::take);
            let rest = match value {
                [b'"', text @ ..] if let Some((text, rest)) = text::whole(text) => {
                    match take {
                        None => {}
                        Some((field, Take::Value)) => text::value(field, text, sink),
                        Some((field, Take::Size)) => text::size(field, text, sink),
                    }
                    rest
                }
                [b'0'..=b'9' | b'n' | b't' | b'f', ..] if let Some((scalar, rest)) = number::plain(value) => {
                    if let Some((field, Take::Value)) = take
                        && let Some(value) = number::value(scalar)
                    {
                        sink.value(field, value);
                    }
                    rest
                }
                _ => {
                    self.place = place;
                    self.state = State::Value;
                    return value;
                }
            };
            let ([b',', b' ', next @ ..] | [b',', next @ ..]) = rest else {
                self.state = State::CommaOrEnd;
                return rest;
            };
            bytes = next;
        }
    }

    /// What stands between keys and values.
    fn structure<'a>(
        &mut self,
        byte: u8,
        bytes: &'a [u8],
        rest: &'a [u8],
        sink: &mut impl JsonSink<Field = F>,
    ) -> &'a [u8] {
        match (self.state, byte) {
            (_, b' ' | b'\n' | b'\r' | b'\t') => return rest,
            (State::Done, _) if self.many => {
                self.state = State::Root;
                return bytes;
            }
            (State::Root, b'[') => self.enter(self.selector.root(), Container::Documents),
            (State::Root, _) => {
                self.place = Some(self.selector.root());
                self.state = State::Value;
                return bytes;
            }
            (State::ValueOrEnd, b']') | (State::CommaOrEnd, b']' | b'}') | (State::KeyOrEnd, b'}') => {
                return self.end_container(byte, rest, sink);
            }
            (State::ValueOrEnd, _) => {
                self.place = self.element();
                self.state = State::Value;
                return bytes;
            }
            (State::KeyOrEnd, b'"') => return self.members(bytes, sink),
            (State::Colon, b':') => self.state = State::Value,
            (State::CommaOrEnd, b',') => self.comma(),
            _ => self.state = State::Broken,
        }
        rest
    }

    /// A value begins with `byte`, the first of `bytes`.
    #[inline]
    fn begin<'a>(
        &mut self,
        byte: u8,
        bytes: &'a [u8],
        rest: &'a [u8],
        sink: &mut impl JsonSink<Field = F>,
    ) -> &'a [u8] {
        match byte {
            b'"' => self.begin_text(rest, sink),
            b'{' => self.begin_container(Container::Object, rest, sink),
            b'[' => self.begin_container(Container::Array, rest, sink),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => self.begin_scalar(bytes, sink),
            b' ' | b'\n' | b'\r' | b'\t' => rest,
            _ => {
                self.state = State::Broken;
                rest
            }
        }
    }

    #[inline]
    fn begin_container<'a>(
        &mut self,
        kind: Container,
        rest: &'a [u8],
        sink: &mut impl JsonSink<Field = F>,
    ) -> &'a [u8] {
        let take = self.place.and_then(Node::take);
        let size = match take {
            Some((field, Take::Value)) => {
                sink.open(field);
                false
            }
            Some((field, Take::Size)) => {
                sink.size(field, 1);
                true
            }
            None => false,
        };
        match self.place {
            Some(place) if !size && place.has_children() => {
                self.enter(place, kind);
                rest
            }
            // Many are empty.
            _ if !size && let [b'}' | b']', rest @ ..] = rest => {
                if let Some((field, _)) = take {
                    sink.close(field);
                }
                self.end_value(rest, sink)
            }
            _ => {
                self.skip = Skip::new();
                self.state = State::Skip;
                self.more_of_skip(rest, sink)
            }
        }
    }

    /// A container on a path begins.
    fn enter(&mut self, place: &'static Node<F>, kind: Container) {
        self.outer.push(std::mem::replace(&mut self.inner, Frame { place, kind }));
        self.state = if kind == Container::Object { State::KeyOrEnd } else { State::ValueOrEnd };
    }

    fn end_container<'a>(
        &mut self,
        byte: u8,
        rest: &'a [u8],
        sink: &mut impl JsonSink<Field = F>,
    ) -> &'a [u8] {
        let object = self.inner.kind == Container::Object;
        let outer = self.outer.pop().filter(|_| object == (byte == b'}'));
        let Some(outer) = outer else {
            self.state = State::Broken;
            return rest;
        };
        let ended = std::mem::replace(&mut self.inner, outer);
        if ended.kind == Container::Documents {
            self.state = State::Done;
            sink.all_documents();
            return rest;
        }
        if let Some((field, Take::Value)) = ended.place.take() {
            sink.close(field);
        }
        self.end_value(rest, sink)
    }

    /// A value is complete; what is left of `rest` behind a comma.
    #[inline]
    fn end_value<'a>(&mut self, rest: &'a [u8], sink: &mut impl JsonSink<Field = F>) -> &'a [u8] {
        self.state = State::CommaOrEnd;
        match self.inner.kind {
            Container::Object | Container::Array => {}
            Container::Documents => sink.document(),
            Container::None => {
                self.state = State::Done;
                sink.document();
                return rest;
            }
        }
        match rest {
            [b',', rest @ ..] => {
                self.comma();
                rest
            }
            _ => rest,
        }
    }

    #[inline]
    fn comma(&mut self) {
        if self.inner.kind == Container::Object {
            self.state = State::Key;
        } else {
            self.place = self.element();
            self.state = State::Value;
        }
    }

    /// The place of the elements of the array that is read.
    fn element(&self) -> Option<&'static Node<F>> {
        let place = self.inner.place;
        if self.inner.kind == Container::Documents { Some(place) } else { place.each() }
    }

    /// Passes over a container that lies on no path.
    fn more_of_skip<'a>(&mut self, bytes: &'a [u8], sink: &mut impl JsonSink<Field = F>) -> &'a [u8] {
        let rest = self.skip.feed(bytes);
        let take = self.place.and_then(Node::take);
        if let Some((field, Take::Size)) = take
            && rest.len() < bytes.len()
        {
            sink.size(field, bytes.len() - rest.len());
        }
        if !self.skip.is_over() {
            return rest;
        }
        if let Some((field, Take::Value)) = take {
            sink.close(field);
        }
        self.end_value(rest, sink)
    }
}

#[cfg(test)]
mod tests;
