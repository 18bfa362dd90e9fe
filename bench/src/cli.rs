//! The command line.

use crate::case::{Case, Scale};
use crate::child::Role;
use crate::peer::Kind;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Hudson measured beside its peers, on this machine, in one run.
///
/// The `hudson` that is measured is $HUDSON_BIN, else it is built with `cargo build --release`.
#[derive(Debug, Parser)]
#[command(name = "hudson-bench", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What is measured
    #[arg(value_enum, required_unless_present = "serve")]
    cases: Vec<Choice>,
    /// Through whom [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PEER")]
    peers: Vec<Kind>,
    /// Rounds; a figure is their median
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Few requests: shows that everything works, measures little
    #[arg(long)]
    quick: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Be a part of a benchmark, and end with standard input
    #[arg(long, value_enum, hide = true, requires = "ready")]
    pub(crate) serve: Option<Role>,
    /// Where to write that it is ready
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) ready: Option<PathBuf>,
}

/// A case on the command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Choice {
    /// Every case that has peers
    All,
    /// 1 KiB GET on 1, 32 and 128 kept HTTP/1.1 connections, not metered: latency, requests per second, CPU
    Keepalive,
    /// The same on 1, 32 and 128 streams of one HTTP/2 connection
    Http2,
    /// A metered JSON POST under a hard budget: a hold and a settlement each
    Metered,
    /// 64 KiB POST, not metered
    Post,
    /// New tunnels, each with its TLS handshake and one GET, one or 16 at a time
    Tunnels,
    /// A metered stream of 200 events, one a millisecond: the delay of each
    Paced,
    /// The same streams metered under a hard budget and not metered: first byte, delay and CPU of each event
    Metering,
    /// A stream of 200 events at once, not metered and metered
    Burst,
    /// The scanner alone beside other scanners, then GETs and 64 KiB POSTs with DLP on and off
    Dlp,
    /// 10 MiB down, 100 MiB down, 100 MiB up
    Bulk,
    /// Resident memory of a fresh peer, for each idle tunnel
    Rss,
    /// Recorded streams through the meter alone, without peers: MB/s, nanoseconds of an event, memory
    Meter,
}

impl Arguments {
    /// The cases in the order in which they run, each once.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let chosen = |case: &Case| self.cases.iter().any(|choice| choice.covers(*case));
        Case::ALL.into_iter().filter(chosen).collect()
    }

    /// Whether the meter is measured by itself.
    pub(crate) fn meter(&self) -> bool {
        self.cases.contains(&Choice::Meter)
    }

    /// Whether the scanner is measured beside others.
    pub(crate) fn dlp(&self) -> bool {
        self.cases.contains(&Choice::Dlp)
    }

    /// Whether little is to be done.
    pub(crate) fn is_quick(&self) -> bool {
        self.quick
    }

    /// The peers in the order of the table, each once.
    pub(crate) fn peers(&self) -> Vec<Kind> {
        let chosen = |kind: &&Kind| self.peers.is_empty() || self.peers.contains(kind);
        Kind::value_variants().iter().filter(chosen).copied().collect()
    }

    /// How much work a round is.
    pub(crate) fn scale(&self) -> Scale {
        if self.quick { Scale::QUICK } else { Scale::FULL }
    }
}

impl Choice {
    fn covers(self, case: Case) -> bool {
        match self {
            Self::All => true,
            Self::Keepalive => case == Case::Keepalive,
            Self::Http2 => case == Case::Http2,
            Self::Metered => case == Case::Metered,
            Self::Post => case == Case::Post,
            Self::Tunnels => case == Case::Tunnels,
            Self::Paced => case == Case::Paced,
            Self::Metering => case == Case::Metering,
            Self::Burst => case == Case::Burst,
            Self::Dlp => case == Case::Dlp,
            Self::Bulk => case == Case::Bulk,
            Self::Rss => case == Case::Rss,
            Self::Meter => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(words: &[&str]) -> Arguments {
        Arguments::parse_from(std::iter::once("hudson-bench").chain(words.iter().copied()))
    }

    #[test]
    fn the_definitions_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn cases_run_in_their_own_order_and_once() {
        assert_eq!(parse(&["rss", "keepalive", "rss"]).cases(), [Case::Keepalive, Case::Rss]);
        assert_eq!(parse(&["burst", "all"]).cases(), Case::ALL);
    }

    #[test]
    fn the_meter_is_measured_when_it_is_named_and_needs_no_peers() {
        assert!(parse(&["meter"]).meter() && parse(&["meter"]).cases().is_empty());
        assert!(!parse(&["all"]).meter());
    }

    #[test]
    fn the_scanner_is_measured_beside_others_only_when_it_is_named() {
        assert!(parse(&["dlp"]).dlp() && parse(&["dlp"]).cases() == [Case::Dlp]);
        assert!(!parse(&["all"]).dlp());
    }

    #[test]
    fn peers_are_all_or_those_that_are_named() {
        assert_eq!(parse(&["all"]).peers(), Kind::value_variants());
        let named = parse(&["all", "--peers", "hudson,direct,hudson"]).peers();
        assert_eq!(named, [Kind::Direct, Kind::Hudson]);
    }
}
