//! The provider simulator: one TLS server on loopback that answers for every provider's host.
//!
//! It speaks the providers' own wire formats to their own clients, makes up text and usage from a seed, and keeps a
//! journal of what arrived. It knows nothing of Hudson's crates, so what it saw and said can judge them.

mod anthropic;
mod authority;
mod bedrock;
mod chat;
mod cohere;
mod count;
mod delivery;
mod gemini;
mod git;
mod interactions;
mod journal;
mod ollama;
mod plain;
mod realtime;
mod responses;
mod router;
mod script;
mod server;
mod side;
mod socket;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};

pub use authority::Authority;
pub use bedrock::AWS_KEYS;
pub use journal::{Entry, Journal, fingerprint};
pub use script::{Fault, Usage};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How the simulator behaves; `Options::default()` is quick, compresses when asked and invents its numbers.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything that looks random follows from this and the request.
    pub seed: u64,
    /// Pause before each event of a stream.
    pub gap: Duration,
    /// How long the `stall` fault is silent.
    pub stall: Duration,
    /// Answer with `content-encoding: gzip` when the request accepts it.
    pub gzip: bool,
    /// The usage of every answer whose request does not name its own.
    pub usage: Option<Usage>,
    /// Words (one a token) in each event of a stream.
    pub tokens_per_event: usize,
    /// Record requests; off for benchmarks.
    pub journal: bool,
    /// Record the bodies of requests and answers too.
    pub keep_bodies: bool,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that serve.
    pub workers: usize,
    /// Where to write the CA certificate; default: a file of the simulator's own scratch directory.
    pub ca_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            gap: Duration::ZERO,
            stall: Duration::from_secs(20),
            gzip: true,
            usage: None,
            tokens_per_event: 4,
            journal: true,
            keep_bodies: true,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            workers: 2,
            ca_file: None,
        }
    }
}

/// What every connection shares.
struct Shared {
    options: Options,
    journal: Journal,
    /// How often each request was seen, so that equal requests get different ids.
    repeats: Mutex<HashMap<u64, u64>>,
    /// Finished Responses by id, for retrieval.
    stored: Mutex<HashMap<String, serde_json::Value>>,
    /// Scratch directory: the CA certificate and the Git repository.
    directory: PathBuf,
}

/// A running simulator; it stops, and its files go, when this is dropped.
pub struct Simulator {
    address: SocketAddr,
    ca_file: PathBuf,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
    _directory: tempfile::TempDir,
}

impl Simulator {
    /// Starts a simulator with its own threads.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("hudson-simulator-").tempdir()?;
        let authority = authority::Authority::generate().context("making the simulator's CA")?;
        let ca_file = options.ca_file.clone().unwrap_or_else(|| directory.path().join("ca.pem"));
        std::fs::write(&ca_file, authority.ca_pem())
            .with_context(|| format!("writing {}", ca_file.display()))?;
        git::create_repository(directory.path()).context("making the simulator's Git repository")?;
        let shared = Arc::new(Shared {
            journal: Journal::new(options.journal, options.keep_bodies),
            repeats: Mutex::default(),
            stored: Mutex::default(),
            directory: directory.path().to_owned(),
            options,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(shared.options.workers.max(1))
            .enable_all()
            .build()?;
        let listener = listen(shared.options.listen, &runtime)
            .with_context(|| format!("listening on {}", shared.options.listen))?;
        let address = listener.local_addr()?;
        let tls = authority.server_config()?;
        runtime.spawn(server::serve(listener, tls, Arc::clone(&shared)));
        Ok(Self { address, ca_file, shared, runtime: Some(runtime), _directory: directory })
    }

    /// Where it listens, for TLS and for plain HTTP alike.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CA certificate that signs every host's certificate.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// What arrived so far.
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// The two facts another process needs to use this simulator.
    pub fn ready_json(&self) -> serde_json::Value {
        serde_json::json!({ "addr": self.address.to_string(), "ca_file": self.ca_file })
    }
}

/// A listener of this runtime, made without waiting for it: the caller may be asynchronous itself.
fn listen(address: SocketAddr, runtime: &tokio::runtime::Runtime) -> std::io::Result<TcpListener> {
    let _runtime = runtime.enter();
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
