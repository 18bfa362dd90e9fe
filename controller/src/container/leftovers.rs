//! What runs have left behind whose `hudson run` could not remove it: it was killed, or the host went down.

use super::engine::found;
use super::{Engine, HOME, Network, RUN, firewall};
use crate::instance::now;
use anyhow::Result;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
};
use hudson_schema::RunId;
use hudson_schema::home::Home;
use hudson_schema::ledger::SharedLedger;
use std::collections::{BTreeSet, HashMap};

/// Removes the containers, networks and tables of a home's runs that live no more, and ends those runs; their ids. Images
/// that were saved stay.
pub async fn remove_leftovers(
    engine: &Engine,
    home: &Home,
    ledger: &SharedLedger,
) -> Result<BTreeSet<RunId>> {
    let label = format!("{HOME}={}", home.path().display());
    let filters = HashMap::from([("label", vec![label.as_str()])]);
    let docker = engine.docker();
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let networks = engine.ask("listing networks", docker.list_networks(Some(options))).await?;
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = engine.ask("listing containers", docker.list_containers(Some(options))).await?;
    // Who may not use the packet filter has closed nothing.
    let tables = firewall::of_home(home).await.unwrap_or_default();
    // Read after those: a run is on record before anything is made for it.
    let live = live(ledger).await?;
    let is_dead = |run: &RunId| !live.contains(run);
    let mut dead = BTreeSet::new();
    for container in containers {
        let run = container.labels.as_ref().and_then(run_of).filter(is_dead);
        let (Some(run), Some(id)) = (run, container.id) else { continue };
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = docker.remove_container(&id, Some(options));
        found(engine.ask(format!("removing the container {id}"), removed).await)?;
        dead.insert(run);
    }
    for network in networks {
        let run = network.labels.as_ref().and_then(run_of).filter(is_dead);
        let (Some(run), Some(name)) = (run, network.name) else { continue };
        Network::remove(engine, &name).await?;
        dead.insert(run);
    }
    for table in tables {
        let run = table.rsplit('_').next().and_then(|run| uuid::Uuid::try_parse(run).ok());
        let run = run.and_then(|run| run.to_string().parse().ok()).filter(is_dead);
        let Some(run) = run else { continue };
        firewall::open(&table).await?;
        dead.insert(run);
    }
    for run in &dead {
        // A ledger that was begun anew knows nothing of it.
        if ledger.run_fetch(run).await?.is_some() {
            ledger.run_finish(run, now(), None).await?;
        }
    }
    Ok(dead)
}

fn run_of(labels: &HashMap<String, String>) -> Option<RunId> {
    labels.get(RUN)?.parse().ok()
}

/// The runs that somebody stands by.
async fn live(ledger: &SharedLedger) -> Result<BTreeSet<RunId>> {
    let mut live: BTreeSet<RunId> = ledger.run_list(true).await?.into_iter().map(|run| run.id).collect();
    for orphan in ledger.run_orphans().await? {
        live.remove(&orphan.id);
    }
    Ok(live)
}
