//! The command line: one definition from which parsing, help, completions and man pages come.

mod dlp;
mod period;

pub use dlp::DlpCommand;

use crate::container::Volume;
use clap::{Args, Parser, Subcommand, ValueEnum};
use hudson_proxy::dial::ConnectTo;
use hudson_schema::budget::{Amount, BudgetMap};
use hudson_schema::config::{BottleAddress, ListenAddress, ListenSetting};
use hudson_schema::{AgentName, BottleName, Format, Policy, Provider, RunId};
use std::path::PathBuf;
use std::time::Duration;

/// The egress control plane for AI agents: routes, credentials, token budgets.
#[derive(Debug, Parser)]
#[command(name = "hudson", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Hudson's home directory [default: $BOT_BOTTLE_HOME, else ~/.bot-bottle]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command as a bottle: its traffic through the proxy, its tokens under a budget
    Run(Box<RunArgs>),
    /// Serve: proxy and controller in one process, for bottles of this host
    Up(UpArgs),
    /// Budgets, enforcement, notifications and the control socket for all bottles of this host, without a proxy
    ///
    /// One controller acts at a time; what one leaves undone the next one takes up. Proxies keep hard limits meanwhile.
    Controller(ControllerArgs),
    /// Serve the proxy alone, as a sidecar (EGRESS_ROUTES names the routes file)
    Proxy(ProxyArgs),
    /// Bottles: add one for a container started elsewhere, list, show
    #[command(subcommand)]
    Bottle(BottleCommand),
    /// Token usage by bottle, agent, provider, host, model, run, day or quality
    Usage(UsageArgs),
    /// Budgets: what is left, and setting limits while Hudson runs
    #[command(subcommand)]
    Budget(BudgetCommand),
    /// What was decided and charged: read it, verify that nobody has touched it, export it
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Validate settings, bottles and routes
    ///
    /// Files in order are listed on standard output, faults with file, line and column on standard error; the exit code
    /// is 2 when there is a fault.
    Check(CheckArgs),
    /// Say which route decides about a request, and why
    ///
    /// Nothing is sent and no name is resolved. The exit code is 0 when the request is allowed and 1 when it is refused.
    Explain(ExplainArgs),
    /// Print the token usage that recorded responses report
    Meter(MeterArgs),
    /// What must not leave: find it in files, test and measure the rules, explain a finding, take rules over
    #[command(subcommand)]
    Dlp(DlpCommand),
    /// Print the routes that a provider's preset adds
    #[command(subcommand)]
    Presets(PresetsCommand),
    /// The interception CA
    #[command(subcommand)]
    Ca(CaCommand),
    /// Live runs, blocks, enforcement, configuration
    Status(WatchArgs),
    /// Look at everything that a bottle needs, and say what mends what is wrong
    ///
    /// Home, files, CA, whether the clients that are installed trust it, ledger, listeners, container engine, kernel and
    /// clock. Each client is started once, in a folder of its own, with dummy keys and with a proxy that is this program.
    /// Nothing is changed. The exit code is 1 when something has failed.
    Doctor,
    /// Bottles, budgets and events on one live screen, with keys to cut off, resume, kill and change budgets
    ///
    /// It reads the ledger, and writes to it only when an order is confirmed. `?` shows the keys. Colours are left out
    /// with `--no-color` or the variable NO_COLOR.
    Dashboard(DashboardArgs),
    /// Write one HTML page with charts of what was used, left and stopped
    ///
    /// It is about the last 30 days, unless --since says otherwise. The page holds all that it needs: no script, no request,
    /// for light and dark screens and for paper. Days are days of UTC.
    Report(ReportArgs),
    /// Serve recorded provider streams over TLS, for any host's name
    ///
    /// A request is answered by a recording of the same host, method and target, best one of the same body; the
    /// header `x-hudson-replay: ID` picks one.
    Replay(ReplayArgs),
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages
    Man {
        /// The folder they are written to
        directory: PathBuf,
    },
}

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

/// `hudson bottle …`
#[derive(Debug, Subcommand)]
pub enum BottleCommand {
    /// Give a bottle started elsewhere a proxy URL and an environment
    Add(BottleAddArgs),
    /// List bottles
    List(WatchArgs),
    /// Show one bottle
    Show {
        /// Its name
        name: BottleName,
    },
    /// Let nothing out of a bottle, and end what it has in flight, until it is resumed
    ///
    /// What runs in it goes on. Every proxy of this home sees the order within 50 ms.
    Cutoff(StopArgs),
    /// Save what runs in a bottle and stop it, let nothing out of it, and start nothing in it, until it is resumed
    ///
    /// Processes are frozen where they are. A container is saved as an image and stopped.
    Freeze(StopArgs),
    /// Kill what runs in a bottle, and let nothing out of it
    Kill(StopArgs),
    /// Lift what operators have ordered for a bottle, and bring back what is frozen
    ///
    /// A bottle that a spent budget stopped goes on when its limit is raised: see `hudson budget set`. One that it froze is
    /// brought back by this after that.
    Resume {
        /// Its name
        name: BottleName,
    },
    /// End what `bottle add` began: the bottle's credentials are worth nothing from then on
    ///
    /// Its files stay, and so does what it used.
    Remove {
        /// Its name
        name: BottleName,
    },
}

