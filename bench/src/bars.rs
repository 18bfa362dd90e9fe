//! The bars that Hudson is held to, each a comparison of two medians of the same run.

use crate::case::Case;
use crate::peer::Kind;
use crate::report::Report;
use serde::Serialize;
use std::fmt;

/// The share that noise may add or take.
const NOISE: f64 = 0.1;

/// A promise about one figure of Hudson's.
struct Bar {
    case: Case,
    figure: &'static str,
    limit: Limit,
}

/// What the figure may be.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// At most so many times the peer's.
    AtMost(f64, Kind),
    /// At least so many times the peer's.
    AtLeast(f64, Kind),
    /// So many times less than the peer's.
    TimesLess(f64, Kind),
    /// At most so many microseconds more than the peer's.
    MicrosMore(f64, Kind),
    /// At most so many microseconds more than another of its own figures.
    MicrosMoreThan(f64, &'static str),
    /// At most so many kibibytes.
    Kib(f64),
}

/// How one bar came out.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// Where the figure stands in the table.
    pub(crate) case: Case,
    /// Its name there.
    pub(crate) figure: &'static str,
    /// What is asked of it.
    pub(crate) bar: String,
    /// The ratio, the difference or the figure that is compared.
    pub(crate) value: Option<f64>,
    /// Is it within the bar, with what noise may add?
    pub(crate) met: Option<bool>,
    /// Who has no such figure in this run, where there is no verdict for that reason.
    pub(crate) missing: Option<Kind>,
}

const BARS: [Bar; 18] = [
    Bar::new(Case::Keepalive, "GET c=32 CPU per 1,000", Limit::AtMost(1.0, Kind::Hudsucker)),
    Bar::new(Case::Keepalive, "GET c=32 CPU per 1,000", Limit::AtMost(1.5, Kind::Relay)),
    Bar::new(Case::Keepalive, "GET c=32 CPU per 1,000", Limit::TimesLess(25.0, Kind::Mitmdump)),
    Bar::new(Case::Http2, "GET c=32 CPU per 1,000", Limit::AtMost(1.0, Kind::Hudsucker)),
    Bar::new(Case::Http2, "GET c=32 CPU per 1,000", Limit::AtMost(1.5, Kind::Relay)),
    Bar::new(Case::Metered, "budgeted POST p50", Limit::MicrosMoreThan(100.0, "unbudgeted POST p50")),
    Bar::new(Case::Metered, "budgeted POST p99", Limit::MicrosMoreThan(1000.0, "unbudgeted POST p99")),
    Bar::new(Case::Tunnels, "c=1", Limit::AtLeast(1.0, Kind::Hudsucker)),
    Bar::new(Case::Tunnels, "c=16", Limit::AtLeast(1.0, Kind::Hudsucker)),
    Bar::new(Case::Paced, "event delay p99", Limit::MicrosMore(400.0, Kind::Direct)),
    Bar::new(Case::Metering, "event delay p99", Limit::MicrosMoreThan(200.0, "unmetered event delay p99")),
    Bar::new(Case::Metering, "first byte p99", Limit::MicrosMoreThan(200.0, "unmetered first byte p99")),
    Bar::new(Case::Burst, "200 events p50", Limit::AtMost(1.2, Kind::Hudsucker)),
    Bar::new(Case::Burst, "200 metered events p50", Limit::AtMost(1.2, Kind::Hudsucker)),
    Bar::new(Case::Bulk, "10 MiB down CPU", Limit::AtMost(1.3, Kind::Relay)),
    Bar::new(Case::Rss, "each of 1000 idle tunnels", Limit::AtMost(1.0, Kind::Hudsucker)),
    Bar::new(Case::Rss, "each of 9000 idle tunnels", Limit::AtMost(1.0, Kind::Hudsucker)),
    Bar::new(Case::Rss, "each of 9000 idle tunnels", Limit::Kib(32.0)),
];

/// The bars of the cases that were run, in their order.
pub(crate) fn outcomes(report: &Report) -> Vec<Outcome> {
    let ran = |bar: &&Bar| report.rows.iter().any(|row| row.case == bar.case);
    BARS.iter().filter(ran).map(|bar| bar.outcome(report)).collect()
}

