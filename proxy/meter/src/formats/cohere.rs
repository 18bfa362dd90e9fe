//! Cohere, streamed and not: chat v2 (`message-end` → `delta.usage`), chat v1 (`stream-end` → `response.meta`), and the
//! `meta` of its other endpoints.
//!
//! Sources: cohere-python `usage.py`, `api_meta.py`, `api_meta_billed_units.py`, and recordings. Two sets of numbers are
//! stated: `tokens` are all that were processed, the provider's own prompt around the messages included, `billed_units`
//! those that are paid. Cached tokens are a part of the input. Embedding and reranking may state only what is billed,
//! and where that is searches or classifications, no tokens are stated.

use super::answers::{Field, Kind, Numbers, Plan};
use super::counts::{Counts, Number, usage_at};
use super::sum;
use crate::scan::json::{Selector, Take};
use hudson_schema::Usage;
use std::sync::LazyLock;

const TOKENS: &[(&str, Number)] = &[
    ("tokens.input_tokens", Number::Input),
    ("tokens.output_tokens", Number::Output),
    ("tokens.reasoning_tokens", Number::Reasoning),
    ("cached_tokens", Number::CacheRead),
];

const BILLED: &[(&str, Number)] = &[
    ("billed_units.input_tokens", Number::Input),
    ("billed_units.output_tokens", Number::Output),
    // Of embedded pictures, beside the text's.
    ("billed_units.image_tokens", Number::ToolUse),
];

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    let plain = [
        ("type", Field::Kind, Take::Value),
        ("event_type", Field::Kind, Take::Value),
        ("id", Field::Id, Take::Value),
        ("response_id", Field::Id, Take::Value),
        ("response.response_id", Field::Id, Take::Value),
        ("delta.message.content.text", Field::Output, Take::Size),
        ("delta.message.content.thinking", Field::Output, Take::Size),
        ("delta.message.tool_plan", Field::Output, Take::Size),
        ("delta.message.tool_calls.function", Field::Output, Take::Size),
        // v1: each piece of text, and the tool calls in pieces and whole.
        ("text", Field::Output, Take::Size),
        ("tool_call_delta", Field::Output, Take::Size),
    ];
    let places = ["delta.usage", "usage", "meta", "response.meta"];
    let tokens = places.map(|place| usage_at(place, TOKENS, Field::Count));
    let billed = places.map(|place| usage_at(place, BILLED, Field::Billed));
    Selector::new(plain.into_iter().chain(tokens.into_iter().chain(billed).flatten()))
});

#[derive(Debug, Default)]
pub(super) struct Cohere;

impl Plan for Cohere {
    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn kind(name: &str) -> Kind {
        match name {
            "message-start" | "stream-start" => Kind::Begin,
            "message-end" | "stream-end" => Kind::End,
            "tool-call-start" => Kind::Tool,
            _ => Kind::Part,
        }
    }

    fn usage(numbers: &Numbers) -> Option<Usage> {
        let tokens = &numbers.processed;
        if tokens.input.or(tokens.output).is_some() {
            return tokens.inclusive();
        }
        let billed = numbers.billed;
        let input = [billed.input, billed.tool_use];
        let input = input.iter().any(Option::is_some).then(|| sum(&input.map(Option::unwrap_or_default)));
        Counts { input, tool_use: None, ..billed }.inclusive()
    }
}

#[cfg(test)]
mod tests;
