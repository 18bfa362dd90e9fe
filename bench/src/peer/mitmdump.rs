//! mitmdump, the proxy that most agent tooling is built on. It buffers whole answers by default; event streams are passed
//! on as they come, as anybody would set it who puts an agent behind it.

use super::Site;
use super::program::{find, write_bundle};
use crate::child::Ready;
use crate::client::{Port, Way};
use crate::process::Process;
use anyhow::{Context as _, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ADDON: &str = include_str!("mitmdump.py");

/// The one that is installed.
pub(super) fn program() -> Option<PathBuf> {
    find("MITMDUMP", "mitmdump")
}

/// Starts it.
pub(super) fn start(site: &Site<'_>, scratch: &Path) -> Result<(Process, Way)> {
    let program = program().context("mitmdump is not installed")?;
    std::fs::create_dir_all(scratch).with_context(|| format!("making {}", scratch.display()))?;
    let file = |name: &str| scratch.join(name);
    std::fs::write(file("addon.py"), ADDON)?;
    std::fs::write(file("told.json"), serde_json::to_vec(&site.origin.upstream())?)?;
    write_bundle(site.origin, &file("upstream.pem"))?;

    let set = |option: &str, value: &Path| format!("{option}={}", value.display());
    let mut command = Command::new(program);
    command.args(["--quiet", "--listen-host", "127.0.0.1", "--listen-port", "0"]);
    command.arg("--scripts").arg(file("addon.py"));
    command.arg("--set").arg(set("confdir", &file("home")));
    command.arg("--set").arg(set("ssl_verify_upstream_trusted_ca", &file("upstream.pem")));
    command.env("HUDSON_BENCH_TOLD", file("told.json")).env("HUDSON_BENCH_READY", file("ready.json"));
    let log = File::create(file("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let started = Process::start::<Ready>("mitmdump", &mut command, &file("ready.json"), &site.cpus.peer);
    let (process, ready) =
        started.with_context(|| std::fs::read_to_string(file("log")).unwrap_or_default())?;
    Ok((process, Way::open(ready.address, Port::Https, &ready.ca_file)?))
}
