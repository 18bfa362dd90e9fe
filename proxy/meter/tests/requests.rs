//! Every recorded request of the corpus must be readable, and must take the changes Hudson makes and nothing else; how far
//! their estimates are off, the test `estimates` prints. The corpus is read from `$HUDSON_CORPUS`, else from `../shared/corpus` beside the workspace.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "every function here is part of a test"
)]

mod corpus_requests;

use corpus_requests::{Recorded, corpus, recorded, report};
use hudson_meter::{Catalogue, Endpoint, RequestFacts, RequestHead, Rewrite, request};
use hudson_schema::Format;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// On this host every cap of chat is heeded.
const HOST: &str = "api.openai.com";

#[test]
fn recorded_requests_are_read_and_rewritten() {
    let Some(folder) = corpus() else { return };
    let mut families = BTreeSet::new();
    let mut flagged = BTreeMap::new();
    for recorded in recorded(&folder) {
        let Recorded { family, id, .. } = &recorded;
        let facts = match request::read(&head(&recorded), &recorded.body) {
            Ok(facts) => facts,
            // What stands there without usage is not always a request to a model.
            Err(_) if family == "no-usage" => continue,
            Err(error) => panic!("{family}/{id}: {error}"),
        };
        if family == "no-usage" {
            continue;
        }
        assert!(facts.stream, "{family}/{id} is a stream");
        assert!(facts.model.is_some() || recorded.path.contains("threads"), "{family}/{id}");
        for tool in &facts.server_tools {
            *flagged.entry(tool.clone()).or_insert(0) += 1;
        }
        check_rewrite(&recorded, &facts);
        families.insert(family.clone());
    }
    report!("requests flagged for server-side work: {flagged:?}");
    assert!(families.len() >= 9, "a family is missing: {families:?}");
}

/// The catalogue knows every recorded endpoint by its path, on a host of an operator's own, and gives it the format in
/// which it was recorded.
#[test]
fn recorded_endpoints_are_known() {
    let Some(folder) = corpus() else { return };
    let own =
        || Catalogue::builtin().with_provider("lab".parse().unwrap(), vec!["lab".into()], Format::OpenaiChat);
    let (mut known, mut wrong) = (0, Vec::new());
    for recorded in recorded(&folder).into_iter().filter(|recorded| recorded.family != "no-usage") {
        let found = own().classify("lab", "POST", &recorded.path, recorded.query.as_deref());
        // Assistants run behind the answer; what Writer calls so is Cohere's name elsewhere.
        if recorded.path.contains("threads") || recorded.path == "/v1/chat" {
            continue;
        }
        match found {
            Endpoint::Metered { format, .. } if format == recorded.format => known += 1,
            other => {
                wrong.push(format!("{}/{}: {} is {other:?}", recorded.family, recorded.id, recorded.path))
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    report!("{known} recorded endpoints are known by their path");
    assert!(known > 1000);
}

/// The providers that count are asked for nearly every recorded request, and a question holds the request's own values.
#[test]
fn recorded_requests_are_counted_where_a_provider_counts() {
    let Some(folder) = corpus() else { return };
    let mut by_format: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let mut left = BTreeMap::new();
    for recorded in recorded(&folder).into_iter().filter(|recorded| recorded.family != "no-usage") {
        let (host, path) = match recorded.format {
            Format::Anthropic => ("api.anthropic.com", "/v1/messages"),
            Format::OpenaiResponses => ("api.openai.com", "/v1/responses"),
            Format::Gemini => ("generativelanguage.googleapis.com", "/v1beta/models/g:streamGenerateContent"),
            _ => continue,
        };
        let head = RequestHead { host, path, ..recorded.head() };
        let question = request::count::question(&head, &recorded.body);
        let (asked, all) = by_format.entry(recorded.format.name()).or_default();
        *all += 1;
        let request: Value = serde_json::from_slice(&recorded.body).unwrap();
        let Some(question) = question else {
            left.entry(recorded.format.name()).or_insert_with(Vec::new).push(recorded.id);
            continue;
        };
        *asked += 1;
        let question: Value = serde_json::from_slice(&question.body).unwrap();
        let question = question.get("generateContentRequest").unwrap_or(&question);
        for name in ["messages", "system", "input", "instructions", "contents", "tools"] {
            assert_eq!(question.get(name), request.get(name), "{}", recorded.id);
        }
    }
    for (format, (asked, all)) in &by_format {
        report!(
            "{format}: {asked} of {all} recorded requests can be counted; not {:?}",
            left.get(format).unwrap_or(&Vec::new())
        );
        assert!(f64::from(*asked) > 0.9 * f64::from(*all), "{format}");
    }
    assert_eq!(by_format.len(), 3);
}

/// Lowering the cap and asking for usage must hold when read again, and change nothing else.
fn check_rewrite(recorded: &Recorded, facts: &RequestFacts) {
    let change = Rewrite { output_cap: facts.cap_supported.then_some(7), include_usage: true };
    let changed = request::rewrite(&head(recorded), facts, &recorded.body, &change).unwrap();
    let again = request::read(&head(recorded), &changed).unwrap();
    if facts.cap_supported {
        assert_eq!(again.output_cap, Some(facts.output_cap.map_or(7, |old| old.min(7))), "{}", recorded.id);
    }
    if facts.include_usage_supported {
        assert_eq!(again.include_usage, Some(true), "{}", recorded.id);
    }
    assert_eq!(rest_of(&recorded.body), rest_of(&changed), "{}", recorded.id);
    let twice = request::rewrite(&head(recorded), &again, &changed, &change).unwrap();
    assert_eq!(twice, changed, "{}: once is enough", recorded.id);
}

fn head(recorded: &Recorded) -> RequestHead<'_> {
    RequestHead { host: HOST, ..recorded.head() }
}

/// A request without what a rewrite may change.
fn rest_of(body: &[u8]) -> Value {
    const CAPS: &[&str] = &[
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens_to_sample",
        "max_gen_len",
        "maxOutputTokens",
        "maxTokens",
        "max_new_tokens",
        "maxTokenCount",
        "num_predict",
        "stream_options",
    ];
    const CONFIGS: &[&str] =
        &["generationConfig", "generation_config", "inferenceConfig", "textGenerationConfig", "options"];
    let mut value: Value = serde_json::from_slice(body).unwrap();
    let root = value.as_object_mut().unwrap();
    for name in CAPS {
        root.shift_remove(*name);
    }
    for config in CONFIGS {
        if let Some(inner) = root.get_mut(*config).and_then(Value::as_object_mut) {
            inner.retain(|name, _| !CAPS.contains(&name.as_str()));
        }
        if root.get(*config).is_some_and(|inner| inner.as_object().is_none_or(|inner| inner.is_empty())) {
            root.shift_remove(*config);
        }
    }
    value
}
