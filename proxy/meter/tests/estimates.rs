//! How far the estimate of a request's input is off, on every recorded request of the corpus whose response said what it
//! had cost. The corpus is read from `$HUDSON_CORPUS`, else from `../shared/corpus` beside the workspace.
//!
//! What the truth holds beyond the body: system prompts that hosts put before every conversation (Venice, xAI, Cohere's
//! and DeepSeek's models, local templates), the prompt that providers add for tools, and what the recordings took out:
//! encrypted thoughts stand in some bodies as a short mark in their place. The last, what runs at the provider and what
//! a request only names are printed by themselves, and nothing is promised of them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "every function here is part of a test"
)]

mod corpus_requests;

use corpus_requests::{Recorded, corpus, recorded, report};
use hudson_meter::{RequestFacts, request};
use serde_json::Value;
use std::collections::BTreeMap;

/// What of a body makes its input hard to see.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Text,
    Tools,
    ToolResults,
    Images,
    Documents,
    Audio,
    RedactedThoughts,
    NamedElsewhere,
    ServerTools,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Text,
        Self::Tools,
        Self::ToolResults,
        Self::Images,
        Self::Documents,
        Self::Audio,
        Self::RedactedThoughts,
        Self::NamedElsewhere,
        Self::ServerTools,
    ];

    fn of(recorded: &Recorded, facts: &RequestFacts) -> Self {
        let body: Value = serde_json::from_slice(&recorded.body).unwrap();
        let has = |wanted: &dyn Fn(&str, &Value) -> bool| any_member(&body, wanted);
        let is_type = |types: &'static [&'static str]| {
            has(&|name, value| name == "type" && value.as_str().is_some_and(|kind| types.contains(&kind)))
        };
        let named = |names: &'static [&'static str]| has(&|name, _| names.contains(&name));
        match () {
            () if !facts.server_tools.is_empty() => Self::ServerTools,
            () if !facts.unseen_input.is_empty() => Self::NamedElsewhere,
            () if has(&|name, value| {
                matches!(name, "signature" | "thoughtSignature" | "encrypted_content" | "data")
                    && value.as_str().is_some_and(|text| text.contains("REDACTED"))
            }) =>
            {
                Self::RedactedThoughts
            }
            () if named(&["input_audio"]) => Self::Audio,
            () if is_type(&["document", "file", "input_file", "document_url"]) || named(&["documents"]) => {
                Self::Documents
            }
            () if named(&["image_url", "inlineData", "inline_data", "images"])
                || is_type(&["image", "input_image"]) =>
            {
                Self::Images
            }
            () if is_type(&["tool_result", "function_call_output"])
                || named(&["tool_call_id", "toolResult", "functionResponse", "tool_name"]) =>
            {
                Self::ToolResults
            }
            () if named(&["tools", "toolConfig"]) && body["tools"] != Value::Array(Vec::new()) => Self::Tools,
            () => Self::Text,
        }
    }

    /// Whether all that the provider reads stands in the body.
    fn is_seen(self) -> bool {
        !matches!(self, Self::RedactedThoughts | Self::NamedElsewhere | Self::ServerTools)
    }
}

/// Estimates and truths of one kind of request.
#[derive(Clone, Default)]
struct Measured {
    pairs: Vec<(u64, u64)>,
}

impl Measured {
    fn bias(&self) -> f64 {
        let sums = self.pairs.iter().fold((0, 0), |sums, pair| (sums.0 + pair.0, sums.1 + pair.1));
        sums.0 as f64 / sums.1 as f64
    }

    /// The ratio of estimate and truth below which so many per cent lie.
    fn percentile(&self, percent: usize) -> f64 {
        let mut ratios: Vec<f64> =
            self.pairs.iter().map(|(estimate, truth)| *estimate as f64 / *truth as f64).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[(ratios.len() - 1) * percent / 100]
    }

    fn short(&self) -> usize {
        self.pairs.iter().filter(|(estimate, truth)| estimate < truth).count()
    }

