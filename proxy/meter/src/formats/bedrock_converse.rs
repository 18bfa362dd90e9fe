//! Amazon Bedrock `Converse` (JSON) and `ConverseStream` (frames).
//!
//! Sources: the API reference (`TokenUsage`, `ConverseStreamMetadataEvent`), botocore's `bedrock-runtime` model, and
//! recordings. Usage stands at the top of the answer or of the last event, `metadata`; a guardrail's trace beside it has
//! objects of the same name. Cached tokens stand beside the input. Where the stated total says that they are a part of
//! it, that is believed. For OpenAI's models both the input and the total have been seen to hold the cache in addition;
//! that cannot be told from the numbers, and what is stated is taken.

use super::answers::{Field, Kind, Numbers, Plan};
use super::counts::{Number, usage_at};
use super::sum;
use crate::scan::json::{Selector, Take};
use hudson_schema::Usage;
use std::sync::LazyLock;

const NAMES: &[(&str, Number)] = &[
    ("inputTokens", Number::Input),
    ("outputTokens", Number::Output),
    ("totalTokens", Number::Total),
    ("cacheReadInputTokens", Number::CacheRead),
    ("cacheReadInputTokenCount", Number::CacheRead),
    ("cacheWriteInputTokens", Number::CacheWrite),
    ("cacheWriteInputTokenCount", Number::CacheWrite),
];

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    let plain = [
        ("delta.text", Field::Output, Take::Size),
        ("delta.toolUse.input", Field::Output, Take::Size),
        ("delta.reasoningContent.text", Field::Output, Take::Size),
        ("start.toolUse", Field::Tool, Take::Value),
    ];
    Selector::new(plain.into_iter().chain(usage_at("usage", NAMES, Field::Count)))
});

#[derive(Debug, Default)]
pub(super) struct BedrockConverse;

impl Plan for BedrockConverse {
    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn kind(name: &str) -> Kind {
        match name {
            "messageStart" => Kind::Begin,
            "metadata" => Kind::End,
            _ => Kind::Part,
        }
    }

    fn usage(numbers: &Numbers) -> Option<Usage> {
        let counts = &numbers.processed;
        let usage = counts.additive()?;
        let inside = counts.stated() == sum(&[usage.input, usage.output]) && counts.stated() > 0;
        let total = if inside { counts.stated() } else { usage.total.max(counts.stated()) };
        Some(Usage { total, ..usage })
    }
}
