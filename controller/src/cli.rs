//! The command line: one definition from which parsing, help, completions and man pages come.
//!
//! This file names the subcommands; what each of them takes is said in the room of its own below.

mod approvals;
mod audit;
mod bottle;
mod budget;
mod dlp;
mod period;
mod policy;
mod recording;
mod run;
mod serve;
mod usage;

pub use approvals::{ApprovalRef, ApprovalsCommand, ApproveArgs, GrantArgs, RevokeRef};
pub use audit::AuditCommand;
pub use bottle::{BottleAddArgs, BottleCommand, StopArgs};
pub use budget::{BudgetCommand, ScopeArgs};
pub use dlp::DlpCommand;
pub use period::{PeriodArgs, WatchArgs};
pub use policy::{CheckArgs, ExplainArgs, PresetsCommand};
pub use recording::{MeterArgs, ReplayArgs};
pub use run::{ContainerArgs, IsolationMode, RunArgs};
pub use serve::{ControllerArgs, MetricsArgs, NetworkArgs, PlaceArgs, ProxyArgs, ServeArgs, UpArgs};
pub use usage::{DashboardArgs, ReportArgs, UsageArgs, UsageBy};

use clap::{Parser, Subcommand};
use std::path::PathBuf;

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
    /// Approvals: what waits for a person, deciding it, and permissions that stand for longer
    ///
    /// Who decides is the user that runs this: `approvals.approvers.unix_uid`, or the home's owner. From inside of a bottle
    /// nothing is decided.
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
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

/// `hudson ca …`
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Print where the CA's certificate and the client bundle are
    Path,
    /// Make a new CA; running proxies and clients keep the old one until restarted
    Rotate,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }
}
