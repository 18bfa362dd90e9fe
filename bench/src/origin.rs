//! The upstream, in a process of its own so that its CPU is not the client's: the provider simulator, and beside it a
//! server that says when it sent what.
//!
//! The simulator answers metered calls and bursts in the provider's own shape. It cannot tell when it sent an event, and
//! it frames 1 KiB as a stream of unknown length; the stamped server does these two.

mod stamped;

use crate::authority::Authority;
use crate::child::{self, Role, Upstream};
use crate::cpus::Place;
use crate::process::Process;
use anyhow::{Context as _, Result};
use hudson_tests::simulator::{Options, Simulator};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Answered by the simulator, and metered by the catalogue.
pub(crate) const PROVIDER: &str = "api.anthropic.com";
/// Answered by the stamped server, and not metered.
pub(crate) const PLAIN: &str = "plain.example.com";
/// Answered by the stamped server, and metered by the route.
pub(crate) const PACED: &str = "paced.example.com";

/// The same without the meter: its route says so.
pub(crate) const UNMETERED: &str = "unmetered.example.com";

/// Answered by the stamped server, neither metered nor looked at: its route switches DLP off.
pub(crate) const UNLOOKED: &str = "unlooked.example.com";

/// What one stamped stream reports as its usage.
pub(crate) const PACED_TOKENS: u64 = stamped::INPUT + stamped::EVENTS;

/// The running upstream.
#[derive(Debug)]
pub(crate) struct Origin {
    _process: Process,
    /// Where each host is.
    pub(crate) hosts: [(&'static str, SocketAddr); 5],
    /// The authorities that signed the upstreams' certificates.
    pub(crate) ca_files: [PathBuf; 2],
}

/// What the upstream tells when it is ready.
#[derive(Deserialize, Serialize)]
struct Ready {
    simulator: SocketAddr,
    simulator_ca: PathBuf,
    stamped: SocketAddr,
    stamped_ca: PathBuf,
}

impl Origin {
    /// Starts this very program as the upstream.
    pub(crate) fn start(scratch: &Path, place: &Place) -> Result<Self> {
        let (process, ready) = child::start(Role::Origin, &scratch.join("origin"), &(), place)?;
        let Ready { simulator, simulator_ca, stamped, stamped_ca } = ready;
        Ok(Self {
            hosts: [
                (PROVIDER, simulator),
                (PLAIN, stamped),
                (PACED, stamped),
                (UNMETERED, stamped),
                (UNLOOKED, stamped),
            ],
            ca_files: [simulator_ca, stamped_ca],
            _process: process,
        })
    }

    /// Where a host is.
    pub(crate) fn address(&self, host: &str) -> Result<SocketAddr> {
        let found = self.hosts.iter().find(|(name, _)| *name == host);
        found.map(|(_, address)| *address).with_context(|| format!("no upstream is {host}"))
    }

    /// The same for a peer that is a part of the benchmark.
    pub(crate) fn upstream(&self) -> Upstream {
        let hosts = self.hosts.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
        Upstream { hosts, ca_files: self.ca_files.to_vec() }
    }
}

/// In the child: serves until the benchmark ends.
pub(crate) fn serve(ready: &Path) -> Result<()> {
    let simulator = Simulator::start(Options {
        gzip: false,
        journal: false,
        keep_bodies: false,
        workers: 1,
        ..Options::default()
    })?;
    let authority = Authority::generate("Hudson benchmark upstream")?;
    let config = authority.server(&[PLAIN, PACED, UNMETERED, UNLOOKED])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))?;
    let tells = Ready {
        simulator: simulator.address(),
        simulator_ca: simulator.ca_file().to_owned(),
        stamped: listener.local_addr()?,
        stamped_ca: child::write_ca(ready, &authority.ca_pem)?,
    };
    runtime.spawn(stamped::serve(listener, config));
    child::serve_until_orphaned(ready, &tells, runtime)
}
