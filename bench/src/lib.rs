//! Hudson measured beside its peers: the same client does the same work, to the same upstream, through each of them.
//!
//! ```text
//! cargo run --release -p hudson-bench -- all
//! ```
//!
//! Three processes of their own: this one is the client, a child of it is the upstream, a second child is the peer.
//! Rounds go through all peers in turn, so that what else the machine does falls on all of them alike. Everything is on
//! loopback, in a scratch directory, and gone at the end.

mod case;
mod cli;
mod client;
mod clock;
mod host;
mod hudson;
mod origin;
mod peer;
mod process;
mod report;
mod run;
mod stats;
mod table;

use clap::Parser as _;

/// Reads the command line and does what it says.
pub fn main() -> anyhow::Result<()> {
    let arguments = cli::Arguments::parse();
    match &arguments.serve_origin {
        Some(ready_file) => origin::serve(ready_file),
        None => run::run(&arguments),
    }
}
