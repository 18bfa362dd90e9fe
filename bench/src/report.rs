//! What the rounds came to, row by row.

use crate::bars;
use crate::case::{Case, Sample, Unit};
use crate::cpus::Pinned;
use crate::host::Machine;
use crate::peer::Kind;
use crate::stats::Spread;
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// The peer that the others are compared with.
const REFERENCE: Kind = Kind::Direct;

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) pinned: Option<Pinned>,
    pub(crate) rounds: u32,
    pub(crate) peers: Vec<Kind>,
    pub(crate) rows: Vec<Row>,
    /// What has to be known when the figures are read: peers that are missing, cases that did not fit.
    pub(crate) notes: Vec<String>,
}

/// One figure of one case.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: Case,
    pub(crate) figure: Cow<'static, str>,
    pub(crate) unit: Unit,
    rounds: Vec<(Kind, Vec<f64>)>,
}

/// How a peer compares with no proxy, median with median.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Comparison {
    /// The peer's less the reference's.
    pub(crate) added: f64,
    /// The peer's by the reference's.
    pub(crate) ratio: f64,
}

impl Report {
    /// Nothing yet.
    pub(crate) fn new(machine: Machine, pinned: Option<Pinned>, rounds: u32) -> Self {
        Self { machine, pinned, rounds, peers: Vec::new(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds one round of one peer.
    pub(crate) fn add(&mut self, case: Case, peer: Kind, samples: Vec<Sample>) {
        // A figure that no peer had before comes behind the one that it comes behind here.
        let mut behind = self.rows.iter().position(|row| row.case == case).unwrap_or(self.rows.len());
        for Sample { figure, unit, value } in samples {
            let same = |row: &Row| row.case == case && row.figure == figure;
            match self.rows.iter_mut().enumerate().find(|(_, row)| same(row)) {
                Some((index, row)) => {
                    row.add(peer, value);
                    behind = index + 1;
                }
                None => {
                    self.rows.insert(behind, Row { case, figure, unit, rounds: vec![(peer, vec![value])] });
                    behind += 1;
                }
            }
        }
    }

    /// Adds what has to be known, once.
    pub(crate) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The same for programs.
    pub(crate) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let peers = self.peers.iter().filter_map(|peer| {
                let told = json!({ "spread": row.spread(*peer)?, "against_direct": row.comparison(*peer) });
                Some((peer.name().to_owned(), told))
            });
            let peers: serde_json::Map<String, Value> = peers.collect();
            json!({ "case": row.case, "figure": row.figure, "unit": row.unit, "peers": peers })
        });
        let rows: Vec<Value> = rows.collect();
        json!({
            "machine": self.machine,
            "pinned": self.pinned,
            "rounds": self.rounds,
            "rows": rows,
            "bars": bars::outcomes(self),
            "notes": self.notes,
        })
    }
}

impl Row {
    fn add(&mut self, peer: Kind, value: f64) {
        match self.rounds.iter_mut().find(|(kind, _)| *kind == peer) {
            Some((_, values)) => values.push(value),
            None => self.rounds.push((peer, vec![value])),
        }
    }

    /// Over all rounds of one peer, where it has this figure.
    pub(crate) fn spread(&self, peer: Kind) -> Option<Spread> {
        let (_, values) = self.rounds.iter().find(|(kind, _)| *kind == peer)?;
        Spread::of(values)
    }

    /// A peer beside the reference, where both have this figure.
    pub(crate) fn comparison(&self, peer: Kind) -> Option<Comparison> {
        if peer == REFERENCE {
            return None;
        }
        let (peer, reference) = (self.spread(peer)?.median, self.spread(REFERENCE)?.median);
        Some(Comparison { added: peer - reference, ratio: peer / reference })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_only_some_peers_have_stands_where_they_have_it() {
        let mut report = Report::new(Machine::read(), None, 1);
        let samples = |figures: &[&'static str]| -> Vec<Sample> {
            let sample =
                |figure: &&'static str| Sample { figure: (*figure).into(), unit: Unit::Millis, value: 1.0 };
            figures.iter().map(sample).collect()
        };
        report.add(Case::Post, Kind::Direct, samples(&["p50", "p99"]));
        report.add(Case::Bulk, Kind::Direct, samples(&["down"]));
        report.add(Case::Bulk, Kind::Relay, samples(&["CPU", "down"]));
        report.add(Case::Post, Kind::Relay, samples(&["p50", "CPU", "p99"]));
        let rows = report.rows.iter().map(|row| (row.case, &*row.figure));
        let post = ["p50", "CPU", "p99"].map(|figure| (Case::Post, figure));
        let bulk = ["CPU", "down"].map(|figure| (Case::Bulk, figure));
        assert!(rows.eq(post.into_iter().chain(bulk)));
    }

    #[test]
    fn medians_are_compared_where_both_have_one() {
        let mut report = Report::new(Machine::read(), None, 3);
        for (direct, hudson) in [(10.0, 30.0), (20.0, 50.0), (90.0, 40.0)] {
            let sample = |figure, value| Sample { figure: Cow::Borrowed(figure), unit: Unit::Micros, value };
            report.add(Case::Metered, Kind::Direct, vec![sample("p50", direct)]);
            report.add(Case::Metered, Kind::Hudson, vec![sample("p50", hudson), sample("CPU", 1.0)]);
        }
        let [p50, cpu] = report.rows.as_slice() else { panic!("{:?}", report.rows) };
        assert_eq!(p50.comparison(Kind::Hudson), Some(Comparison { added: 20.0, ratio: 2.0 }));
        assert_eq!(p50.spread(Kind::Direct), Some(Spread { median: 20.0, min: 10.0, max: 90.0 }));
        assert_eq!((cpu.comparison(Kind::Hudson), cpu.spread(Kind::Direct)), (None, None));
    }
}
