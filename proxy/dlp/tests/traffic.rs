//! Benign traffic: nothing that a route acts on, few warnings. And what it costs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "every function here is part of a test")]

mod benign;
mod common;

use benign::Dice;
use common::{corpus, detectors, report};
use hudson_dlp::{Class, Detectors, Finding, KnownValue, Part, Scanner};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of benign traffic in all.
const BYTES: usize = if cfg!(debug_assertions) { 4 << 20 } else { 100 << 20 };
/// Warnings that a megabyte may have.
const WARNINGS: f64 = 10.0;

/// Rounds of which the best counts.
const ROUNDS: usize = if cfg!(debug_assertions) { 1 } else { 5 };

/// The time that this thread has had on the processor, so that what else the machine does adds little.
fn spent() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// Twenty values as an operator has them.
fn known() -> Vec<KnownValue> {
    let mut dice = Dice::new(99);
    (0..20)
        .map(|number| {
            let value = format!("tok{number}_{}", dice.base64_url(24 + number % 9));
            KnownValue::secret(format!("VALUE_{number}"), SecretString::from(value))
        })
        .collect()
}

fn scan(detectors: &Arc<Detectors>, body: &[u8]) -> Vec<Finding> {
    let mut scanner = Scanner::new(Arc::clone(detectors), Part::Body, "api.example.com");
    let mut found = scanner.feed(body);
    found.extend(scanner.finish());
    found
}

#[test]
fn benign_traffic_is_let_through() {
    let detectors = detectors(known(), false);
    let mut acting = Vec::new();
    let (mut all_warnings, mut all_bytes) = (0, 0);
    for (seed, kind) in benign::KINDS.iter().enumerate() {
        let (mut warnings, mut bytes) = (0u32, 0usize);
        let mut rules: BTreeMap<String, u32> = BTreeMap::new();
        for body in benign::bodies(kind, BYTES / benign::KINDS.len(), seed as u64 + 1) {
            bytes += body.len();
            for finding in scan(&detectors, &body) {
                let text = String::from_utf8_lossy(&body[finding.start..finding.end.min(finding.start + 80)])
                    .into_owned();
                match finding.class {
                    Class::Note => {}
                    Class::Warn => {
                        warnings += 1;
                        *rules.entry(finding.rule.to_string()).or_default() += 1;
                        if std::env::var_os("HUDSON_DLP_ROWS").is_some() {
                            report!("warn {kind} {} {text:?}", finding.rule);
                        }
                    }
                    _ => acting.push(format!("{kind}: {} {text:?} {:?}", finding.rule, finding.encodings)),
                }
            }
        }
        let megabytes = bytes as f64 / 1e6;
        report!("{kind}: {megabytes:.1} MB, {:.2} warnings a MB {rules:?}", f64::from(warnings) / megabytes);
        all_warnings += warnings;
        all_bytes += bytes;
    }
    let rate = f64::from(all_warnings) / (all_bytes as f64 / 1e6);
    report!(
        "benign traffic: {:.1} MB, {} findings that act, {rate:.2} warnings a MB",
        all_bytes as f64 / 1e6,
        acting.len()
    );
    assert!(acting.is_empty(), "{acting:#?}");
    assert!(rate <= WARNINGS, "{rate}");
}

#[test]
fn recorded_requests_are_let_through() {
    let Some(folder) = corpus() else { return };
    let detectors = detectors(known(), false);
    let (mut files, mut bytes, mut warnings) = (0, 0, 0);
    let mut acting = Vec::new();
    for family in std::fs::read_dir(folder.join("streams")).unwrap().map(|entry| entry.unwrap().path()) {
        for file in std::fs::read_dir(&family).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if file.extension().is_none_or(|extension| extension != "request") {
                continue;
            }
            let body = std::fs::read(&file).unwrap();
            files += 1;
            bytes += body.len();
            for finding in scan(&detectors, &body) {
                match finding.class {
                    Class::Note => {}
                    Class::Warn => warnings += 1,
                    _ => acting.push(format!("{}: {} {}", file.display(), finding.rule, finding.preview)),
                }
            }
        }
    }
    report!(
        "recorded requests: {files} bodies, {bytes} bytes, {warnings} warnings, {} that act",
        acting.len()
    );
    assert!(files > 0 && acting.is_empty(), "{acting:#?}");
}

/// The figures of issue F; asserted in release alone, where they mean something.
#[test]
fn scanning_costs_little() {
    let detectors = detectors(known(), false);
    report!("{} rules", detectors.rules());
    for (seed, kind) in benign::KINDS.iter().enumerate() {
        let bodies = benign::bodies(kind, BYTES / 16, seed as u64 + 40);
        let bytes: usize = bodies.iter().map(Vec::len).sum();
        let best = (0..ROUNDS)
            .map(|_| {
                let start = spent();
                for body in &bodies {
                    std::hint::black_box(scan(&detectors, body));
                }
                spent() - start
            })
            .min()
            .unwrap_or(Duration::MAX);
        let rate = bytes as f64 / 1e6 / best.as_secs_f64();
        report!("{kind}: {rate:.0} MB/s on one core");
        if *kind == "llm_bodies" && !cfg!(debug_assertions) {
            assert!(rate >= 100.0, "{rate}");
        }
    }
    let body = benign::bodies("llm_bodies", 1 << 20, 77).concat();
    let mut times: Vec<Duration> = (0..if cfg!(debug_assertions) { 50 } else { 1000 })
        .map(|round| {
            let at = round * 911 % (body.len() - (64 << 10));
            let start = spent();
            std::hint::black_box(scan(&detectors, &body[at..at + (64 << 10)]));
            spent() - start
        })
        .collect();
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    report!("64 KiB: p50 {:?}, p99 {p99:?}", times[times.len() / 2]);
    if !cfg!(debug_assertions) {
        assert!(p99 <= Duration::from_millis(1), "{p99:?}");
    }
}
