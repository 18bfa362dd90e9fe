//! Gemini Interactions (`POST /v1beta/interactions`), streamed and not.
//!
//! Sources: google/genai `interactions` (`InteractionCompletedEvent`, the older `InteractionEvent`, `Usage`), and
//! recordings. Thoughts and the tools' prompts stand beside output and input. An interaction in the background answers
//! with `in_progress` and no final numbers: that is not exact.

use super::answers::{Field, Kind, Numbers, Plan};
use super::counts::{Number, usage_at};
use crate::scan::json::{Selector, Take};
use hudson_schema::Usage;
use std::sync::LazyLock;

const NAMES: &[(&str, Number)] = &[
    ("total_input_tokens", Number::Input),
    ("total_output_tokens", Number::Output),
    ("total_thought_tokens", Number::Reasoning),
    ("total_tool_use_tokens", Number::ToolUse),
    ("total_cached_tokens", Number::CacheRead),
    ("total_tokens", Number::Total),
];

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    let plain = [
        ("event_type", Field::Kind, Take::Value),
        ("error", Field::Error, Take::Value),
        ("id", Field::Id, Take::Value),
        ("model", Field::Model, Take::Value),
        ("status", Field::Status, Take::Value),
        ("interaction.id", Field::Id, Take::Value),
        ("interaction.model", Field::Model, Take::Value),
        ("interaction.status", Field::Status, Take::Value),
        ("delta.text", Field::Output, Take::Size),
        ("delta.arguments", Field::Output, Take::Size),
        // A summary of thoughts.
        ("delta.content", Field::Output, Take::Size),
    ];
    let usage = ["interaction.usage", "usage"].map(|place| usage_at(place, NAMES, Field::Count));
    Selector::new(plain.into_iter().chain(usage.into_iter().flatten()))
});

#[derive(Debug, Default)]
pub(super) struct GeminiInteractions;

impl Plan for GeminiInteractions {
    const BARE: bool = false;

    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn kind(name: &str) -> Kind {
        match name {
            "interaction.completed" | "interaction.complete" => Kind::End,
            "interaction.created" | "interaction.start" => Kind::Begin,
            "error" => Kind::Error,
            _ => Kind::Part,
        }
    }

    fn settled(status: &str) -> bool {
        // `requires_action` ends the answer too: the tool's result goes into another interaction.
        matches!(
            status,
            "completed" | "requires_action" | "incomplete" | "failed" | "cancelled" | "budget_exceeded"
        )
    }

    fn usage(numbers: &Numbers) -> Option<Usage> {
        numbers.processed.with_thoughts_beside()
    }
}

#[cfg(test)]
mod tests;
