//! What metering is held to.

use super::{CHUNKS, Report};
use serde::Serialize;

/// The share that noise may add or take.
const NOISE: f64 = 0.1;
/// Megabytes of server-sent events in a second, framed and metered.
const RATE: f64 = 1000.0;
/// How many times more an event may take that is 16 times as large.
const LINEAR: f64 = 16.0;
/// How much more memory any event may take, in KiB. The kernel counts resident pages in batches.
const MEMORY: f64 = 256.0;

/// How one bar came out.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) figure: String,
    /// What is asked of it.
    pub(super) bar: String,
    pub(super) value: f64,
    /// Is it within the bar, with what noise may add?
    pub(super) met: bool,
}

/// The figure of the whole corpus.
pub(super) fn all(size: usize) -> String {
    format!("all streams, chunks of {size}")
}

/// The figure of one large event's time.
pub(super) fn event(mib: usize) -> String {
    format!("one event of {mib} MiB")
}

/// The figure of the memory it takes.
pub(super) fn memory(mib: usize) -> String {
    format!("one event of {mib} MiB, added memory")
}

/// All bars, in the order of their figures.
pub(super) fn outcomes(report: &Report) -> Vec<Outcome> {
    let rates = CHUNKS.into_iter().filter_map(|size| {
        let value = report.median(&all(size))?;
        let met = value >= RATE * (1.0 - NOISE);
        Some(Outcome { figure: all(size), bar: format!("≥ {RATE} MB/s"), value, met })
    });
    let linear = report.median(&event(1)).zip(report.median(&event(16))).map(|(one, sixteen)| {
        let value = sixteen / one;
        let met = value <= LINEAR * (1.0 + NOISE);
        Outcome { figure: event(16), bar: format!("≤ {LINEAR} × that of 1 MiB"), value, met }
    });
    let memory = report.median(&memory(16)).map(|value| {
        let met = value <= MEMORY * (1.0 + NOISE);
        Outcome { figure: memory(16), bar: format!("≤ {MEMORY} KiB"), value, met }
    });
    rates.chain(linear).chain(memory).collect()
}
