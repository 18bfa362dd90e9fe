//! `hudson run`: what is started, and where it is kept.

use super::NetworkArgs;
use super::budget::parse_budget;
use crate::container::Volume;
use clap::{Args, ValueEnum};
use hudson_schema::budget::BudgetMap;
use hudson_schema::{AgentName, BottleName, Policy};
use std::path::PathBuf;

/// Arguments of `hudson run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The bottle it runs in [default: the provider's name, else `default`]
    #[arg(long, value_name = "NAME")]
    pub bottle: Option<BottleName>,
    /// The named agent whose usage this is
    #[arg(long, value_name = "NAME")]
    pub agent: Option<AgentName>,
    /// The parent of a bottle that has no `extends`
    #[arg(long, value_name = "NAME")]
    pub parent: Option<BottleName>,
    /// The provider whose preset is added; `none` adds none [default: guessed from CMD's name]
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// A routes file instead of the bottle's own
    #[arg(long, value_name = "FILE")]
    pub routes: Option<PathBuf>,
    /// Token limits of this launch, such as `claude=200k,codex=1M`
    #[arg(long, value_name = "PROVIDER=TOKENS", value_parser = parse_budget)]
    pub budget: Vec<BudgetMap>,
    /// What happens when a budget is spent
    #[arg(long, value_name = "cutoff|freeze|kill")]
    pub on_exhausted: Option<Policy>,
    /// Write a JSON report of the run to this file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// What else than the proxy the command can reach
    #[arg(long, value_enum, default_value_t = IsolationMode::Auto, value_name = "auto|full|none")]
    pub isolation: IsolationMode,
    /// Show this file or folder to an isolated command, read-only
    #[arg(long, value_name = "PATH", conflicts_with = "image")]
    pub show: Vec<PathBuf>,
    /// A container to run it in.
    #[command(flatten)]
    pub container: ContainerArgs,
    /// Do not use a running `hudson up`
    #[arg(long)]
    pub embedded: bool,
    /// How upstreams are reached.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// The command and its arguments [with --container: default: the image's own]
    #[arg(last = true, required_unless_present = "image", value_name = "CMD")]
    pub command: Vec<std::ffi::OsString>,
}

/// A container to run the command in.
#[derive(Debug, Default, Args)]
pub struct ContainerArgs {
    /// Run the command in a container of this image, on a network of its own that leads to the proxy alone
    ///
    /// The image has to be there: nothing is pulled. The engine is the one that DOCKER_HOST=unix:///PATH names, else
    /// Docker's or Podman's usual socket. The container gets nothing of the operator's environment but what --env names.
    #[arg(long = "container", id = "image", value_name = "IMAGE")]
    pub image: Option<String>,
    /// Show this file or folder of the host, or this volume of the engine's, to the container
    #[arg(long, value_name = "SRC:DST[:ro]", requires = "image")]
    pub volume: Vec<Volume>,
    /// The container's working directory [default: the image's]
    #[arg(long, value_name = "DIR", requires = "image")]
    pub workdir: Option<String>,
    /// Whose the processes in the container are [default: the image's]
    #[arg(long, value_name = "USER[:GROUP]", requires = "image")]
    pub user: Option<String>,
    /// A variable for the container; without a value, the operator's own
    #[arg(long, value_name = "NAME[=VALUE]", requires = "image")]
    pub env: Vec<String>,
}

/// `--isolation`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum IsolationMode {
    /// As full; where the kernel refuses that, nothing is started
    Auto,
    /// Namespaces of its own: the proxy, the working directory and the system's programs are all it reaches; a container
    /// only the proxy
    Full,
    /// Everything that the operator can reach
    None,
}
