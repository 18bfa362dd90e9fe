//! This very program in another role: the upstream, or a peer that is a part of the benchmark. Each is a process of its
//! own, so that its CPU time and its memory are nobody else's.
//!
//! Invariant: a child ends when its standard input does, which is when its parent ends, however that comes.

use crate::cpus::Place;
use crate::process::Process;
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tokio::runtime::Runtime;

/// What a child is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Role {
    /// The upstream.
    Origin,
    /// The byte relay.
    Relay,
    /// hudsucker.
    Hudsucker,
}

/// What a peer of the benchmark's own has to know about the upstream.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Upstream {
    /// Where each host is.
    pub(crate) hosts: BTreeMap<String, SocketAddr>,
    /// Whom to trust as the signer of its certificates.
    pub(crate) ca_files: Vec<PathBuf>,
}

/// What such a peer tells when it is ready.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Ready {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Whom its clients have to trust.
    pub(crate) ca_file: PathBuf,
}

/// Starts a child in `scratch` and waits for what it tells.
pub(crate) fn start<T: DeserializeOwned>(
    role: Role,
    scratch: &Path,
    told: &impl Serialize,
    place: &Place,
) -> Result<(Process, T)> {
    let name = match role {
        Role::Origin => "the upstream",
        Role::Relay => "the relay",
        Role::Hudsucker => "hudsucker",
    };
    std::fs::create_dir_all(scratch).with_context(|| format!("making {}", scratch.display()))?;
    let ready = scratch.join("ready.json");
    std::fs::write(told_file(&ready), serde_json::to_vec(told)?)?;
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.arg("--serve").arg(role.to_possible_value().context("a role has a name")?.get_name());
    command.arg("--ready").arg(&ready).stdin(Stdio::piped()).stdout(Stdio::null());
    Process::start(name, &mut command, &ready, place)
}

/// In the child: what it was told.
pub(crate) fn told<T: DeserializeOwned>(ready: &Path) -> Result<T> {
    let file = told_file(ready);
    let text = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not as expected", file.display()))
}

/// In the child: says that it is ready, and keeps `runtime` going until the parent ends.
pub(crate) fn serve_until_orphaned(ready: &Path, tells: &impl Serialize, runtime: Runtime) -> Result<()> {
    // In one step, so that a reader never sees half a file.
    let partial = ready.with_extension("partial");
    std::fs::write(&partial, serde_json::to_vec(tells)?)
        .and_then(|()| std::fs::rename(&partial, ready))
        .with_context(|| format!("writing {}", ready.display()))?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    runtime.shutdown_background();
    Ok(())
}

/// In the child: writes the certificate that its clients have to trust.
pub(crate) fn write_ca(ready: &Path, pem: &str) -> Result<PathBuf> {
    let file = ready.with_extension("ca.pem");
    std::fs::write(&file, pem).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

fn told_file(ready: &Path) -> PathBuf {
    ready.with_extension("told.json")
}
