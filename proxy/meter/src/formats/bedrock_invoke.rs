//! Amazon Bedrock `InvokeModel` and `InvokeModelWithResponseStream`: the body is the model vendor's own.
//!
//! Sources: the API reference (`PayloadPart`; "Inference request parameters" of Anthropic, Amazon Nova and Titan, Meta,
//! Mistral, Cohere, AI21 and OpenAI models), and recordings. One rule holds for all streams: the last chunk has
//! `amazon-bedrock-invocationMetrics`, and without it nothing is exact. What is not streamed has its numbers in headers
//! ([`super::header_usage`]); where those are missing, a vendor's own numbers count if the body has them in a place that is
//! known. A guardrail's trace in the same chunk has an object of the name `invocationMetrics`, deeper down.

use super::bedrock::Framed;
use super::counts::{Counts, Number, usage_at};
use super::{Ending, Outcome, Reading, TOOL_CALL, count, keep_first, text_of, tokens_of, with_output};
use crate::scan::json::{JsonSink, Selector, Take, Value};
use hudson_schema::Usage;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Id,
    Model,
    Output,
    Tool,
    /// Bedrock's own number.
    Metric(Number),
    /// A vendor's, where cached tokens stand beside the input.
    Beside(Number),
    /// A vendor's, where they are a part of it.
    Within(Number),
    /// The tokens of one of several texts.
    Result,
}

const METRICS: &[(&str, Number)] = &[
    ("inputTokenCount", Number::Input),
    ("outputTokenCount", Number::Output),
    ("cacheReadInputTokenCount", Number::CacheRead),
    ("cacheWriteInputTokenCount", Number::CacheWrite),
];

/// Anthropic's and Nova's.
const BESIDE: &[(&str, Number)] = &[
    ("input_tokens", Number::Input),
    ("output_tokens", Number::Output),
    ("cache_read_input_tokens", Number::CacheRead),
    ("cache_creation_input_tokens", Number::CacheWrite),
    ("inputTokens", Number::Input),
    ("outputTokens", Number::Output),
    ("cacheReadInputTokenCount", Number::CacheRead),
    ("cacheWriteInputTokenCount", Number::CacheWrite),
];

/// Mistral's, OpenAI's, AI21's and DeepSeek's.
const WITHIN: &[(&str, Number)] = &[
    ("prompt_tokens", Number::Input),
    ("completion_tokens", Number::Output),
    ("total_tokens", Number::Total),
    ("prompt_tokens_details.cached_tokens", Number::CacheRead),
    ("completion_tokens_details.reasoning_tokens", Number::Reasoning),
];

/// The generated text of a chunk, by vendor.
const TEXTS: &[&str] = &[
    // Anthropic, old and new.
    "completion",
    "delta.text",
    "delta.thinking",
    "delta.partial_json",
    // Nova.
    "contentBlockDelta.delta.text",
    "contentBlockDelta.delta.toolUse.input",
    "contentBlockDelta.delta.reasoningContent",
    // Titan, Llama, Cohere, Mistral.
    "outputText",
    "generation",
    "text",
    "outputs.*.text",
    // Everything that is shaped like OpenAI's.
    "choices.*.text",
    "choices.*.delta.content",
    "choices.*.delta.reasoning",
    "choices.*.delta.reasoning_content",
    "choices.*.delta.tool_calls",
];

static SELECTOR: LazyLock<Selector<Field>> = LazyLock::new(|| {
    use Number::{Input, Output};
    let plain = [
        ("id", Field::Id, Take::Value),
        ("model", Field::Model, Take::Value),
        ("message.id", Field::Id, Take::Value),
        ("message.model", Field::Model, Take::Value),
        ("content_block.name", Field::Tool, Take::Value),
        ("contentBlockStart.start.toolUse", Field::Tool, Take::Value),
        ("inputTextTokenCount", Field::Within(Input), Take::Value),
        ("totalOutputTextTokenCount", Field::Within(Output), Take::Value),
        ("results.*.tokenCount", Field::Result, Take::Value),
        ("prompt_token_count", Field::Within(Input), Take::Value),
        ("generation_token_count", Field::Within(Output), Take::Value),
    ];
    let texts = TEXTS.iter().map(|path| (*path, Field::Output, Take::Size));
    let usage = usage_at("amazon-bedrock-invocationMetrics", METRICS, Field::Metric)
        .into_iter()
        .chain(
            ["usage", "message.usage", "metadata.usage"]
                .into_iter()
                .flat_map(|place| usage_at(place, BESIDE, Field::Beside)),
        )
        .chain(usage_at("usage", WITHIN, Field::Within));
    Selector::new(plain.into_iter().chain(texts).chain(usage))
});

