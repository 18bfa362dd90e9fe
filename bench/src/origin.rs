//! The upstream, in a process of its own so that its CPU is not the client's: the provider simulator, and beside it a
//! server that says when it sent what.
//!
//! The simulator answers metered calls and bursts in the provider's own shape. It cannot tell when it sent an event, and
//! it frames 1 KiB as a stream of unknown length; the stamped server does these two.

mod stamped;
mod tls;

use crate::process::Process;
use anyhow::{Context as _, Result};
use hudson_tests::simulator::{Options, Simulator};
use serde_json::{Value, json};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Answered by the simulator, and metered by the catalogue.
pub(crate) const PROVIDER: &str = "api.anthropic.com";
/// Answered by the stamped server, and not metered.
pub(crate) const PLAIN: &str = "plain.example.com";
/// Answered by the stamped server, and metered by the route.
pub(crate) const PACED: &str = "paced.example.com";

/// What one stamped stream reports as its usage.
pub(crate) const PACED_TOKENS: u64 = stamped::INPUT + stamped::EVENTS;

/// The running upstream.
#[derive(Debug)]
pub(crate) struct Origin {
    _process: Process,
    /// Where each host is.
    pub(crate) hosts: [(&'static str, SocketAddr); 3],
    /// The authorities that signed the upstreams' certificates.
    pub(crate) ca_files: [PathBuf; 2],
}

impl Origin {
    /// Starts this very program as the upstream.
    pub(crate) fn start(scratch: &Path) -> Result<Self> {
        let ready = scratch.join("origin.json");
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        command.arg("--serve-origin").arg(&ready).stdin(Stdio::piped()).stdout(Stdio::null());
        let (process, told) = Process::start("the upstream", &mut command, &ready)?;
        let text = |key: &str| {
            let value = told.get(key).and_then(Value::as_str);
            value.with_context(|| format!("the upstream does not tell {key}: {told}"))
        };
        let (simulator, stamped) = (text("simulator")?.parse()?, text("stamped")?.parse()?);
        Ok(Self {
            hosts: [(PROVIDER, simulator), (PLAIN, stamped), (PACED, stamped)],
            ca_files: [text("simulator_ca")?.into(), text("stamped_ca")?.into()],
            _process: process,
        })
    }

    /// Where a host is.
    pub(crate) fn address(&self, host: &str) -> Result<SocketAddr> {
        let found = self.hosts.iter().find(|(name, _)| *name == host);
        found.map(|(_, address)| *address).with_context(|| format!("no upstream is {host}"))
    }
}

/// Serves until standard input ends, which it does when the client does, however that comes.
pub(crate) fn serve(ready: &Path) -> Result<()> {
    let simulator = Simulator::start(Options {
        gzip: false,
        journal: false,
        keep_bodies: false,
        workers: 1,
        ..Options::default()
    })?;
    let authority = tls::Authority::generate(&[PLAIN, PACED])?;
    let ca_file = ready.with_extension("ca.pem");
    std::fs::write(&ca_file, &authority.ca_pem).with_context(|| format!("writing {}", ca_file.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))?;
    let told = json!({
        "simulator": simulator.address().to_string(),
        "simulator_ca": simulator.ca_file(),
        "stamped": listener.local_addr()?.to_string(),
        "stamped_ca": ca_file,
    });
    runtime.spawn(stamped::serve(listener, authority.config));
    // In one step, so that a reader never sees half a file.
    let partial = ready.with_extension("partial");
    std::fs::write(&partial, told.to_string())
        .and_then(|()| std::fs::rename(&partial, ready))
        .with_context(|| format!("writing {}", ready.display()))?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    runtime.shutdown_background();
    Ok(())
}
