//! From a parsed command line to the command: one room a command, each returning its exit code.

mod approvals;
mod audit;
mod bottle;
mod budget;
mod ca;
mod check;
mod completions;
mod credential;
mod csv;
mod dashboard;
mod dlp;
mod doctor;
mod explain;
mod ledger;
mod man;
mod meter;
mod output;
mod presets;
mod replay;
mod report;
mod run;
mod serve;
mod status;
mod usage;
mod watch;

use crate::cli::{Cli, Command, DlpCommand};
use crate::instance;
use anyhow::Result;
use hudson_schema::home::Home;
use hudson_schema::ledger::SharedLedger;

/// What every command gets.
pub(crate) struct Context {
    /// Hudson's home. It may not exist yet; commands that only read must not make it.
    pub(crate) home: Home,
    /// Whether to print JSON.
    pub(crate) json: bool,
    /// The ledger, in a process that has it open; others open it themselves.
    pub(crate) ledger: Option<SharedLedger>,
}

/// Runs a command; its exit code.
pub async fn execute(cli: Cli) -> Result<u8> {
    let home = match instance::home(cli.home) {
        // These read only what they are given, and have to work where there is no home at all.
        Err(_) if is_homeless(&cli.command) => Home::new(""),
        home => home?,
    };
    let context = Context { home, json: cli.json, ledger: None };
    match cli.command {
        Command::Run(arguments) => run::execute(&context, *arguments).await,
        Command::Up(arguments) => serve::up(&context, arguments).await,
        Command::Controller(arguments) => serve::controller(&context, arguments).await,
        Command::Proxy(arguments) => serve::proxy(&context, arguments).await,
        Command::Bottle(arguments) => bottle::execute(&context, arguments).await,
        Command::Usage(arguments) => usage::execute(&context, arguments).await,
        Command::Budget(arguments) => budget::execute(&context, arguments).await,
        Command::Approvals(arguments) => approvals::execute(&context, arguments).await,
        Command::Audit(arguments) => audit::execute(&context, arguments).await,
        Command::Check(arguments) => check::execute(&context, arguments),
        Command::Explain(arguments) => explain::execute(&context, arguments),
        Command::Meter(arguments) => meter::execute(&context, arguments),
        Command::Dlp(command) => dlp::execute(&context, command),
        Command::Presets(arguments) => presets::execute(&context, arguments),
        Command::Ca(arguments) => ca::execute(&context, arguments),
        Command::Doctor => doctor::execute(&context).await,
        Command::Dashboard(arguments) => dashboard::execute(&context, arguments).await,
        Command::Status(arguments) => status::execute(&context, arguments).await,
        Command::Report(arguments) => report::execute(&context, arguments).await,
        Command::Replay(arguments) => replay::execute(&context, arguments).await,
        Command::Completions { shell } => completions::execute(shell),
        Command::Man { directory } => man::execute(&directory),
    }
}

/// Whether a command never looks at the home.
fn is_homeless(command: &Command) -> bool {
    matches!(
        command,
        Command::Completions { .. }
            | Command::Dlp(DlpCommand::Import { .. })
            | Command::Man { .. }
            | Command::Meter(_)
            | Command::Presets(_)
            | Command::Replay(_)
    )
}
