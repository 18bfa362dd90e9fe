//! Keeping the configuration current: changed files and SIGHUP are read anew; a bad file keeps the old configuration.

mod notices;

use crate::approvals;
use crate::budgets;
use crate::dlp;
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

/// What is kept current.
pub struct Reload {
    /// Those whose files are read, the proxy's own first.
    pub runs: Vec<Arc<Runs>>,
    /// The one that serves them, where this process has one.
    pub proxy: Option<Proxy>,
}

/// Reloads for as long as the process lives. SIGHUP is taken from this call on: left to itself it ends a process.
pub fn watch(
    reload: Reload,
    ledger: SharedLedger,
    events: Arc<EventLog>,
) -> std::io::Result<impl Future<Output = ()>> {
    let hangup = signal(SignalKind::hangup())?;
    Ok(watching(reload, ledger, events, hangup))
}

async fn watching(reload: Reload, ledger: SharedLedger, events: Arc<EventLog>, mut hangup: Signal) {
    // Without notices the poll still finds every change.
    let mut notices = Notices::new();
    let mut watched = BTreeSet::new();
    let mut seen = reload.stamps();
    loop {
        watch_folders(&mut notices, &reload.files(), &mut watched);
        let forced = tokio::select! {
            () = notices.changed() => {
                tokio::time::sleep(QUIET).await;
                notices.forget().await;
                false
            }
            () = tokio::time::sleep(POLL) => false,
            _ = hangup.recv() => true,
        };
        let current = reload.stamps();
        if forced || current != seen {
            seen = current;
            reload.read(&events).await;
            for runs in &reload.runs {
                budgets::review(runs, &ledger, &events).await;
            }
        }
    }
}

impl Reload {
    fn files(&self) -> BTreeSet<PathBuf> {
        self.runs.iter().flat_map(|runs| runs.files()).collect()
    }

    /// What each file looks like: a change of any of these is a change of the file. A file that a new run brought along
    /// is one too: it may have changed since the run read it.
    fn stamps(&self) -> Vec<(PathBuf, Option<(SystemTime, u64)>)> {
        let stamp = |path: PathBuf| {
            let meta = std::fs::metadata(&path).ok();
            (path, meta.and_then(|meta| Some((meta.modified().ok()?, meta.len()))))
        };
        self.files().into_iter().map(stamp).collect()
    }

    async fn read(&self, events: &EventLog) {
        // Each keeps what it had where it cannot read.
        let read: Vec<_> = self.runs.iter().map(|runs| runs.reload()).collect();
        let ended = match (&self.proxy, read.first()) {
            (Some(proxy), Some(Ok(()))) => self.take_over(proxy, events).await,
            _ => 0,
        };
        match read.into_iter().find_map(Result::err) {
            Some(error) => events.write("configuration_kept", json!({"error": error})),
            None => events.write("configuration_reloaded", json!({"tunnels_ended": ended})),
        }
    }

    /// Has the proxy go by what was read; how many tunnels that ended.
    async fn take_over(&self, proxy: &Proxy, events: &EventLog) -> usize {
        if let Some(runs) = self.runs.first() {
            proxy.set_catalogue(catalogue(&runs.settings()));
            match approvals::setup::of(runs.home(), &runs.settings()) {
                Ok(setup) => proxy.set_approvals(setup),
                Err(error) => events.write("configuration_kept", json!({"error": format!("{error:#}")})),
            }
            if let Some(loaded) = runs.take_dlp() {
                dlp::tell(events, &loaded.notices);
                let seen = loaded.seen();
                // Its rules were compiled when they were read.
                match proxy.set_dlp(loaded.setup).await {
                    Ok(()) => runs.set_seen(seen),
                    Err(error) => events.write("configuration_kept", json!({"error": error.to_string()})),
                }
            }
        }
        let live: Vec<_> = self.runs.iter().flat_map(|runs| runs.live()).collect();
        // A tunnel whose host is on no route any more ends now, with whatever is in it. One that never had a route is
        // there for its refusal to be read.
        proxy.tunnels().end(|tunnel| {
            live.iter().any(|run| {
                tunnel.routed
                    && run.id == tunnel.run
                    && policy::routes_to(&run.policy().routes, tunnel.scheme, &tunnel.host, tunnel.port)
                        .is_empty()
            })
        })
    }
}

/// Folders, not files: editors replace a file by renaming another onto it.
fn watch_folders(notices: &mut Notices, files: &BTreeSet<PathBuf>, watched: &mut BTreeSet<PathBuf>) {
    for file in files {
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
        if !watched.contains(&folder) && notices.watch(&folder) {
            watched.insert(folder);
        }
    }
}
