//! What the rounds came to, row by row.

use crate::case::{Case, Sample, Unit};
use crate::host::Machine;
use crate::stats::Spread;
use serde::Serialize;
use serde_json::{Value, json};

/// The peer that the others are compared with.
const REFERENCE: &str = "direct";

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) peers: Vec<&'static str>,
    pub(crate) rows: Vec<Row>,
}

/// One figure of one case.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: Case,
    pub(crate) figure: &'static str,
    pub(crate) unit: Unit,
    rounds: Vec<(&'static str, Vec<f64>)>,
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
    pub(crate) fn new(machine: Machine, rounds: u32, peers: Vec<&'static str>) -> Self {
        Self { machine, rounds, peers, rows: Vec::new() }
    }

    /// Adds one round of one peer.
    pub(crate) fn add(&mut self, case: Case, peer: &'static str, samples: &[Sample]) {
        for sample in samples {
            let same = |row: &&mut Row| row.case == case && row.figure == sample.figure;
            match self.rows.iter_mut().find(same) {
                Some(row) => row.add(peer, sample.value),
                None => self.rows.push(Row {
                    case,
                    figure: sample.figure,
                    unit: sample.unit,
                    rounds: vec![(peer, vec![sample.value])],
                }),
            }
        }
    }

    /// The same for programs.
    pub(crate) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let peers = self.peers.iter().filter_map(|peer| {
                let told = json!({ "spread": row.spread(peer)?, "against_direct": row.comparison(peer) });
                Some(((*peer).to_owned(), told))
            });
            let peers: serde_json::Map<String, Value> = peers.collect();
            json!({ "case": row.case, "figure": row.figure, "unit": row.unit, "peers": peers })
        });
        let rows: Vec<Value> = rows.collect();
        json!({ "machine": self.machine, "rounds": self.rounds, "rows": rows })
    }
}

impl Row {
    fn add(&mut self, peer: &'static str, value: f64) {
        match self.rounds.iter_mut().find(|(name, _)| *name == peer) {
            Some((_, values)) => values.push(value),
            None => self.rounds.push((peer, vec![value])),
        }
    }

    /// Over all rounds of one peer, where it has this figure.
    pub(crate) fn spread(&self, peer: &str) -> Option<Spread> {
        let (_, values) = self.rounds.iter().find(|(name, _)| *name == peer)?;
        Spread::of(values)
    }

    /// A peer beside the reference, where both have this figure.
    pub(crate) fn comparison(&self, peer: &str) -> Option<Comparison> {
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
    fn medians_are_compared_where_both_have_one() {
        let mut report = Report::new(Machine::read(), 3, vec!["direct", "hudson"]);
        for (direct, hudson) in [(10.0, 30.0), (20.0, 50.0), (90.0, 40.0)] {
            let sample = |figure, value| Sample { figure, unit: Unit::Micros, value };
            report.add(Case::Metered, "direct", &[sample("p50", direct)]);
            report.add(Case::Metered, "hudson", &[sample("p50", hudson), sample("CPU", 1.0)]);
        }
        let [p50, cpu] = report.rows.as_slice() else { panic!("{:?}", report.rows) };
        assert_eq!(p50.comparison("hudson"), Some(Comparison { added: 20.0, ratio: 2.0 }));
        assert_eq!(p50.spread("direct"), Some(Spread { median: 20.0, min: 10.0, max: 90.0 }));
        assert_eq!((cpu.comparison("hudson"), cpu.spread("direct")), (None, None));
    }
}
