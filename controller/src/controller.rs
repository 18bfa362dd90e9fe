//! The controller's part of a process: it knows every live run of the home, whoever serves it, acts on spent budgets and
//! on orders, and tells of them outside.
//!
//! Invariants: one process at a time has it, by the place it is started with; all that is to do stands in the ledger, so
//! that whoever comes next takes up what the last one left.

use crate::approvals::desk::{Desk, Parts};
use crate::cli::NetworkArgs;
use crate::control::Place;
use crate::hearing::{self, Hearing};
use crate::instance::now;
use crate::notify::{self, Channels, Deliverer};
use crate::process::Process;
use crate::reload::{self, Reload};
use crate::runs::{Manner, Runs};
use crate::{budgets, callbacks, dlp, enforce, network};
use anyhow::{Context, Result};
use hudson_proxy::dlp::Dlp;
use hudson_schema::RunId;
use hudson_schema::config::{RateLimit, Settings};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long changes are gathered before they are looked at.
const REST: Duration = Duration::from_millis(50);

/// A running controller.
pub struct Controller {
    /// What it knows of every live run. Nobody is served by it.
    pub runs: Arc<Runs>,
    process: Process,
    told: Told,
}

/// How people are told, and heard.
pub struct Told {
    /// Tells them.
    pub deliverer: Arc<Deliverer>,
    /// Hears them.
    pub hearing: Arc<Hearing>,
}

impl Controller {
    /// Starts one in the place that was taken for it.
    pub async fn start(
        process: &Process,
        settings: Settings,
        network: &NetworkArgs,
        _place: &Place,
    ) -> Result<Self> {
        let process = process.clone();
        let (home, ledger) = (process.home.clone(), process.ledger.clone());
        let manner = Manner { closed: true, notifies: true, apart: true };
        let runs = Runs::new(home, ledger.clone(), settings.clone(), manner);
        runs.set_overrides(ledger.budget_override_list().await?);
        let told = tell(&process, &runs, &settings, network)?;
        let mut known = Known::default();
        // From before the first look on, so that no launch is passed by.
        let changes = ledger.changes();
        known.adopt(&process, &runs).await;
        tokio::spawn(follow_runs(process.clone(), runs.clone(), known, changes));
        tokio::spawn(budgets::follow(runs.clone(), ledger.clone(), Some(process.events.clone())));
        tokio::spawn(enforce::control(ledger, runs.clone(), process.events.clone()));
        // What was lowered, raised or crossed while there was no controller.
        budgets::review(&runs, &process.ledger, &process.events).await;
        Ok(Self { runs, process, told })
    }

    /// Where bottles ask people, for a process without a proxy whose runs could.
    pub fn desk(&self, network: &NetworkArgs, rate: Option<RateLimit>) -> Result<Arc<Desk>> {
        let Process { home, own, .. } = &self.process;
        let settings = self.runs.settings();
        let loaded = dlp::load(home, &settings)?;
        let rules = Dlp::new(loaded.setup).context("compiling the rules of DLP")?;
        let dialer = network::dialer(network, &settings.proxy, own.clone())?;
        Desk::new(Parts {
            process: self.process.clone(),
            runs: self.runs.clone(),
            dlp: Arc::new(rules),
            dialer,
            rate,
        })
    }

    /// Keeps files current without a proxy in this process.
    pub fn keep_current(&self) -> Result<()> {
        let reload = Reload { runs: vec![self.runs.clone()], proxy: None };
        let Process { ledger, events, .. } = &self.process;
        let reloading = reload::watch(reload, ledger.clone(), events.clone());
        tokio::spawn(reloading.context("waiting for SIGHUP")?);
        Ok(())
    }

    /// Listens for what services send of people's answers, where the settings say so; where that is.
    pub async fn listen(&self, settings: &Settings) -> Result<Option<SocketAddr>> {
        callbacks::listen(settings.control.callbacks, &self.process.own, self.told.hearing.clone()).await
    }

    /// Ends it: what there is to tell is told for this long at most.
    pub async fn stop(&self, grace: Duration) {
        self.told.deliverer.finish(grace).await;
    }
}

/// Tells people, and asks the services that have to be asked for their answers, for as long as the process lives.
pub fn tell(process: &Process, runs: &Arc<Runs>, settings: &Settings, network: &NetworkArgs) -> Result<Told> {
    let channels = notify::channels(settings)?;
    let dialer = network::dialer(network, &settings.proxy, process.own.clone())?;
    let Process { home, ledger, events, .. } = process;
    let channels = Channels::new(runs.clone(), channels);
    let hearing = Hearing::new(channels.clone(), dialer.clone(), events.clone(), ledger.clone());
    let deliverer = Deliverer::new(ledger.clone(), channels, events.clone(), dialer);
    tokio::spawn(deliverer.clone().run());
    tokio::spawn(hearing::telegram::listen(hearing.clone(), home.clone()));
    Ok(Told { deliverer, hearing })
}

async fn follow_runs(process: Process, runs: Arc<Runs>, mut known: Known, mut changes: watch::Receiver<u64>) {
    while changes.changed().await.is_ok() {
        known.adopt(&process, &runs).await;
        tokio::time::sleep(REST).await;
    }
}

/// Which runs were looked at, so that one whose files cannot be read is told of once.
#[derive(Default)]
struct Known {
    unreadable: HashSet<RunId>,
}

impl Known {
    /// Takes up the runs that are new in the ledger, and drops those that have ended.
    async fn adopt(&mut self, process: &Process, runs: &Runs) {
        let live = match process.ledger.run_list(true).await {
            Ok(live) => live,
            Err(error) => return failed(process, &error.to_string()),
        };
        let before: HashSet<RunId> = runs.live().into_iter().map(|run| run.id.clone()).collect();
        let now_live: HashSet<&RunId> = live.iter().map(|record| &record.id).collect();
        before.iter().filter(|id| !now_live.contains(id)).for_each(|id| runs.remove(id));
        self.unreadable.retain(|id| now_live.contains(id));
        for record in live.iter().filter(|record| !before.contains(&record.id)) {
            let run = match runs.insert(record, HashMap::new()) {
                Ok(run) => run,
                Err(error) => {
                    // Its files may be mended: it is looked at again at each change.
                    if self.unreadable.insert(record.id.clone()) {
                        let error = format!("{error:#}");
                        process.events.write("run_unreadable", json!({"run": record.id, "error": error}));
                    }
                    continue;
                }
            };
            // What another run has spent may stop this one from its first moment.
            if let Err(error) =
                process.ledger.block_plan(&run.id, &run.policy().governing(now()), now()).await
            {
                failed(process, &error.to_string());
            }
        }
    }
}

fn failed(process: &Process, error: &str) {
    process.events.write("ledger_failed", json!({"what": "looking at the runs", "error": error}));
}
