//! A run's own network: a bridge of the engine's with nothing on it but the bottle and the host's gateway address.

use super::engine::found;
use super::{AGENT, BOTTLE, Engine, HOME, Names, RUN};
use anyhow::{Context, Result};
use bollard::models::NetworkCreateRequest;
use hudson_schema::home::Home;
use hudson_schema::{AgentName, BottleName, RunId};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};

/// A network that was made.
#[derive(Clone, Debug)]
pub struct Network {
    /// The host's address on it.
    pub gateway: Ipv4Addr,
}

impl Network {
    /// Makes it.
    pub async fn make(engine: &Engine, names: &Names, labels: HashMap<String, String>) -> Result<Self> {
        let name = &names.container;
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            // Podman gives the host no address on an internal network, and so no place for the proxy's listener; there the
            // packet filter alone closes it.
            internal: Some(!engine.podman),
            enable_ipv6: Some(false),
            options: Some(HashMap::from([(
                "com.docker.network.bridge.name".to_owned(),
                names.bridge.clone(),
            )])),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        };
        engine.ask(format!("making the network {name}"), engine.docker().create_network(request)).await?;
        let made = engine
            .ask(format!("looking at the network {name}"), engine.docker().inspect_network(name, None))
            .await?;
        let gateway = made
            .ipam
            .and_then(|ipam| ipam.config)
            .into_iter()
            .flatten()
            .filter_map(|config| config.gateway)
            // Some versions write the prefix behind it.
            .find_map(|gateway| gateway.split('/').next()?.parse().ok())
            .with_context(|| format!("the engine gave the network {name} no gateway address"))?;
        Ok(Self { gateway })
    }

    /// Listens where the bottle finds the proxy: on the host's address of this network, at any free port.
    pub fn listen(&self, engine: &Engine) -> Result<TcpListener> {
        let listening = || -> std::io::Result<TcpListener> {
            let any = SocketAddr::from(SocketAddrV4::new(self.gateway, 0));
            let socket =
                rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)?;
            rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
            // Podman makes the interface with the first container; the address is not there yet.
            rustix::net::sockopt::set_ip_freebind(&socket, engine.podman)?;
            rustix::net::bind(&socket, &any)?;
            rustix::net::listen(&socket, 1024)?;
            Ok(TcpListener::from(socket))
        };
        listening().with_context(|| {
            format!(
                "the engine at {} keeps its networks where this host has no address ({}): engines in a virtual machine \
                 cannot be used",
                engine.socket().display(),
                self.gateway
            )
        })
    }

    /// Removes a network; one that is not there is no error.
    pub async fn remove(engine: &Engine, name: &str) -> Result<()> {
        let removed =
            engine.ask(format!("removing the network {name}"), engine.docker().remove_network(name)).await;
        Ok(found(removed).map(drop)?)
    }
}

/// What everything that is made for a run is labelled with.
pub fn labels(
    home: &Home,
    run: &RunId,
    bottle: &BottleName,
    agent: Option<&AgentName>,
) -> HashMap<String, String> {
    let mut labels = HashMap::from([
        (RUN.to_owned(), run.to_string()),
        (BOTTLE.to_owned(), bottle.to_string()),
        (HOME.to_owned(), home.path().display().to_string()),
    ]);
    labels.extend(agent.map(|agent| (AGENT.to_owned(), agent.to_string())));
    labels
}
