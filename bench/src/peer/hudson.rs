//! Hudson as a peer: the built binary, `hudson up` in a home of its own, one bottle under hard budgets in every scope that
//! can have one, and one under none.

use crate::client::Way;
use crate::origin::{PACED, PLAIN, UNLOOKED, UNMETERED};
use crate::peer::Site;
use crate::process::Process;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Enough for every request of every run, so that a hold is always placed and never refused.
const BUDGET: &str = "claude=1000000000000";
/// The defaults are for one person's agents; thousands of idle tunnels are only ever a benchmark. Every budget is asked:
/// the run's, and of its bottle and that one's parent the provider's and that of all.
const SETTINGS: &str = "mode: hard
precedence: all
bottles:
  bench: {budget: {claude: 1000000000000, any: 1000000000000}}
  base: {budget: {claude: 1000000000000, any: 1000000000000}}
proxy: {max_tunnels: 100000, max_tunnels_per_bottle: 100000}
";

/// Where a running Hudson keeps what it counted.
#[derive(Debug)]
pub(super) struct Ledger {
    binary: PathBuf,
    home: PathBuf,
}

/// Starts `hudson up` with one bottle.
pub(super) fn start(site: &Site<'_>, scratch: &Path) -> Result<(Process, [Way; 2], Ledger)> {
    let binary = site.hudson.context("no hudson was built")?.to_owned();
    let home = scratch.join("home");
    write_home(&home)?;
    let (ready, log) = (scratch.join("hudson.json"), scratch.join("hudson.log"));
    let mut command = quiet(&binary, &home);
    command.args(["up", "--listen", "127.0.0.1:0"]).arg("--ready-file").arg(&ready);
    for (host, address) in site.origin.hosts {
        command.arg("--connect-to").arg(format!("{host}:443:{}:{}", address.ip(), address.port()));
    }
    for file in &site.origin.ca_files {
        command.arg("--upstream-ca").arg(file);
    }
    command.stdout(Stdio::null()).stderr(File::create(&log)?);
    let started = Process::start::<Value>("hudson up", &mut command, &ready, &site.cpus.peer);
    let (process, _) = started.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;

    let ledger = Ledger { binary, home };
    let budgeted = ledger.add(&["bench", "--parent", "base", "--budget", BUDGET])?;
    let unbudgeted = ledger.add(&["free"])?;
    Ok((process, [budgeted, unbudgeted], ledger))
}

impl Ledger {
    /// The way of a new bottle.
    fn add(&self, words: &[&str]) -> Result<Way> {
        let mut add = quiet(&self.binary, &self.home);
        add.args(["bottle", "add", "--json", "--provider", "claude"]).args(words);
        let told = json_of(&mut add)?;
        let text = |key: &str| {
            // What was told holds a password.
            told.get(key)
                .and_then(Value::as_str)
                .with_context(|| format!("`hudson bottle add` tells no {key}"))
        };
        Way::through(text("proxy_url")?, Path::new(text("ca_file")?))
    }

    /// An error unless the ledger holds exactly the tokens that went through: a proxy that skips its work is quick.
    pub(super) fn audit(&self, tokens: u64) -> Result<()> {
        let told = json_of(quiet(&self.binary, &self.home).args(["usage", "--json", "--by", "bottle"]))?;
        let counted = total(&told);
        ensure!(counted == tokens, "hudson's ledger holds {counted} tokens, {tokens} went through: {told}");
        Ok(())
    }
}

/// Every `total` of an answer of `hudson usage`, together.
fn total(told: &Value) -> u64 {
    match told {
        Value::Array(rows) => rows.iter().map(total).sum(),
        Value::Object(row) => match row.get("total").and_then(Value::as_u64) {
            Some(tokens) => tokens,
            None => row.values().map(total).sum(),
        },
        _ => 0,
    }
}

fn write_home(home: &Path) -> Result<()> {
    let bottle = home.join("bottles/bench");
    // The provider's own host comes with the preset, and with it the credential that Hudson puts on.
    let routes = format!(
        "routes:\n  - host: {PLAIN}\n  - host: {PACED}\n    meter: {{provider: claude, format: anthropic}}\n  \
         - host: {UNMETERED}\n    meter: off\n  - host: {UNLOOKED}\n    \
         dlp: {{outbound_detectors: false, inbound_detectors: false}}\n"
    );
    std::fs::create_dir_all(&bottle)
        .and_then(|()| std::fs::create_dir_all(home.join("bottles/base")))
        .and_then(|()| std::fs::write(bottle.join("routes.yaml"), routes))
        .and_then(|()| std::fs::write(home.join("settings.yml"), SETTINGS))
        .with_context(|| format!("writing {}", home.display()))
}

/// `hudson` without standard input and without the proxy and budget settings of whoever runs the benchmark.
fn quiet(binary: &Path, home: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().env("HOME", home).env("BOT_BOTTLE_HOME", home).stdin(Stdio::null());
    command.env("ANTHROPIC_API_KEY", "sk-ant-the-operators-own");
    command
}

fn json_of(command: &mut Command) -> Result<Value> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?} prints no JSON"))
}

/// The program that is measured: `$HUDSON_BIN`, else built as a release.
pub(crate) fn binary() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("HUDSON_BIN") {
        return Ok(binary.into());
    }
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--quiet", "--locked", "--package", "hudson-controller"]);
    command.args(["--bin", "hudson", "--message-format", "json-render-diagnostics"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit());
    let output = command.output().context("building hudson; or name one with HUDSON_BIN")?;
    ensure!(output.status.success(), "hudson does not build");
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let hudson = message.get("target")?.get("name")?.as_str()? == "hudson";
        hudson.then(|| message.get("executable")?.as_str().map(PathBuf::from)).flatten()
    });
    executable.context("cargo does not name the hudson that it built")
}
