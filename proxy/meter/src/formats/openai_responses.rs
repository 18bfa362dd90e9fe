//! OpenAI Responses (`POST /v1/responses`, `…/compact`), over HTTP and as a WebSocket, Codex on chatgpt.com, and the
//! batches of OpenAI.
//!
//! Sources: openai-python `response_usage.py`, `response_stream_event.py`, `batch.py`, `batch_usage.py`, and recordings.
//! Cached tokens and reasoning are parts of their sides. Usage is null until a terminal event, and every terminal event
//! counts, not only `response.completed`. It stands in `response.usage` of an event, or in `usage` of an object that is
//! not streamed, and nowhere else. A WebSocket's messages are the same events as documents in a row.

use super::answers::{Field, Kind, Plan};
use super::counts::{OPENAI, usage_at};
use crate::scan::json::{Selector, Take};
use std::sync::LazyLock;

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    let plain = [
        ("type", Field::Kind, Take::Value),
        ("error", Field::Error, Take::Value),
        ("id", Field::Id, Take::Value),
        ("model", Field::Model, Take::Value),
        ("status", Field::Status, Take::Value),
        ("response.id", Field::Id, Take::Value),
        ("response.model", Field::Model, Take::Value),
        ("response.status", Field::Status, Take::Value),
        // Every delta event has its text here: output, arguments, reasoning, code.
        ("delta", Field::Output, Take::Size),
    ];
    let usage = ["response.usage", "usage"].map(|place| usage_at(place, OPENAI, Field::Count));
    Selector::new(plain.into_iter().chain(usage.into_iter().flatten()))
});

#[derive(Debug, Default)]
pub(super) struct OpenaiResponses;

impl Plan for OpenaiResponses {
    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn kind(name: &str) -> Kind {
        match name {
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.done"
            | "response.cancelled" => Kind::End,
            "response.created" | "response.in_progress" | "response.queued" => Kind::Begin,
            "response.output_item.added" => Kind::Tool,
            "error" => Kind::Error,
            _ => Kind::Part,
        }
    }

    fn settled(status: &str) -> bool {
        // The last one is a batch's.
        matches!(status, "completed" | "incomplete" | "failed" | "cancelled" | "expired")
    }
}

#[cfg(test)]
mod tests;
