//! The command line.

use crate::case::{Case, Scale};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Hudson measured beside its peers, on this machine, in one run.
///
/// The `hudson` that is measured is $HUDSON_BIN, else it is built with `cargo build --release`.
#[derive(Debug, Parser)]
#[command(name = "hudson-bench", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What is measured
    #[arg(value_enum, required_unless_present = "serve_origin")]
    cases: Vec<Choice>,
    /// Rounds; a figure is their median
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Few requests: shows that everything works, measures little
    #[arg(long)]
    quick: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Be the upstream of a benchmark, write where to this file, and end with standard input
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) serve_origin: Option<PathBuf>,
}

/// A case on the command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Choice {
    /// Every case
    All,
    /// 1 KiB GET on kept connections, not metered: latency, requests per second, CPU
    Keepalive,
    /// A metered JSON POST under a hard budget: a hold and a settlement each
    Metered,
    /// New tunnels, each with its TLS handshake and one GET
    Tunnels,
    /// A metered stream of 200 events, one a millisecond: the delay of each
    Paced,
    /// A metered stream of 200 events at once: the time to its end
    Burst,
    /// Resident memory after everything else
    Rss,
}

impl Arguments {
    /// The cases in the order in which they run, each once.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let chosen = |case: &Case| self.cases.iter().any(|choice| choice.covers(*case));
        Case::ALL.into_iter().filter(chosen).collect()
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
            Self::Metered => case == Case::Metered,
            Self::Tunnels => case == Case::Tunnels,
            Self::Paced => case == Case::Paced,
            Self::Burst => case == Case::Burst,
            Self::Rss => case == Case::Rss,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definitions_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn cases_run_in_their_own_order_and_once() {
        let cases = |words: &[&str]| {
            let words = std::iter::once("hudson-bench").chain(words.iter().copied());
            Arguments::parse_from(words).cases()
        };
        assert_eq!(cases(&["rss", "keepalive", "rss"]), [Case::Keepalive, Case::Rss]);
        assert_eq!(cases(&["burst", "all"]), Case::ALL);
    }
}
