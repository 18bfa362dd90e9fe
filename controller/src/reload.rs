//! Keeping the configuration current: changed files and SIGHUP are read anew; a bad file keeps the old configuration.

mod notices;

use crate::budgets;
use crate::events::EventLog;
use crate::runs::Runs;
use crate::settings::catalogue;
use hudson_proxy::{Proxy, policy};
use hudson_schema::ledger::SharedLedger;
use notices::Notices;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Editors write a file in several steps: this long nothing more may happen before it is read.
const QUIET: Duration = Duration::from_millis(250);
/// Where notifications do not arrive (bind mounts), files are looked at this often.
const POLL: Duration = Duration::from_secs(2);

/// Reloads for as long as the process lives. SIGHUP is taken from this call on: left to itself it ends a process.
pub fn watch(
    runs: Arc<Runs>,
    ledger: SharedLedger,
    proxy: Proxy,
    events: Arc<EventLog>,
) -> std::io::Result<impl Future<Output = ()>> {
    let hangup = signal(SignalKind::hangup())?;
    Ok(watching(runs, ledger, proxy, events, hangup))
}

async fn watching(
    runs: Arc<Runs>,
    ledger: SharedLedger,
    proxy: Proxy,
    events: Arc<EventLog>,
    mut hangup: Signal,
) {
    // Without notices the poll still finds every change.
    let mut notices = Notices::new();
    let mut watched = BTreeSet::new();
    let mut seen = stamps(&runs);
    loop {
        watch_folders(&mut notices, &runs, &mut watched);
        let forced = tokio::select! {
            () = notices.changed() => {
                tokio::time::sleep(QUIET).await;
                notices.forget().await;
                false
            }
            () = tokio::time::sleep(POLL) => false,
            _ = hangup.recv() => true,
        };
        let current = stamps(&runs);
        if forced || current != seen {
            seen = current;
            reload(&runs, &proxy, &events);
            budgets::review(&runs, &ledger, &events).await;
        }
    }
}

fn reload(runs: &Runs, proxy: &Proxy, events: &EventLog) {
    match runs.reload() {
        Ok(()) => {
            proxy.set_catalogue(catalogue(&runs.settings()));
            let live = runs.live();
            // A tunnel whose host is on no route any more ends now, with whatever is in it. One that never had a route
            // is there for its refusal to be read.
            let ended = proxy.tunnels().end(|tunnel| {
                live.iter().any(|run| {
                    tunnel.routed
                        && run.id == tunnel.run
                        && policy::routes_to(&run.policy().routes, tunnel.scheme, &tunnel.host, tunnel.port)
                            .is_empty()
                })
            });
            events.write("configuration_reloaded", json!({"tunnels_ended": ended}));
        }
        Err(error) => events.write("configuration_kept", json!({"error": error})),
    }
}

/// Folders, not files: editors replace a file by renaming another onto it.
fn watch_folders(notices: &mut Notices, runs: &Runs, watched: &mut BTreeSet<PathBuf>) {
    for file in runs.files() {
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
        if !watched.contains(&folder) && notices.watch(&folder) {
            watched.insert(folder);
        }
    }
}

/// What each file looks like: a change of any of these is a change of the file. A file that a new run brought along is
/// one too: it may have changed since the run read it.
fn stamps(runs: &Runs) -> Vec<(PathBuf, Option<(SystemTime, u64)>)> {
    runs.files()
        .into_iter()
        .map(|path| {
            let stamp =
                std::fs::metadata(&path).ok().and_then(|meta| Some((meta.modified().ok()?, meta.len())));
            (path, stamp)
        })
        .collect()
}
