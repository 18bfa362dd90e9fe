//! `hudson dlp bench`: how fast bodies are looked at with the rules and values of this home.

use super::{Context, NOWHERE, Scene, bodies};
use crate::command::output::{self, field, grouped};
use crate::exit::{self, Exit};
use anyhow::Result;
use hudson_dlp::{Detectors, Part, Scanner};
use serde::Serialize;
use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a body by which single requests are measured.
const SINGLE: usize = 64 << 10;
/// How many of them are.
const SINGLES: usize = 200;
/// Made-up bodies: how many, and how large.
const MADE: (u64, usize) = (4, 1 << 20);
/// Bytes of all files together.
const MOST: u64 = 1 << 30;
/// Bytes that are handed over at a time, as from a connection.
const CHUNK: usize = 16 << 10;

/// Measures.
pub(super) fn execute(context: &Context, files: &[PathBuf], rounds: u16) -> Result<u8> {
    let setup = Scene::of(context)?.loaded.setup;
    let bodies: Vec<Vec<u8>> = match files.is_empty() {
        true => (0..MADE.0).map(|seed| bodies::request(MADE.1, seed)).collect(),
        false => read(files)?,
    };
    let known = setup.policy.known.len();
    let begun = Instant::now();
    let detectors = Arc::new(Detectors::new(setup.policy)?);
    let compile = begun.elapsed();
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    // The first look fills caches.
    let mut findings = 0;
    for body in &bodies {
        findings += scan(&detectors, body);
    }
    let mut speeds = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        for body in &bodies {
            black_box(scan(&detectors, body));
        }
        speeds.push(speed(bytes, begun.elapsed()));
    }
    let single = bodies::request(SINGLE, 64);
    let mut times: Vec<u64> = (0..SINGLES)
        .map(|_| {
            let begun = Instant::now();
            black_box(scan(&detectors, &single));
            u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
        })
        .collect();
    times.sort_unstable();
    speeds.sort_by(f64::total_cmp);
    let measured = Measured {
        rules: detectors.rules(),
        known_values: known.saturating_sub(detectors.unused().len()),
        compile_ms: u64::try_from(compile.as_millis()).unwrap_or(u64::MAX),
        scanner_memory: Scanner::MEMORY,
        bodies: bodies.len(),
        bytes,
        findings,
        rounds,
        mb_per_s: Spread {
            median: at(&speeds, 50).unwrap_or_default(),
            least: at(&speeds, 0).unwrap_or_default(),
            most: at(&speeds, 100).unwrap_or_default(),
        },
        body_64k_us: Times {
            p50: at(&times, 50).unwrap_or_default(),
            p99: at(&times, 99).unwrap_or_default(),
        },
    };
    match context.json {
        true => output::json(&measured)?,
        false => output::text(&measured.text(files.is_empty()))?,
    }
    Ok(exit::OK)
}

/// The value behind so many percent of sorted ones.
fn at<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last * percent).div_ceil(100)).copied()
}

/// Megabytes a second.
fn speed(bytes: usize, time: Duration) -> f64 {
    let speed = bytes as f64 / time.as_secs_f64().max(f64::EPSILON) / 1e6;
    (speed * 10.0).round() / 10.0
}

fn scan(detectors: &Arc<Detectors>, body: &[u8]) -> usize {
    let mut scanner = Scanner::new(Arc::clone(detectors), Part::Body, NOWHERE);
    let found: usize = body.chunks(CHUNK).map(|chunk| scanner.feed(chunk).len()).sum();
    found + scanner.finish().len()
}

fn read(files: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
    let mut left = MOST;
    let mut bodies = Vec::new();
    for path in files {
        let mut body = Vec::new();
        let read = File::open(path).and_then(|file| file.take(left.saturating_add(1)).read_to_end(&mut body));
        read.map_err(|error| wrong(path, &format!("cannot be read: {error}")))?;
        left = left
            .checked_sub(body.len() as u64)
            .ok_or_else(|| wrong(path, "the files have more than 1 GiB together; measure with fewer"))?;
        bodies.push(body);
    }
    if bodies.iter().all(Vec::is_empty) {
        return Err(Exit::usage("the files are empty: there is nothing to measure").into());
    }
    Ok(bodies)
}

fn wrong(path: &Path, what: &str) -> Exit {
    Exit::usage(format!("{}: {what}", path.display()))
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    rules: usize,
    known_values: usize,
    compile_ms: u64,
    /// The most that the scanner of one body holds, in bytes.
    scanner_memory: usize,
    bodies: usize,
    bytes: usize,
    findings: usize,
    rounds: u16,
    mb_per_s: Spread,
    body_64k_us: Times,
}

#[derive(Debug, Serialize)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

#[derive(Debug, Serialize)]
struct Times {
    p50: u64,
    p99: u64,
}

impl Measured {
    fn text(&self, made: bool) -> String {
        let made = if made { ", made up" } else { "" };
        let number = |number: usize| grouped(number as u64);
        let speed = &self.mb_per_s;
        let lines = [
            ("rules", format!("{}, known values {}", self.rules, self.known_values)),
            ("compiled", format!("in {} ms", self.compile_ms)),
            (
                "bodies",
                format!("{}{made}, {} bytes, {} findings", self.bodies, number(self.bytes), self.findings),
            ),
            (
                "speed",
                format!(
                    "{} MB/s, the median of {} rounds ({} to {})",
                    speed.median, self.rounds, speed.least, speed.most
                ),
            ),
            ("64 KiB body", format!("p50 {} µs, p99 {} µs", self.body_64k_us.p50, self.body_64k_us.p99)),
            ("memory", format!("at most {} bytes a body", number(self.scanner_memory))),
        ];
        lines.iter().map(|(label, text)| field(&format!("{label:<13}"), text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<u64> = (1..=200).collect();
        assert_eq!((at(&sorted, 0), at(&sorted, 50), at(&sorted, 100)), (Some(1), Some(101), Some(200)));
        assert_eq!(at(&sorted, 99), Some(199));
        assert_eq!(at::<u64>(&[], 50), None);
        assert_eq!(speed(20_000_000, Duration::from_secs(2)), 10.0);
    }
}
