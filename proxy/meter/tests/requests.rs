//! Every recorded request of the corpus must be readable, must take the changes Hudson makes and nothing else, and must
//! be estimated high. The corpus is read from `$HUDSON_CORPUS`, else from `../shared/corpus` beside the workspace.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "every function here is part of a test"
)]

use hudson_meter::{Catalogue, Endpoint, RequestFacts, RequestHead, Rewrite, request};
use hudson_schema::Format;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Prints past the test harness, which keeps `println!` of a test that passes to itself: a figure that nobody sees is
/// none.
macro_rules! report {
    ($($part:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}

/// A recorded request and what its response said it had cost.
struct Recorded {
    family: String,
    id: String,
    format: Format,
    path: String,
    query: Option<String>,
    body: Vec<u8>,
    /// Input tokens, cache reads and writes included; None where the response stated no usage.
    input: Option<u64>,
}

impl Recorded {
    /// Its head; the recordings kept no host that decides anything.
    fn head(&self) -> RequestHead<'_> {
        RequestHead {
            format: self.format,
            host: "api.openai.com",
            path: &self.path,
            query: self.query.as_deref(),
            content_type: Some("application/json"),
            socket: false,
        }
    }
}

#[test]
fn recorded_requests_are_read_and_estimated_high() {
    let Some(folder) = corpus() else { return };
    let mut by_family: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    let mut flagged = BTreeMap::new();
    for recorded in recorded(&folder) {
        let Recorded { family, id, .. } = &recorded;
        let facts = match request::read(&recorded.head(), &recorded.body) {
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
        let Some(actual) = recorded.input else { continue };
        if !facts.server_tools.is_empty() || !facts.unseen_input.is_empty() {
            continue;
        }
        if facts.input_estimate < actual {
            report!("  short: {family}/{id} {:?} {} of {actual}", facts.model, facts.input_estimate);
        }
        by_family.entry(family.clone()).or_default().push((facts.input_estimate as f64, actual as f64));
    }
    report!("requests flagged for server-side work: {flagged:?}");
    for (family, pairs) in &by_family {
        let estimated: f64 = pairs.iter().map(|(estimate, _)| estimate).sum();
        let actual: f64 = pairs.iter().map(|(_, actual)| actual).sum();
        let mut under: Vec<f64> =
            pairs.iter().map(|(estimate, actual)| (actual - estimate).max(0.0)).collect();
        under.sort_by(f64::total_cmp);
        let p99 = under[(under.len() - 1) * 99 / 100];
        let short = under.iter().filter(|under| **under > 0.0).count();
        report!(
            "{family}: {} requests, estimate / actual {:.2}, {short} short, p99 shortfall {p99:.0} tokens, worst {:.0}",
            pairs.len(),
            estimated / actual,
            under[under.len() - 1]
        );
        assert!(estimated > actual, "{family} leans low");
        assert!((short as f64) < 0.05 * pairs.len() as f64, "{family}: {short} of {} short", pairs.len());
    }
    assert!(by_family.len() >= 9, "a family is missing: {:?}", by_family.keys());
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
    let changed = request::rewrite(&recorded.head(), facts, &recorded.body, &change).unwrap();
    let again = request::read(&recorded.head(), &changed).unwrap();
    if facts.cap_supported {
        assert_eq!(again.output_cap, Some(facts.output_cap.map_or(7, |old| old.min(7))), "{}", recorded.id);
    }
    if facts.include_usage_supported {
        assert_eq!(again.include_usage, Some(true), "{}", recorded.id);
    }
    assert_eq!(rest_of(&recorded.body), rest_of(&changed), "{}", recorded.id);
    let twice = request::rewrite(&recorded.head(), &again, &changed, &change).unwrap();
    assert_eq!(twice, changed, "{}: once is enough", recorded.id);
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

/// The corpus's folder; None when it is absent and that is allowed.
fn corpus() -> Option<PathBuf> {
    let folder = match std::env::var_os("HUDSON_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
    };
    if folder.join("streams/manifest.jsonl").is_file() {
        return Some(folder);
    }
    assert_ne!(
        std::env::var("CI").as_deref(),
        Ok("true"),
        "the corpus is missing at {}; set HUDSON_CORPUS",
        folder.display()
    );
    report!("SKIPPED: NO CORPUS AT {}; SET HUDSON_CORPUS. NOTHING WAS CHECKED.", folder.display());
    None
}

fn recorded(folder: &Path) -> Vec<Recorded> {
    let manifest = std::fs::read_to_string(folder.join("streams/manifest.jsonl")).unwrap();
    let lines = manifest.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["has_request"] == true).map(|line| one(folder, &line)).collect()
}

fn one(folder: &Path, line: &Value) -> Recorded {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let (family, id, target) = (text("family"), text("id"), text("target"));
    let format = match family.as_str() {
        "no-usage" if target.contains("GenerateContent") => Format::Gemini,
        "no-usage" => Format::OpenaiChat,
        family => family.parse().unwrap(),
    };
    // A fragment is a client's own mark and never sent.
    let target = target.split('#').next().unwrap_or_default().to_owned();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (target, None),
    };
    let body = std::fs::read(folder.join(format!("streams/{family}/{id}.request"))).unwrap();
    let expected = line.get("expected").filter(|expected| !expected.is_null());
    let input = expected.map(|expected| {
        let count = |key: &str| expected[key].as_u64().unwrap_or(0);
        // In these the cache stands beside the input, elsewhere inside it.
        let beside = matches!(family.as_str(), "anthropic" | "bedrock-converse" | "bedrock-invoke");
        count("input") + if beside { count("cache_read") + count("cache_write") } else { 0 }
    });
    Recorded { family, id, format, path, query, body, input }
}