/// Arguments of `hudson bottle cutoff`, `freeze` and `kill`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// The bottle's name
    pub name: BottleName,
    /// Why: it is told to the agent, and stands in the audit
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Arguments of `hudson bottle add`.
#[derive(Debug, Args)]
pub struct BottleAddArgs {
    /// The bottle's name
    pub name: BottleName,
    /// The named agent whose usage this is
    #[arg(long, value_name = "NAME")]
    pub agent: Option<AgentName>,
    /// The parent of a bottle that has no `extends`
    #[arg(long, value_name = "NAME")]
    pub parent: Option<BottleName>,
    /// The provider whose preset is added
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// Token limits of this launch
    #[arg(long, value_name = "PROVIDER=TOKENS", value_parser = parse_budget)]
    pub budget: Vec<BudgetMap>,
    /// What happens when a budget is spent
    #[arg(long, value_name = "cutoff|freeze|kill")]
    pub on_exhausted: Option<Policy>,
    /// Listen here too, for this bottle's clients alone, which need no credentials there: an address of this host in the
    /// bottle's own network, or a socket that only the bottle can open
    #[arg(long, value_name = "ADDRESS:PORT|unix:/PATH[,mode=0660]")]
    pub listen: Option<BottleAddress>,
    /// The container that it runs in, by its name or id: a budget and `hudson bottle freeze`, `kill` and `resume` act on it
    ///
    /// Its networks stay as they are: close them yourself, or start it with `hudson run --container`.
    #[arg(long, value_name = "ID")]
    pub container: Option<String>,
}

/// Arguments of `hudson dashboard`.
#[derive(Clone, Debug, Default, Args)]
pub struct DashboardArgs {
    /// Use no colours
    #[arg(long)]
    pub no_color: bool,
}

/// Arguments of `hudson usage`.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// The columns to sum by
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["bottle", "provider"])]
    pub by: Vec<UsageBy>,
    /// Only this bottle
    #[arg(long, value_name = "NAME")]
    pub bottle: Option<BottleName>,
    /// Only this run
    #[arg(long, value_name = "ID")]
    pub run: Option<RunId>,
    /// Which time it is about.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// Print each response instead of sums
    #[arg(long)]
    pub rows: bool,
    /// Print comma-separated values (RFC 4180), for spreadsheets
    ///
    /// Texts that a spreadsheet would take for a formula have an apostrophe put in front.
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    pub csv: bool,
    /// Whether it goes on.
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// Arguments of `hudson report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Which time it is about.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// Only this bottle
    #[arg(long, value_name = "NAME")]
    pub bottle: Option<BottleName>,
    /// The page; `-` for standard output
    #[arg(long, short, value_name = "FILE", default_value = "hudson-report.html")]
    pub output: PathBuf,
}

/// `--since` and `--until`.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct PeriodArgs {
    /// Only what began on or after this day (UTC) or instant, such as 2026-11-01 or 2026-11-01T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = period::since)]
    pub since: Option<i64>,
    /// Only what began before the end of this day (UTC), or before this instant
    #[arg(long, value_name = "TIME", value_parser = period::until)]
    pub until: Option<i64>,
}

impl PeriodArgs {
    /// Reads what stands elsewhere than on the command line; what is wrong names the field.
    pub fn read(since: Option<&str>, until: Option<&str>) -> Result<Self, String> {
        let read = |name: &str, text: Option<&str>, read: fn(&str) -> Result<i64, String>| {
            text.map(|text| read(text).map_err(|why| format!("{name} {text:?}: {why}"))).transpose()
        };
        Ok(Self { since: read("since", since, period::since)?, until: read("until", until, period::until)? })
    }
}

/// `--watch`.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct WatchArgs {
    /// Go on and show it anew whenever it has changed, which is looked at every SECONDS too [default: 1]
    ///
    /// On a terminal it is redrawn in place; elsewhere, and with --json, it is printed again. Ctrl-C ends it.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = period::seconds)]
    pub watch: Option<Duration>,
}

/// A column of `hudson usage`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum UsageBy {
    /// The agent.
    Agent,
    /// The bottle.
    Bottle,
    /// The UTC day.
    Day,
    /// The host.
    Host,
    /// The model.
    Model,
    /// The provider.
    Provider,
    /// How the numbers were come by.
    Quality,
    /// The run.
    Run,
}

