//! Hudson measured beside its peers: the same client does the same work, to the same upstream, through each of them.
//!
//! ```text
//! cargo run --release -p hudson-bench -- all
//! ```
//!
//! This process is the client, a child of it is the upstream, and every peer is a child of its own. Rounds go through
//! all peers in turn, so that what else the machine does falls on all of them alike. Everything is on loopback, in a
//! scratch directory, and gone at the end.
//!
//! ```text
//! HUDSON_CORPUS=… cargo run --release -p hudson-bench -- meter
//! ```
//!
//! measures the meter by itself, in this process: recorded streams in, usage out.
//!
//! ```text
//! HUDSON_CORPUS=… cargo run --release -p hudson-bench -- dlp --peers direct,relay,hudson
//! ```
//!
//! measures what DLP costs: the scanner by itself and beside every other scanner that is installed, then requests through
//! the proxy with DLP on and off.

mod authority;
mod bars;
mod case;
mod child;
mod cli;
mod client;
mod clock;
mod cpus;
mod dlp;
mod files;
mod host;
mod meter;
mod origin;
mod peer;
mod process;
mod report;
mod run;
mod stats;
mod table;

use child::Role;
use clap::Parser as _;

/// Reads the command line and does what it says.
pub fn main() -> anyhow::Result<()> {
    let arguments = cli::Arguments::parse();
    match (arguments.serve, &arguments.ready) {
        (Some(Role::Origin), Some(ready)) => origin::serve(ready),
        (Some(Role::Relay), Some(ready)) => peer::relay::serve(ready),
        (Some(Role::Hudsucker), Some(ready)) => peer::hudsucker::serve(ready),
        _ => run::run(&arguments),
    }
}
