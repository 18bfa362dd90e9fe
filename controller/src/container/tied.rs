//! A container that was started elsewhere, to be tied to a run.

use super::engine::found;
use super::{Engine, HOME, Names, RUN, firewall};
use crate::exit::Exit;
use crate::place::Place;
use anyhow::Result;
use hudson_schema::RunId;
use hudson_schema::home::Home;

/// A container that is there.
#[derive(Debug)]
pub struct Tied {
    /// Its id.
    pub id: String,
    /// Its name, which another container has when it is resumed after a freeze.
    pub name: String,
    /// Where it is, for a launch.
    pub place: Place,
    /// Whether every network that it is on was made and closed by a `hudson run` of this home.
    pub is_closed: bool,
}

impl Tied {
    /// Asks the engine for a container by its name or id.
    pub async fn find(engine: &Engine, home: &Home, asked: &str) -> Result<Self> {
        let missing = || {
            Exit::not_found(format!(
                "the engine at {} has no container {asked}; `docker ps --all` lists them",
                engine.socket().display()
            ))
        };
        // It becomes a part of a path of the engine's API.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if !asked.starts_with(|c: char| c.is_ascii_alphanumeric()) || !asked.chars().all(plain) {
            return Err(missing().into());
        }
        let container = engine.container(asked).await?.ok_or_else(missing)?;
        let name = container.name.unwrap_or_else(|| asked.to_owned()).trim_start_matches('/').to_owned();
        let networks = container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let mut is_closed = !networks.is_empty();
        for network in networks.keys() {
            is_closed = is_closed && closed(engine, home, network).await?;
        }
        let place = Place::Container {
            socket: engine.socket().to_owned(),
            id: name.clone(),
            network: None,
            tied: true,
        };
        Ok(Self { id: container.id.unwrap_or_else(|| asked.to_owned()), name, place, is_closed })
    }
}

/// Whether a network is one of this home's, with its table in place.
async fn closed(engine: &Engine, home: &Home, network: &str) -> Result<bool> {
    let inspected = engine.docker().inspect_network(network, None);
    let inspected = engine.ask(format!("looking at the network {network}"), inspected).await;
    let labels = found(inspected)?.and_then(|network| network.labels).unwrap_or_default();
    let own = labels.get(HOME).is_some_and(|path| *path == home.path().display().to_string());
    let Some(run) = labels.get(RUN).filter(|_| own).and_then(|run| run.parse::<RunId>().ok()) else {
        return Ok(false);
    };
    // Who may not ask the packet filter cannot say that it is.
    Ok(firewall::is_closed(&Names::of(home, &run).table).await.unwrap_or(false))
}
