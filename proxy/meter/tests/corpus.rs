//! Every recorded response of the corpus, metered at several chunk sizes and encodings, must give the provider's own
//! numbers. The corpus is read from `$HUDSON_CORPUS`, else from `../shared/corpus` beside the workspace.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "every function here is part of a test"
)]

use base64::Engine;
use hudson_meter::{End, Meter, Report, ResponseHead, decode_body};
use hudson_schema::Format;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

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

#[derive(Clone)]
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
            "no-usage" if target.contains("GenerateContent") => Format::Gemini,
            // Agents answer in the same `chunk` frames as models do.
            "no-usage" if text("framing") == "eventstream" => Format::BedrockInvoke,
            "no-usage" => Format::OpenaiChat,
            // The others are called as their format is.
            family => family.parse().unwrap(),
        };
        let mut body = std::fs::read(folder.join(format!("streams/{family}/{id}.body"))).unwrap();
        if text("framing") == "eventstream" && body.starts_with(b"AAAA") {
            // Some recorders keep a binary body as base64. A frame cannot begin like that: its length would be 1 GiB.
            body = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
        }
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
    let billed = report.billed.unwrap_or(usage);
    let pairs = [
        ("input", usage.input),
        ("output", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("reasoning", usage.reasoning),
        ("total", usage.total),
        ("provider_total", usage.total),
        ("sum", usage.total),
        ("tool_use_prompt", usage.total.saturating_sub(usage.input + usage.output)),
        ("billed_input", billed.input),
        ("billed_output", billed.output),
    ];
    let wrong: Vec<_> = pairs
        .iter()
        .filter(|(key, got)| expected.get(*key).and_then(Value::as_u64).is_some_and(|want| want != *got))
        .map(|(key, got)| format!("{key}: {got}, expected {}", expected[*key]))
        .collect();
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

/// What is wrong with the reports of one stream.
fn faults(entry: &Entry) -> Vec<String> {
    let whole = meter(entry, &entry.encoding, &entry.body, 0, End::Complete);
    let disputed = DISPUTED.iter().any(|(id, _)| *id == entry.id);
    let mut faults: Vec<_> = difference(entry, &whole).into_iter().filter(|_| !disputed).collect();
    let plain = decode_body(&entry.encoding, &entry.body, usize::MAX).unwrap();
    for encoding in ["", "gzip", "deflate", "br", "zstd"] {
        let body = encode(encoding, &plain);
        for size in SIZES {
            let report = meter(entry, encoding, &body, size, End::Complete);
            if report != whole {
                faults.push(format!("{encoding} in chunks of {size}: {report:?}"));
            }
        }
    }
    if entry.expected.is_none() {
        // No other format reads something into them either.
        for format in Format::ALL {
            if meter(&Entry { format, ..entry.clone() }, "", &plain, 0, End::Complete).exact {
                faults.push(format!("exact as {format} without usage"));
            }
        }
    }
    faults
}

#[test]
fn every_stream_is_metered_exactly_at_every_split_in_every_encoding() {
    let Some(folder) = corpus() else { return };
    let entries: Vec<_> = entries(&folder).into_iter().map(|(entry, _)| entry).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.push((entry, faults(entry)));
        }
        found
    };
    let found: Vec<_> = std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let mut ran: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (entry, faults) in &found {
        let tally = ran.entry(&entry.family).or_default();
        tally.0 += usize::from(faults.is_empty());
        tally.1 += 1;
        wrong.extend(faults.iter().map(|fault| format!("{}/{}: {fault}", entry.family, entry.id)));
    }
    for (family, (right, all)) in &ran {
        report!(
            "{family}: {right} of {all} streams right, each at {} chunk sizes in 5 encodings",
            SIZES.len()
        );
    }
    report!("disputed manifest entries: {}", DISPUTED.len());
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(found.len(), 1_189, "the manifest is read to its end");
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

fn encode(encoding: &str, plain: &[u8]) -> Vec<u8> {
    let fast = flate2::Compression::fast();
    let mut out = Vec::new();
    match encoding {
        "" => out.extend_from_slice(plain),
        "gzip" => drop(flate2::read::GzEncoder::new(plain, fast).read_to_end(&mut out).unwrap()),
        "deflate" => drop(flate2::read::ZlibEncoder::new(plain, fast).read_to_end(&mut out).unwrap()),
        "br" => drop(brotli::CompressorReader::new(plain, 4096, 3, 20).read_to_end(&mut out).unwrap()),
        _ => out = zstd::encode_all(plain, 3).unwrap(),
    }
    out
}
