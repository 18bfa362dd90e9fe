//! `hudson up`, `hudson controller` and `hudson proxy`: where they serve, and how they reach the world.

use clap::Args;
use hudson_proxy::dial::ConnectTo;
use hudson_schema::config::{ListenAddress, ListenSetting};
use std::path::PathBuf;

/// Arguments of `hudson up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Where it serves.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Whose place it takes.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Where it is watched.
    #[command(flatten)]
    pub metrics: MetricsArgs,
}

/// Arguments of `hudson controller`.
#[derive(Debug, Args)]
pub struct ControllerArgs {
    /// Whose place it takes.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Where it is watched.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// How webhooks are reached.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// Arguments of `hudson proxy`.
#[derive(Debug, Args)]
pub struct ProxyArgs {
    /// Where it serves.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Serve metrics here; a proxy does not take `control.metrics` of settings.yml, which is the controller's
    #[arg(long, value_name = "ADDRESS:PORT|off", default_value = "off")]
    pub metrics: ListenSetting,
}

/// The place of the one controller of a home.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Wait until no other controller of this home runs, instead of ending with exit code 4
    #[arg(long, visible_alias = "wait")]
    pub standby: bool,
}

/// Where a controller is watched.
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Serve metrics here instead of at `control.metrics` in settings.yml
    #[arg(long, value_name = "ADDRESS:PORT|off")]
    pub metrics: Option<ListenSetting>,
}

/// Where a proxy serves.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Listen here instead of `proxy.listen` in settings.yml
    #[arg(long, value_name = "ADDRESS:PORT|unix:/PATH[,mode=0660]")]
    pub listen: Vec<ListenAddress>,
    /// How upstreams are reached.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// How upstreams are reached: for tests and corporate networks.
#[derive(Clone, Debug, Default, Args)]
pub struct NetworkArgs {
    /// Dial ADDRESS:PORT for HOST:PORT; names and policy stay
    #[arg(long, value_name = "HOST:PORT:ADDRESS:PORT")]
    pub connect_to: Vec<ConnectTo>,
    /// A PEM file with certificate authorities trusted beside the system's
    #[arg(long, value_name = "FILE")]
    pub upstream_ca: Vec<PathBuf>,
    /// Written, as JSON, when it is ready
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}