/// `hudson budget …`
#[derive(Debug, Subcommand)]
pub enum BudgetCommand {
    /// Show every limit, what is spent and what is left
    Show {
        /// Only limits that govern this bottle
        #[arg(long, value_name = "NAME")]
        bottle: Option<BottleName>,
        /// Whether it goes on.
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Set limits in place of those of the files and the launch, at once and for every running Hudson of this home
    ///
    /// Raising a limit lifts the cutoff that it caused. Lowering it below what is spent stops what it governs.
    Set {
        /// Where the limits stand.
        #[command(flatten)]
        scope: ScopeArgs,
        /// Token limits, such as `claude=200k codex=1M`; `any` counts every provider together
        #[arg(required = true, value_name = "PROVIDER=TOKENS", value_parser = parse_budget)]
        limits: Vec<BudgetMap>,
    },
    /// Take back what was set: the limits of the files and the launch hold again
    Clear {
        /// Where the limits stand.
        #[command(flatten)]
        scope: ScopeArgs,
        /// Whose limits [default: every one that was set there]
        #[arg(value_name = "PROVIDER")]
        providers: Vec<Provider>,
    },
}

/// Where a limit stands; without any of these, for the whole host.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub struct ScopeArgs {
    /// All usage of this bottle
    #[arg(long, value_name = "NAME")]
    pub bottle: Option<BottleName>,
    /// All usage of this named agent
    #[arg(long, value_name = "NAME")]
    pub agent: Option<AgentName>,
    /// This bottle and every bottle below it together
    #[arg(long, value_name = "NAME")]
    pub parent: Option<BottleName>,
    /// This run
    #[arg(long, value_name = "ID")]
    pub run: Option<RunId>,
}

/// `hudson audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Print the last rows
    Tail {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
        lines: u32,
        /// Go on printing what comes
        #[arg(short, long)]
        follow: bool,
    },
    /// Follow the chain of hashes from its beginning, and name the first row that was touched
    ///
    /// The exit code is 1 when there is one. Rows that were cut off at the end leave a sound chain: who keeps the hash
    /// that this prints, away from this host, and gives it next time, sees that too.
    Verify {
        /// A hash that an earlier `verify` has printed; it has to be in the chain
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
    /// Print every row as a line of JSON
    Export,
}

/// Arguments of `hudson check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files to validate [default: everything in the home directory]
    pub files: Vec<PathBuf>,
}

/// Arguments of `hudson explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The method, such as GET
    pub method: String,
    /// The URL
    pub url: String,
    /// The bottle that asks
    #[arg(long, value_name = "NAME")]
    pub bottle: BottleName,
    /// A routes file instead of the bottle's own
    #[arg(long, value_name = "FILE")]
    pub routes: Option<PathBuf>,
    /// The provider whose preset is added
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// A request header, `name: value`
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    pub headers: Vec<String>,
}

/// Arguments of `hudson meter`.
#[derive(Debug, Args)]
pub struct MeterArgs {
    /// The host that answered, to find provider and format by
    #[arg(long, requires = "target", conflicts_with = "format")]
    pub host: Option<String>,
    /// The path and query that were asked
    #[arg(long, requires = "host")]
    pub target: Option<String>,
    /// The format
    #[arg(long, required_unless_present = "host", value_name = "FORMAT")]
    pub format: Option<Format>,
    /// The response's Content-Type [default: guessed from the bytes]
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// The response's Content-Encoding
    #[arg(long, value_name = "CODING")]
    pub content_encoding: Option<String>,
    /// The recorded response bodies; `-` for standard input
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

/// `hudson presets …`
#[derive(Debug, Subcommand)]
pub enum PresetsCommand {
    /// List the presets
    List,
    /// Print a preset as YAML
    Show {
        /// Its name
        name: String,
    },
}

/// `hudson ca …`
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Print where the CA's certificate and the client bundle are
    Path,
    /// Make a new CA; running proxies and clients keep the old one until restarted
    Rotate,
}

/// Arguments of `hudson replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A folder with `manifest.jsonl` and the recorded bodies
    pub directory: PathBuf,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    pub listen: std::net::SocketAddr,
    /// Where the certificate authority of the replay server is written
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Milliseconds between two events of a stream
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub gap: u64,
    /// Written, as JSON, when it listens
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// Reads `claude=200k,codex=1M`.
fn parse_budget(text: &str) -> Result<BudgetMap, String> {
    let mut budget = BudgetMap::new();
    for part in text.split(',') {
        let (provider, amount) = part
            .split_once('=')
            .ok_or_else(|| format!("{part:?} is not PROVIDER=TOKENS, such as claude=200k"))?;
        let provider: Provider = provider.trim().parse().map_err(|error| format!("{error}"))?;
        let amount: Amount = amount.trim().parse().map_err(|error| format!("{error}"))?;
        if budget.insert(provider.clone(), amount).is_some() {
            return Err(format!("{provider} is given twice"));
        }
    }
    Ok(budget)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn budgets_read_as_documented() {
        let budget = parse_budget("claude=200k,codex=1M").unwrap();
        assert_eq!(budget.values().map(|amount| amount.0).collect::<Vec<_>>(), [200_000, 1_000_000]);
        for bad in ["", "claude", "claude=x", "claude=1,claude=2", "=1"] {
            assert!(parse_budget(bad).is_err(), "{bad}");
        }
    }
}
