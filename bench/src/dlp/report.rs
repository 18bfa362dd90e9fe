//! What the rounds came to, for people and for programs.

use super::bodies::Folder;
use super::program::Program;
use super::recall::{Rows, Tally};
use crate::host::Machine;
use crate::stats::Spread;
use crate::table;
use serde::Serialize;
use serde_json::{Value, json};

/// The figure that rates are compared with.
const REFERENCE: &str = "hudson-dlp, in this process";

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) enum Unit {
    /// Millions of bytes in a second of CPU time.
    #[serde(rename = "MB/s")]
    MegabytesPerSecond,
    /// Microseconds of CPU time.
    #[serde(rename = "µs")]
    Micros,
    /// Milliseconds of CPU time.
    #[serde(rename = "ms")]
    Millis,
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    machine: Machine,
    rounds: u32,
    bodies: usize,
    bytes: usize,
    rules: usize,
    versions: Vec<String>,
    rows: Vec<Row>,
    recall: Vec<Recall>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Row {
    figure: String,
    unit: Unit,
    values: Vec<f64>,
}

/// What somebody found of the rows.
#[derive(Debug)]
struct Recall {
    tally: Tally,
    /// Rows with a secret, and without.
    of: (usize, usize),
}

impl Report {
    /// Nothing yet.
    pub(super) fn new(rounds: u32, folder: &Folder, rules: usize) -> Self {
        Self {
            machine: Machine::read(),
            rounds,
            bodies: folder.bodies.len(),
            bytes: folder.bytes(),
            rules,
            versions: Vec::new(),
            rows: Vec::new(),
            recall: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a figure of one round.
    pub(super) fn add(&mut self, figure: &str, unit: Unit, value: f64) {
        match self.rows.iter_mut().find(|row| row.figure == figure) {
            Some(row) => row.values.push(value),
            None => self.rows.push(Row { figure: figure.to_owned(), unit, values: vec![value] }),
        }
    }

    /// Adds what has to be known.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Adds who is measured.
    pub(super) fn program(&mut self, program: &Program) {
        self.versions.push(format!("{}: {}", program.name(), program.version));
        match (program.is_slow(), program.is_quick()) {
            (true, _) => self.notes.push(format!("{} scans the first of the bodies.", program.name())),
            (_, true) => self.notes.push(format!("{} scans these bodies and more.", program.name())),
            _ => {}
        }
    }

    /// Adds what was found of the rows.
    pub(super) fn recall(&mut self, rows: &Rows, tallies: impl IntoIterator<Item = Tally>) {
        let of = rows.count();
        self.recall.extend(tallies.into_iter().map(|tally| Recall { tally, of }));
    }

    /// For programs.
    pub(crate) fn to_json(&self) -> Value {
        let row = |row: &Row| {
            json!({ "figure": row.figure, "unit": row.unit, "spread": Spread::of(&row.values),
                "of_hudson_dlp": self.ratio(row) })
        };
        let recall = |row: &Recall| {
            json!({ "who": row.tally.who, "found": row.tally.secrets, "of": row.of.0,
                "found_where_none_is": row.tally.others, "of_those": row.of.1 })
        };
        json!({
            "machine": self.machine,
            "rounds": self.rounds,
            "bodies": self.bodies,
            "bytes": self.bytes,
            "rules": self.rules,
            "versions": self.versions,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "recall": self.recall.iter().map(recall).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }

    /// For people.
    pub(crate) fn to_text(&self) -> String {
        let header = ["figure", "unit", "median (least–most)", "of hudson-dlp's"].map(str::to_owned);
        let mut figures = table::table(header.to_vec(), 2);
        for row in &self.rows {
            let spread = Spread::of(&row.values).map_or_else(table::dash, table::spread);
            let ratio = self.ratio(row).map_or_else(table::dash, table::number);
            figures.add_row([row.figure.as_str(), row.unit.symbol(), &spread, &ratio]);
        }
        let header = ["who", "secrets found", "found where none is"].map(str::to_owned);
        let mut recall = table::table(header.to_vec(), 1);
        for row in &self.recall {
            let [secrets, others] = [(row.tally.secrets, row.of.0), (row.tally.others, row.of.1)]
                .map(|(found, of)| format!("{found} of {of}"));
            recall.add_row([row.tally.who, &secrets, &others]);
        }
        let notes: String = self.versions.iter().chain(&self.notes).map(|note| format!("{note}\n")).collect();
        format!(
            "{}\n{} bodies of coding agents, {} bytes; hudson-dlp has {} rules and 20 known values. Medians of {} rounds of \
             CPU time on one core; of a program, beyond its start.\n{notes}\n{figures}\n\nRows of other scanners' tests \
             (a finding of any rule counts):\n\n{recall}\n",
            self.machine, self.bodies, self.bytes, self.rules, self.rounds
        )
    }

    /// How a rate compares with hudson-dlp's, median with median.
    fn ratio(&self, row: &Row) -> Option<f64> {
        let reference = self.rows.iter().find(|row| row.figure == REFERENCE)?;
        let compared = row.unit == Unit::MegabytesPerSecond && row.figure != REFERENCE;
        let of = |row: &Row| Some(Spread::of(&row.values)?.median);
        if compared { Some(of(row)? / of(reference)?) } else { None }
    }
}

impl Unit {
    fn symbol(self) -> &'static str {
        match self {
            Self::MegabytesPerSecond => "MB/s",
            Self::Micros => "µs",
            Self::Millis => "ms",
        }
    }
}
