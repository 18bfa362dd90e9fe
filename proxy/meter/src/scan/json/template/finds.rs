//! What a scanner hands to its sink, kept so that it can be handed on again.

use super::super::{JsonSink, Value};

/// Most calls that are kept of one piece.
pub(super) const MAX_FINDS: usize = 16;

/// A call of a [`JsonSink`].
#[derive(Debug)]
pub(super) enum Find<F> {
    Null(F),
    Bool(F),
    Number(F, u64),
    Text(F, Box<str>),
    Open(F),
    Close(F),
    Size(F, usize),
    Document,
}

/// Hands on what it is handed, and keeps it.
pub(super) struct Recorder<'a, S: JsonSink> {
    sink: &'a mut S,
    finds: Vec<Find<S::Field>>,
    /// Not everything could be kept.
    lost: bool,
}

impl<F: Copy> Find<F> {
    /// Makes the call again.
    #[inline]
    pub(super) fn replay(&self, sink: &mut impl JsonSink<Field = F>) {
        match self {
            Self::Null(field) => sink.value(*field, Value::Null),
            Self::Bool(field) => sink.value(*field, Value::Bool),
            Self::Number(field, count) => sink.value(*field, Value::Number(*count)),
            Self::Text(field, text) => sink.value(*field, Value::Text(text)),
            Self::Open(field) => sink.open(*field),
            Self::Close(field) => sink.close(*field),
            Self::Size(field, bytes) => sink.size(*field, *bytes),
            Self::Document => sink.document(),
        }
    }
}

impl<'a, S: JsonSink> Recorder<'a, S> {
    /// Hands on to this one.
    pub(super) fn new(sink: &'a mut S) -> Self {
        Self { sink, finds: Vec::new(), lost: false }
    }

    /// Whether a call was made that is not kept.
    pub(super) fn lost(&self) -> bool {
        self.lost
    }

    /// What was kept.
    pub(super) fn into_finds(self) -> Vec<Find<S::Field>> {
        self.finds
    }

    fn keep(&mut self, find: Find<S::Field>) {
        if self.finds.len() < MAX_FINDS {
            self.finds.push(find);
        } else {
            self.lost = true;
        }
    }
}

impl<S: JsonSink> JsonSink for Recorder<'_, S> {
    type Field = S::Field;

    fn value(&mut self, field: S::Field, value: Value<'_>) {
        self.keep(match value {
            Value::Null => Find::Null(field),
            Value::Bool => Find::Bool(field),
            Value::Number(count) => Find::Number(field, count),
            Value::Text(text) => Find::Text(field, text.into()),
        });
        self.sink.value(field, value);
    }

    fn open(&mut self, field: S::Field) {
        self.keep(Find::Open(field));
        self.sink.open(field);
    }

    fn close(&mut self, field: S::Field) {
        self.keep(Find::Close(field));
        self.sink.close(field);
    }

    fn size(&mut self, field: S::Field, bytes: usize) {
        self.keep(Find::Size(field, bytes));
        self.sink.size(field, bytes);
    }

    fn document(&mut self) {
        self.keep(Find::Document);
        self.sink.document();
    }

    fn all_documents(&mut self) {
        self.lost = true;
        self.sink.all_documents();
    }
}