impl Bar {
    const fn new(case: Case, figure: &'static str, limit: Limit) -> Self {
        Self { case, figure, limit }
    }

    fn outcome(&self, report: &Report) -> Outcome {
        let row = |figure: &str| report.rows.iter().find(|row| row.case == self.case && row.figure == figure);
        let of = |figure, kind| Some(row(figure)?.spread(kind)?.median);
        let median = |kind| of(self.figure, kind);
        let value = median(Kind::Hudson).and_then(|hudson| match self.limit {
            Limit::MicrosMoreThan(_, own) => Some(hudson - of(own, Kind::Hudson)?),
            _ => self.limit.value(hudson, median),
        });
        let mut sides = [Some(Kind::Hudson), self.limit.peer()].into_iter().flatten();
        Outcome {
            case: self.case,
            figure: self.figure,
            bar: self.limit.to_string(),
            value,
            met: value.map(|value| self.limit.admits(value)),
            missing: sides.find(|kind| median(*kind).is_none()),
        }
    }
}

impl Limit {
    /// Whom Hudson is compared with.
    fn peer(self) -> Option<Kind> {
        match self {
            Self::AtMost(_, peer)
            | Self::AtLeast(_, peer)
            | Self::TimesLess(_, peer)
            | Self::MicrosMore(_, peer) => Some(peer),
            Self::MicrosMoreThan(..) | Self::Kib(_) => None,
        }
    }

    /// What is compared with the bar.
    fn value(self, hudson: f64, median: impl Fn(Kind) -> Option<f64>) -> Option<f64> {
        Some(match self {
            Self::AtMost(_, peer) | Self::AtLeast(_, peer) => hudson / median(peer)?,
            Self::TimesLess(_, peer) => median(peer)? / hudson,
            Self::MicrosMore(_, peer) => hudson - median(peer)?,
            Self::MicrosMoreThan(..) | Self::Kib(_) => hudson,
        })
    }

    fn admits(self, value: f64) -> bool {
        match self {
            Self::AtMost(bar, _)
            | Self::MicrosMore(bar, _)
            | Self::MicrosMoreThan(bar, _)
            | Self::Kib(bar) => value <= bar * (1.0 + NOISE),
            Self::AtLeast(bar, _) | Self::TimesLess(bar, _) => value >= bar * (1.0 - NOISE),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bar, peer) => write!(f, "≤ {bar:.1} × {}", peer.name()),
            Self::AtLeast(bar, peer) => write!(f, "≥ {bar:.1} × {}", peer.name()),
            Self::TimesLess(bar, peer) => write!(f, "≥ {bar} × less than {}", peer.name()),
            Self::MicrosMore(bar, peer) => write!(f, "≤ {} + {bar} µs", peer.name()),
            Self::MicrosMoreThan(bar, own) => write!(f, "≤ {own} + {bar} µs"),
            Self::Kib(bar) => write!(f, "≤ {bar} KiB, the goal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(limit: Limit, hudson: f64, peer: f64) -> bool {
        limit.admits(limit.value(hudson, |_| Some(peer)).unwrap())
    }

    #[test]
    fn a_bar_is_met_up_to_a_tenth_beyond_it_and_missed_from_there() {
        let peer = Kind::Relay;
        for (limit, peers, good, bad) in [
            (Limit::AtMost(1.5, peer), 10.0, 16.4, 16.6),
            (Limit::AtLeast(1.0, peer), 10.0, 9.1, 8.9),
            (Limit::TimesLess(25.0, peer), 225.0, 9.9, 10.1),
            (Limit::MicrosMore(400.0, peer), 100.0, 539.0, 541.0),
            (Limit::Kib(32.0), 0.0, 35.0, 36.0),
        ] {
            assert!(met(limit, good, peers), "{limit}: {good}");
            assert!(!met(limit, bad, peers), "{limit}: {bad}");
        }
    }

    #[test]
    fn a_peer_that_did_not_run_is_no_verdict() {
        assert_eq!(Limit::AtMost(1.0, Kind::Squid).value(1.0, |_| None), None);
        assert_eq!(Limit::Kib(32.0).value(1.0, |_| None), Some(1.0));
    }
}