#[derive(Debug, Default)]
pub(super) struct BedrockInvoke {
    /// Bedrock's own numbers.
    metrics: Option<Usage>,
    /// The vendor's, so far: streams state the input in their first chunk and the output in later ones.
    beside: Counts,
    within: Counts,
    live: u64,
    model: Option<String>,
    id: Option<String>,
    failed: bool,
    event: Event,
}

#[derive(Debug, Default)]
struct Event {
    metrics: Counts,
    beside: Counts,
    within: Counts,
    results: Option<u64>,
    output: u64,
    id: Option<String>,
    model: Option<String>,
}

impl JsonSink for BedrockInvoke {
    type Field = Field;

    fn value(&mut self, field: Field, value: Value<'_>) {
        let event = &mut self.event;
        match field {
            Field::Id => keep_first(&mut event.id, value),
            Field::Model => keep_first(&mut event.model, value),
            Field::Metric(number) => event.metrics.set(number, value),
            Field::Beside(number) => event.beside.set(number, value),
            Field::Within(number) => event.within.set(number, value),
            Field::Result => {
                if let Some(count) = count(value) {
                    event.results = Some(event.results.unwrap_or(0).saturating_add(count));
                }
            }
            Field::Tool if text_of(value).is_some() => event.output = event.output.saturating_add(TOOL_CALL),
            Field::Tool | Field::Output => {}
        }
    }

    fn open(&mut self, field: Field) {
        if matches!(field, Field::Tool) {
            self.event.output = self.event.output.saturating_add(TOOL_CALL);
        }
    }

    fn close(&mut self, _field: Field) {}

    fn size(&mut self, _field: Field, bytes: usize) {
        self.event.output = self.event.output.saturating_add(bytes as u64);
    }

    fn document(&mut self) {
        let event = std::mem::take(&mut self.event);
        self.live = self.live.saturating_add(event.output);
        let metrics = event.metrics.additive().filter(|usage| usage.total > 0 || self.metrics.is_none());
        self.metrics = metrics.or(self.metrics);
        self.beside.raise(&event.beside);
        self.within.raise(&Counts { output: event.within.output.max(event.results), ..event.within });
        self.id = self.id.take().or(event.id);
        self.model = self.model.take().or(event.model);
    }

    fn all_documents(&mut self) {}
}

impl Reading for BedrockInvoke {
    fn selector() -> &'static Selector<Field> {
        &SELECTOR
    }

    fn discard(&mut self) {
        let event = std::mem::take(&mut self.event);
        self.live = self.live.saturating_add(event.output);
    }

    fn live_output(&self) -> u64 {
        match (self.metrics, self.vendor()) {
            (Some(metrics), _) => metrics.output,
            (None, vendor) => vendor.map_or(0, |usage| usage.output).max(tokens_of(self.live)),
        }
    }

    fn conclude(&mut self, ending: Ending) -> Outcome {
        let vendor = self.vendor();
        let exact = match ending.events {
            true => self.metrics.is_some(),
            false => ending.complete && self.metrics.or(vendor).is_some(),
        };
        let recovered = vendor.map(|usage| with_output(usage, self.live_output()));
        Outcome {
            usage: self.metrics.or(if exact { vendor } else { recovered }),
            billed: None,
            exact,
            finished: self.failed || self.metrics.is_some() || (!ending.events && ending.complete),
            model: self.model.take(),
            response_id: self.id.take(),
            stream: ending.events,
            fault: None,
        }
    }
}

impl BedrockInvoke {
    fn vendor(&self) -> Option<Usage> {
        self.beside.additive().or_else(|| self.within.inclusive())
    }
}

impl Framed for BedrockInvoke {
    const WRAPPED: bool = true;

    fn named(&mut self, _name: &str) {}

    fn fail(&mut self) {
        self.failed = true;
    }
}

#[cfg(test)]
mod tests;
