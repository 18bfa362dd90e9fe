//! What the rounds came to, for people and for programs.

use super::bars;
use super::corpus::Corpus;
use crate::host::Machine;
use crate::stats::Spread;
use crate::table;
use serde::Serialize;
use serde_json::{Value, json};

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) enum Unit {
    /// Millions of bytes in a second.
    #[serde(rename = "MB/s")]
    MegabytesPerSecond,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanos,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Kibibytes.
    #[serde(rename = "KiB")]
    Kib,
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    machine: Machine,
    rounds: u32,
    streams: usize,
    bytes: usize,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    figure: String,
    unit: Unit,
    values: Vec<f64>,
}

impl Report {
    /// Nothing yet.
    pub(super) fn new(rounds: u32, corpus: &Corpus) -> Self {
        let bytes = corpus.streams.iter().map(|stream| stream.plain).sum();
        Self { machine: Machine::read(), rounds, streams: corpus.streams.len(), bytes, rows: Vec::new() }
    }

    /// Adds a figure of one round.
    pub(super) fn add(&mut self, figure: String, unit: Unit, value: f64) {
        match self.rows.iter_mut().find(|row| row.figure == figure) {
            Some(row) => row.values.push(value),
            None => self.rows.push(Row { figure, unit, values: vec![value] }),
        }
    }

    /// The middle of a figure's rounds.
    pub(super) fn median(&self, figure: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.figure == figure)?;
        Some(Spread::of(&row.values)?.median)
    }

    /// For programs.
    pub(crate) fn to_json(&self) -> Value {
        let row =
            |row: &Row| json!({ "figure": row.figure, "unit": row.unit, "spread": Spread::of(&row.values) });
        json!({
            "machine": self.machine,
            "rounds": self.rounds,
            "streams": self.streams,
            "bytes": self.bytes,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "bars": bars::outcomes(self),
        })
    }

    /// For people.
    pub(crate) fn to_text(&self) -> String {
        let mut figures =
            table::table(["figure", "unit", "median (least–most)"].map(str::to_owned).to_vec(), 2);
        for row in &self.rows {
            let spread = Spread::of(&row.values).map_or_else(table::dash, table::spread);
            figures.add_row([row.figure.as_str(), row.unit.symbol(), &spread]);
        }
        let header = ["metering's", "bar", "measured", "verdict"].map(str::to_owned);
        let mut verdicts = table::table(header.to_vec(), 2);
        for outcome in bars::outcomes(self) {
            let verdict = if outcome.met { "met" } else { "MISSED" };
            verdicts.add_row([&outcome.figure, &outcome.bar, &table::number(outcome.value), verdict]);
        }
        format!(
            "{}\n{} streams of server-sent events, {} bytes. Medians of {} rounds of this thread's CPU time.\n\n\
             {figures}\n\nWhat metering is held to, with a tenth for noise:\n\n{verdicts}\n",
            self.machine, self.streams, self.bytes, self.rounds
        )
    }
}

impl Unit {
    fn symbol(self) -> &'static str {
        match self {
            Self::MegabytesPerSecond => "MB/s",
            Self::Nanos => "ns",
            Self::Millis => "ms",
            Self::Kib => "KiB",
        }
    }
}