    fn worst(&self) -> u64 {
        self.pairs.iter().map(|(estimate, truth)| truth.saturating_sub(*estimate)).max().unwrap()
    }

    fn row(&self, name: &str) -> String {
        format!(
            "| {name} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {} |",
            self.pairs.len(),
            self.bias(),
            self.percentile(1),
            self.percentile(50),
            self.percentile(99),
            self.short(),
            self.worst()
        )
    }
}

#[test]
fn the_estimate_is_high_by_little_and_hardly_ever_short() {
    let Some(folder) = corpus() else { return };
    let mut by_format: BTreeMap<String, Measured> = BTreeMap::new();
    let mut by_kind: BTreeMap<Kind, Measured> = BTreeMap::new();
    for recorded in recorded(&folder).into_iter().filter(|recorded| recorded.family != "no-usage") {
        let facts = request::read(&recorded.head(), &recorded.body).unwrap();
        let Some(truth @ 1..) = recorded.input else { continue };
        let kind = Kind::of(&recorded, &facts);
        let pair = (facts.input_estimate, truth);
        by_kind.entry(kind).or_default().pairs.push(pair);
        if !kind.is_seen() {
            continue;
        }
        by_format.entry(recorded.family.clone()).or_default().pairs.push(pair);
        if pair.0 < pair.1 {
            let Recorded { family, id, .. } = &recorded;
            report!("short: {family}/{id} {:?} {kind:?} {} of {truth}", facts.model, pair.0);
        }
    }
    report!("| | requests | Σ estimate / Σ truth | p1 | median | p99 | short | worst, tokens |");
    report!("|---|---|---|---|---|---|---|---|");
    for (family, measured) in &by_format {
        report!("{}", measured.row(&format!("`{family}`")));
    }
    for kind in Kind::ALL {
        if let Some(measured) = by_kind.get(&kind) {
            report!("{}", measured.row(&format!("{kind:?}")));
        }
    }
    for (family, measured) in &by_format {
        let bounds = BOUNDS.iter().find(|bounds| bounds.family == family).unwrap();
        let (bias, count) = (measured.bias(), measured.pairs.len());
        assert!((1.0..bounds.bias).contains(&bias), "{family}: Σ estimate / Σ truth is {bias:.2}");
        assert!(measured.percentile(50) < bounds.median, "{family}: median {:.2}", measured.percentile(50));
        assert!(measured.short() <= bounds.short, "{family}: {} of {count} short", measured.short());
    }
    assert_eq!(by_format.len(), BOUNDS.len(), "a family is missing: {:?}", by_format.keys());
}

/// What a family must stay below; how many of it may be short.
struct Bounds {
    family: &'static str,
    bias: f64,
    median: f64,
    short: usize,
}

const fn bounds(family: &'static str, bias: f64, median: f64, short: usize) -> Bounds {
    Bounds { family, bias, median, short }
}

const BOUNDS: &[Bounds] = &[
    bounds("anthropic", 1.25, 1.25, 2),
    bounds("bedrock-converse", 1.25, 1.25, 0),
    bounds("bedrock-invoke", 1.25, 1.45, 0),
    bounds("cohere", 1.3, 1.2, 0),
    bounds("gemini", 1.4, 1.65, 0),
    bounds("gemini-interactions", 1.4, 1.5, 0),
    bounds("ollama", 1.8, 1.75, 0),
    bounds("openai-chat", 1.4, 1.4, 2),
    bounds("openai-responses", 1.4, 1.4, 2),
];

/// Whether any member of this JSON, at any depth, is wanted.
fn any_member(value: &Value, wanted: &dyn Fn(&str, &Value) -> bool) -> bool {
    match value {
        Value::Object(members) => {
            members.iter().any(|(name, value)| wanted(name, value) || any_member(value, wanted))
        }
        Value::Array(elements) => elements.iter().any(|value| any_member(value, wanted)),
        _ => false,
    }
}
