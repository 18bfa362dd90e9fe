//! One run: the upstream, the peers, the rounds, the table; and the end of all of them.

use crate::case::Case;
use crate::cli::Arguments;
use crate::host::Machine;
use crate::hudson::Hudson;
use crate::origin::Origin;
use crate::peer::Peer;
use crate::report::Report;
use crate::table;
use anyhow::{Context as _, Result, bail};
use std::io::{IsTerminal as _, Write as _};
use tokio::signal::unix::{SignalKind, signal};

/// Does what the command line asks for.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // One thread: the client's own scheduling is in no figure.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // Whatever ends it, the children and the scratch directory are dropped with the future.
        tokio::select! {
            report = measure(arguments) => report,
            _ = interrupt.recv() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })?;
    let text = match arguments.json {
        true => format!("{}\n", report.to_json()),
        false => table::of(&report),
    };
    std::io::stdout().write_all(text.as_bytes()).context("printing")
}

async fn measure(arguments: &Arguments) -> Result<Report> {
    let machine = Machine::read();
    let scratch = tempfile::Builder::new().prefix("hudson-bench-").tempdir()?;
    let origin = Origin::start(scratch.path())?;
    let peers = [Peer::direct(&origin)?, Peer::Hudson(Hudson::start(scratch.path(), &origin)?)];
    let (cases, scale) = (arguments.cases(), arguments.scale());
    let mut report = Report::new(machine, arguments.rounds, peers.iter().map(Peer::name).collect());
    let mut tokens = 0;
    for case in cases {
        // Memory is asked for once, when everything else has run.
        let rounds = if case == Case::Rss { 1 } else { arguments.rounds };
        for round in 1..=rounds {
            progress(&format!("{} {round}/{rounds}", case.name()));
            for peer in &peers {
                let result = case.round(peer, &origin, &scale).await;
                let result = result.with_context(|| format!("{} through {}", case.name(), peer.name()))?;
                report.add(case, peer.name(), &result.samples);
                if peer.process().is_some() {
                    tokens += result.tokens;
                }
            }
        }
    }
    progress("");
    for peer in peers.iter().filter(|peer| peer.process().is_some()) {
        peer.audit(tokens)?;
    }
    Ok(report)
}

/// Says on a terminal what is going on; on nothing else.
fn progress(what: &str) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        // Progress that cannot be shown is no reason to end.
        let _ = write!(out, "\r\x1b[K{what}").and_then(|()| out.flush());
    }
}
