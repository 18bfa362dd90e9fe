//! Ollama's own API (`POST /api/chat`, `/api/generate`, `/api/embed`): JSON objects in a row, or one.
//!
//! Sources: ollama `api/types.go` (`ChatResponse`, `Metrics`), and recordings. The counts stand in the last object alone,
//! which says `done: true` and why (`done_reason`); counts of zero are left out. Invariant: a body that ends before that
//! object is never exact.

use super::answers::{Field, Kind, Plan};
use super::counts::Number;
use crate::scan::json::{Selector, Take};
use std::sync::LazyLock;

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    Selector::new([
        ("model", Field::Model, Take::Value),
        ("error", Field::Error, Take::Value),
        ("done_reason", Field::Status, Take::Value),
        ("prompt_eval_count", Field::Count(Number::Input), Take::Value),
        ("eval_count", Field::Count(Number::Output), Take::Value),
        ("response", Field::Output, Take::Size),
        ("thinking", Field::Output, Take::Size),
        ("message.content", Field::Output, Take::Size),
        ("message.thinking", Field::Output, Take::Size),
        ("message.tool_calls", Field::Output, Take::Size),
    ])
});

#[derive(Debug, Default)]
pub(super) struct Ollama;

impl Plan for Ollama {
    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn kind(_name: &str) -> Kind {
        Kind::Part
    }

    fn settled(_reason: &str) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
