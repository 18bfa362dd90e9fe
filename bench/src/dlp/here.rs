//! hudson-dlp in this process: all rules that a proxy has by default, and the known values.

use super::bodies::known_values;
use crate::clock::thread_cpu;
use crate::stats;
use anyhow::{Context as _, Result};
use hudson_dlp::{Detectors, Finding, HashKey, KnownValue, Part, Policy, Scanner, Transport};
use std::hint::black_box;
use std::sync::Arc;

/// Where the bodies go.
const HOST: &str = "api.example.com";
/// Bytes that are handed over at a time, as from a connection.
const CHUNK: usize = 16 << 10;

/// The detectors.
pub(super) struct Here(Arc<Detectors>);

impl Here {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(detectors(known_values(), false)?))
    }

    /// How many rules there are.
    pub(super) fn rules(&self) -> usize {
        self.0.rules()
    }

    /// Megabytes of bodies in a second.
    pub(super) fn rate(&self, bodies: &[Vec<u8>]) -> f64 {
        let started = thread_cpu();
        bodies.iter().for_each(|body| drop(black_box(self.scan(body))));
        let bytes: usize = bodies.iter().map(Vec::len).sum();
        bytes as f64 * 1e3 / (thread_cpu() - started)
    }

    /// Megabytes in a second of what gzip bodies have in them.
    pub(super) fn packed_rate(&self, bodies: &[Vec<u8>]) -> Result<f64> {
        let (mut bytes, started) = (0, thread_cpu());
        for body in bodies {
            let mut transport = Transport::new("gzip").context("gzip is known")?;
            let mut scanner = self.scanner();
            let mut take = |clear: &[u8]| {
                bytes += clear.len();
                black_box(scanner.feed(clear));
            };
            for chunk in body.chunks(CHUNK) {
                transport.feed(chunk, &mut take).context("undoing gzip")?;
            }
            transport.finish(take).context("undoing gzip")?;
            black_box(scanner.finish());
        }
        Ok(bytes as f64 * 1e3 / (thread_cpu() - started))
    }

    /// Microseconds of one body, p50 and p99.
    pub(super) fn percentiles(&self, bodies: &[Vec<u8>]) -> Result<(f64, f64)> {
        let micros = |body: &Vec<u8>| {
            let started = thread_cpu();
            black_box(self.scan(body));
            (thread_cpu() - started) / 1e3
        };
        let times: Vec<f64> = bodies.iter().map(micros).collect();
        stats::p50_p99(&times).context("nothing was measured")
    }

    fn scan(&self, body: &[u8]) -> Vec<Finding> {
        let mut scanner = self.scanner();
        let mut found: Vec<Finding> = body.chunks(CHUNK).flat_map(|chunk| scanner.feed(chunk)).collect();
        found.extend(scanner.finish());
        found
    }

    fn scanner(&self) -> Scanner {
        Scanner::new(self.0.clone(), Part::Body, HOST)
    }
}

/// The rules that come with Hudson and these values.
pub(super) fn detectors(known: Vec<KnownValue>, strict_examples: bool) -> Result<Arc<Detectors>> {
    let mut policy = Policy::builtin(HashKey::new([7; 32]))?;
    policy.known = known;
    policy.strict_examples = strict_examples;
    Ok(Arc::new(Detectors::new(policy)?))
}
