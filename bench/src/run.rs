//! One run: the upstream, the peers, the rounds, the table; and the end of all of them.

use crate::case::{Case, Round, Scale};
use crate::cli::Arguments;
use crate::cpus::Cpus;
use crate::dlp;
use crate::files;
use crate::host::Machine;
use crate::meter;
use crate::origin::Origin;
use crate::peer::{Kind, Peer, Site, hudson};
use crate::report::Report;
use crate::table;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::io::{IsTerminal as _, Write as _};
use tokio::signal::unix::{SignalKind, signal};

/// Does what the command line asks for. What has no peers comes first: nothing else runs beside it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.meter() {
        let report = meter::run(arguments.rounds, arguments.is_quick())?;
        print(arguments, || report.to_json(), || report.to_text())?;
    }
    if arguments.dlp() {
        let report = dlp::run(arguments.rounds, arguments.is_quick())?;
        print(arguments, || report.to_json(), || report.to_text())?;
    }
    if arguments.cases().is_empty() {
        return Ok(());
    }
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
    print(arguments, || report.to_json(), || table::of(&report))
}

fn print(arguments: &Arguments, json: impl Fn() -> Value, text: impl Fn() -> String) -> Result<()> {
    let text = if arguments.json { format!("{}\n", json()) } else { text() };
    std::io::stdout().write_all(text.as_bytes()).context("printing")
}

async fn measure(arguments: &Arguments) -> Result<Report> {
    let kinds = arguments.peers();
    // Built before anything is measured, and by all processors.
    let hudson = if kinds.contains(&Kind::Hudson) { Some(hudson::binary()?) } else { None };
    let cpus = Cpus::divide();
    let mut report = Report::new(Machine::read(), cpus.pinned(), arguments.rounds);
    files::raise_limit();
    cpus.rest.enter()?;

    let scratch = tempfile::Builder::new().prefix("hudson-bench-").tempdir()?;
    let origin = Origin::start(scratch.path(), &cpus.rest)?;
    let site = Site { scratch: scratch.path(), origin: &origin, cpus: &cpus, hudson: hudson.as_deref() };
    let peers = start(kinds, &site, &mut report)?;
    let mut tokens = 0;
    for case in arguments.cases() {
        for round in 1..=arguments.rounds {
            for peer in peers.iter().filter(|peer| case.fits(peer.kind)) {
                progress(&format!("{} {round}/{} {}", case.name(), arguments.rounds, peer.kind.name()));
                let result = one_round(case, peer, &site, arguments.scale(), round).await;
                let what = || format!("{} through {}", case.name(), peer.kind.name());
                let Some(result) = or_note(result.with_context(what), peer.kind, &mut report)? else {
                    continue;
                };
                report.add(case, peer.kind, result.samples);
                result.skipped.into_iter().for_each(|note| report.note(note));
                if peer.kind == Kind::Hudson {
                    tokens += result.tokens;
                }
            }
        }
    }
    progress("");
    peers.iter().try_for_each(|peer| peer.audit(tokens))?;
    Ok(report)
}

/// Starts every peer that is there, and notes what has to be known about those that are not.
fn start(kinds: Vec<Kind>, site: &Site<'_>, report: &mut Report) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for kind in kinds {
        if let Some(why) = kind.missing() {
            report.note(why.to_owned());
            continue;
        }
        let started = kind.start(site, kind.name()).with_context(|| format!("starting {}", kind.name()));
        let Some(peer) = or_note(started, kind, report)? else {
            continue;
        };
        if kind.is_slow() {
            report.note(format!("{} does a tenth of the requests and tunnels.", kind.name()));
        }
        report.peers.push(kind);
        peers.push(peer);
    }
    Ok(peers)
}

async fn one_round(case: Case, peer: &Peer, site: &Site<'_>, scale: Scale, round: u32) -> Result<Round> {
    let scale = scale.of(peer.kind);
    if !case.wants_fresh_peer() {
        return case.round(peer, site.origin, &scale).await;
    }
    let name = format!("{}-{}-{round}", peer.kind.name(), case.name());
    let fresh = peer.kind.start(site, &name)?;
    case.round(&fresh, site.origin, &scale).await
}

/// What is merely installed on this machine is not the benchmark's to mend: its errors are told and end nothing.
fn or_note<T>(result: Result<T>, kind: Kind, report: &mut Report) -> Result<Option<T>> {
    match result {
        Err(error) if kind.is_installed() => {
            report.note(format!("Left out: {error:#}."));
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// Says on a terminal what is going on; on nothing else.
fn progress(what: &str) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        // Progress that cannot be shown is no reason to end.
        let _ = write!(out, "\r\x1b[K{what}").and_then(|()| out.flush());
    }
}
