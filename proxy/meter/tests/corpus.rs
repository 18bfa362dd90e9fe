//! Every recorded response of the corpus, metered at several chunk sizes and encodings, must give the provider's own
//! numbers. The corpus is read from `$HUDSON_CORPUS`, else from `../shared/corpus` beside the workspace.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "every function here is part of a test"
)]

use hudson_meter::{End, Meter, Report, RequestFacts, RequestHead, ResponseHead, Rewrite, request};
use hudson_schema::Format;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Prints past the test harness, which keeps `println!` of a test that passes to itself: a figure that nobody sees is
/// none.
macro_rules! report {
    ($($part:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}

/// Manifest entries whose expectation the bytes contradict: id, and the usage the bytes state with the proof.
const DISPUTED: &[(&str, &str)] = &[];

/// The chunk sizes every stream is fed at; 0 stands for the whole body.
const SIZES: [usize; 5] = [1, 7, 1400, 16_384, 0];

/// Where the recorded requests go when they are read and rewritten.
const HOST: &str = "api.openai.com";

/// A recorded request's head.
fn head<'a>(format: Format, path: &'a str, query: Option<&'a str>) -> RequestHead<'a> {
    RequestHead { format, host: HOST, path, query, content_type: Some("application/json") }
}

struct Entry {
    family: String,
    id: String,
    format: Format,
    content_type: String,
    encoding: String,
    body: Vec<u8>,
    /// None in the family `no-usage`.
    expected: Option<Value>,
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

fn entries(folder: &Path) -> Vec<(Entry, Value)> {
    let manifest = std::fs::read_to_string(folder.join("streams/manifest.jsonl")).unwrap();
    let mut found = Vec::new();
    for line in manifest.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let (family, id, target) = (text("family"), text("id"), text("target"));
        let format = match family.as_str() {
            "anthropic" => Format::Anthropic,
            "gemini" => Format::Gemini,
            "openai-chat" => Format::OpenaiChat,
            "openai-responses" => Format::OpenaiResponses,
            "no-usage" if target.contains("GenerateContent") => Format::Gemini,
            "no-usage" => Format::OpenaiChat,
            _ => continue,
        };
        let body = std::fs::read(folder.join(format!("streams/{family}/{id}.body"))).unwrap();
        let expected = entry.get("expected").filter(|expected| !expected.is_null()).cloned();
        let (content_type, encoding) = (text("content_type"), text("content_encoding"));
        found.push((Entry { family, id, format, content_type, encoding, body, expected }, entry));
    }
    found
}

fn meter(entry: &Entry, encoding: &str, body: &[u8], size: usize, end: End) -> Report {
    let head = ResponseHead {
        status: 200,
        content_type: Some(&entry.content_type).filter(|kind| !kind.is_empty()).map(String::as_str),
        content_encoding: Some(encoding),
        stated: None,
    };
    let mut meter = Meter::new(entry.format, &head);
    for chunk in body.chunks(if size == 0 { body.len().max(1) } else { size }) {
        meter.feed(chunk);
    }
    meter.finish(end)
}

/// Compares every number the manifest has.
fn difference(entry: &Entry, report: &Report) -> Option<String> {
    let Some(expected) = &entry.expected else {
        return report.exact.then(|| format!("exact without usage: {report:?}"));
    };
    let Some(usage) = report.usage.filter(|_| report.exact) else {
        return Some(format!("not exact: {report:?}"));
    };
    let pairs = [
        ("input", usage.input),
        ("output", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("reasoning", usage.reasoning),
        ("total", usage.total),
    ];
    let wrong: Vec<_> = pairs
        .iter()
        .filter(|(key, got)| expected.get(*key).and_then(Value::as_u64).is_some_and(|want| want != *got))
        .map(|(key, got)| format!("{key}: {got}, expected {}", expected[*key]))
        .collect();
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

#[test]
fn every_stream_is_metered_exactly_at_every_split() {
    let Some(folder) = corpus() else { return };
    let mut ran: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (entry, _) in entries(&folder) {
        let tally = ran.entry(entry.family.clone()).or_default();
        tally.1 += 1;
        let whole = meter(&entry, &entry.encoding, &entry.body, 0, End::Complete);
        let disputed = DISPUTED.iter().any(|(id, _)| *id == entry.id);
        match difference(&entry, &whole) {
            Some(difference) if !disputed => {
                wrong.push(format!("{}/{}: {difference}", entry.family, entry.id))
            }
            None | Some(_) => tally.0 += 1,
        }
        for size in SIZES {
            let report = meter(&entry, &entry.encoding, &entry.body, size, End::Complete);
            assert_eq!(report, whole, "{}/{} in chunks of {size}", entry.family, entry.id);
        }
    }
    for (family, (right, all)) in &ran {
        report!("{family}: {right} of {all} streams exact, each at {} chunk sizes", SIZES.len());
    }
    report!("disputed manifest entries: {}", DISPUTED.len());
    assert!(wrong.is_empty(), "{} streams differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_encoded_stream_is_metered_like_a_plain_one() {
    let Some(folder) = corpus() else { return };
    let mut ran = 0;
    for (entry, _) in entries(&folder).into_iter().filter(|(entry, _)| entry.encoding.is_empty()).step_by(12)
    {
        let plain = meter(&entry, "", &entry.body, 0, End::Complete);
        for encoding in ["gzip", "deflate", "br", "zstd"] {
            let body = encode(encoding, &entry.body);
            for size in [1, 1400, 0] {
                let report = meter(&entry, encoding, &body, size, End::Complete);
                assert_eq!(report, plain, "{}/{} in {encoding}, chunks of {size}", entry.family, entry.id);
            }
        }
        ran += 1;
    }
    report!("{ran} streams in 4 encodings at 3 chunk sizes equal the plain ones");
    assert!(ran > 50);
}

/// A stream that broke off is never exact unless its final numbers were in, and never reports more than the whole has
/// beyond what the text may be.
#[test]
fn a_cut_stream_is_exact_only_when_the_final_numbers_were_in() {
    let Some(folder) = corpus() else { return };
    let mut partial = 0;
    for (entry, _) in entries(&folder).into_iter().filter(|(entry, _)| entry.encoding.is_empty()) {
        let whole = meter(&entry, "", &entry.body, 0, End::Complete);
        for part in [4, 2, 3] {
            let cut = &entry.body[..entry.body.len() * (part - 1) / part];
            let report = meter(&entry, "", cut, 0, End::Interrupted);
            if report.exact {
                assert_eq!(report.usage, whole.usage, "{}/{} cut", entry.family, entry.id);
            }
            partial += usize::from(report.usage.is_some() && !report.exact);
        }
    }
    report!("{partial} cuts gave partial numbers");
}

#[test]
fn live_output_leans_high() {
    let Some(folder) = corpus() else { return };
    let mut by_family: BTreeMap<String, Vec<(f64, bool)>> = BTreeMap::new();
    for (entry, _) in entries(&folder) {
        let report = meter(&entry, &entry.encoding, &entry.body, 0, End::Interrupted);
        // Gemini states its count on every chunk.
        if entry.family == "gemini" {
            continue;
        }
        let Some(usage) = report.usage.filter(|usage| usage.output >= 50 && report.live_output > 0) else {
            continue;
        };
        // The count just before the provider states its own: without the last fifth of the body.
        let head = ResponseHead {
            status: 200,
            content_type: None,
            content_encoding: Some(&entry.encoding),
            ..ResponseHead::default()
        };
        let mut meter = Meter::new(entry.format, &head);
        let mut live = 0;
        for chunk in entry.body.chunks(64) {
            meter.feed(chunk);
            if meter.live_output() != usage.output {
                live = meter.live_output();
            }
        }
        by_family
            .entry(entry.family)
            .or_default()
            .push((live as f64 / usage.output as f64, usage.reasoning > 0));
    }
    for (family, ratios) in &mut by_family {
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        let at = |share: f64| ratios[((ratios.len() - 1) as f64 * share) as usize].0;
        let low =
            |reasoning| ratios.iter().filter(|(ratio, thinks)| *ratio < 0.9 && *thinks == reasoning).count();
        report!(
            "{family}: live / stated output of {} answers: p5 {:.2}, p50 {:.2}, p95 {:.2}; below 0.9: {} thinking, {} not",
            ratios.len(),
            at(0.05),
            at(0.5),
            at(0.95),
            low(true),
            low(false)
        );
    }
}

#[test]
fn recorded_requests_are_read_and_estimated_high() {
    let Some(folder) = corpus() else { return };
    let mut by_family: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    let mut flagged = BTreeMap::new();
    for (entry, line) in entries(&folder).into_iter().filter(|(_, line)| line["has_request"] == true) {
        let path = folder.join(format!("streams/{}/{}.request", entry.family, entry.id));
        let body = std::fs::read(path).unwrap();
        let target = line["target"].as_str().unwrap();
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        // Anthropic and others in the family of streams without usage are not chat requests.
        let read = request::read(&head(entry.format, path, query), &body);
        if entry.family == "no-usage" {
            continue;
        }
        let facts = read.unwrap_or_else(|error| panic!("{}/{}: {error}", entry.family, entry.id));
        assert!(facts.stream, "{}/{} is a stream", entry.family, entry.id);
        assert!(
            facts.model.is_some() || line["target"].as_str().unwrap().contains("threads"),
            "{}",
            entry.id
        );
        for tool in &facts.server_tools {
            *flagged.entry(tool.clone()).or_insert(0) += 1;
        }
        check_rewrite(&entry, &facts, &body);
        if !facts.server_tools.is_empty() || !facts.unseen_input.is_empty() {
            continue;
        }
        let expected = entry.expected.as_ref().unwrap();
        let count = |key: &str| expected[key].as_u64().unwrap_or(0) as f64;
        let cache =
            if entry.family == "anthropic" { count("cache_read") + count("cache_write") } else { 0.0 };
        let actual = count("input") + cache;
        if (facts.input_estimate as f64) < actual {
            report!(
                "  short: {}/{} {:?} {} of {actual}",
                entry.family,
                entry.id,
                facts.model,
                facts.input_estimate
            );
        }
        by_family.entry(entry.family).or_default().push((facts.input_estimate as f64, actual));
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
}

/// Lowering the cap and asking for usage must hold when read again, and change nothing else.
fn check_rewrite(entry: &Entry, facts: &RequestFacts, body: &[u8]) {
    let change = Rewrite { output_cap: facts.cap_supported.then_some(7), include_usage: true };
    let changed = request::rewrite(&head(entry.format, "/v1/x", None), facts, body, &change).unwrap();
    let again = request::read(&head(entry.format, "/v1/x:streamGenerateContent", None), &changed).unwrap();
    if facts.cap_supported {
        assert_eq!(again.output_cap, Some(facts.output_cap.map_or(7, |old| old.min(7))), "{}", entry.id);
    }
    if facts.include_usage_supported {
        assert_eq!(again.include_usage, Some(true), "{}", entry.id);
    }
    assert_eq!(rest_of(body), rest_of(&changed), "{}", entry.id);
}

/// A request without what a rewrite may change.
fn rest_of(body: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(body).unwrap();
    let root = value.as_object_mut().unwrap();
    for name in ["max_tokens", "max_completion_tokens", "max_output_tokens", "stream_options"] {
        root.shift_remove(name);
    }
    if let Some(config) = root.get_mut("generationConfig").and_then(Value::as_object_mut) {
        config.shift_remove("maxOutputTokens");
    }
    if root
        .get("generationConfig")
        .is_some_and(|config| config.as_object().is_none_or(|config| config.is_empty()))
    {
        root.shift_remove("generationConfig");
    }
    value
}

fn encode(encoding: &str, plain: &[u8]) -> Vec<u8> {
    let fast = flate2::Compression::fast();
    let mut out = Vec::new();
    match encoding {
        "gzip" => drop(flate2::read::GzEncoder::new(plain, fast).read_to_end(&mut out).unwrap()),
        "deflate" => drop(flate2::read::ZlibEncoder::new(plain, fast).read_to_end(&mut out).unwrap()),
        "br" => drop(brotli::CompressorReader::new(plain, 4096, 3, 20).read_to_end(&mut out).unwrap()),
        _ => out = zstd::encode_all(plain, 3).unwrap(),
    }
    out
}

/// `cargo test --release -p hudson-meter --test corpus -- --ignored --nocapture speed`
#[test]
#[ignore = "prints numbers, checks nothing"]
fn speed() {
    let Some(folder) = corpus() else { return };
    let entries: Vec<_> =
        entries(&folder).into_iter().filter(|(entry, _)| entry.encoding.is_empty()).collect();
    let bytes: usize = entries.iter().map(|(entry, _)| entry.body.len()).sum();
    for size in [1, 64, 1400, 16_384] {
        let begun = std::time::Instant::now();
        let rounds = if size == 1 { 2 } else { 10 };
        for _ in 0..rounds {
            for (entry, _) in &entries {
                std::hint::black_box(meter(entry, "", &entry.body, size, End::Complete));
            }
        }
        let rate = (bytes * rounds) as f64 / 1e6 / begun.elapsed().as_secs_f64();
        report!("{} streams, chunks of {size}: {rate:.0} MB/s", entries.len());
    }
    for megabytes in [1, 4, 16] {
        let event = format!(
            "data: {{\"type\":\"x\",\"response\":{{\"output\":[\"{}\"]}}}}\n\n",
            "A".repeat(megabytes << 20)
        );
        let head = ResponseHead {
            status: 200,
            content_type: None,
            content_encoding: None,
            ..ResponseHead::default()
        };
        let mut meter = Meter::new(Format::OpenaiResponses, &head);
        let begun = std::time::Instant::now();
        event.as_bytes().chunks(1400).for_each(|chunk| meter.feed(chunk));
        report!(
            "one event of {megabytes} MiB in chunks of 1400: {:.2} ms",
            begun.elapsed().as_secs_f64() * 1e3
        );
    }
    let mut requests = 0;
    let mut total = 0;
    let begun = std::time::Instant::now();
    let body = format!(
        r#"{{"model":"claude","max_tokens":5,"messages":[{}]}}"#,
        vec![r#"{"role":"user","content":[{"type":"text","text":"some words of a usual length, with \"quotes\" and \n"}]}"#; 500].join(",")
    );
    while requests < 500 {
        std::hint::black_box(
            request::read(&head(Format::Anthropic, "/v1/messages", None), body.as_bytes()).unwrap(),
        );
        requests += 1;
        total += body.len();
    }
    let seconds = begun.elapsed().as_secs_f64();
    report!(
        "request of {} KB read in {:.0} µs, {:.0} MB/s",
        body.len() / 1000,
        seconds * 1e6 / 500.0,
        total as f64 / 1e6 / seconds
    );
}
