//! Hudson's control plane: the `hudson` command, bottles and their runs, enforcement, presets.
//!
//! Invariant: every command ends in one exit code of [`exit`], after one clear error on standard error; nothing is
//! written for input that is refused.

pub mod approvals;
mod budgets;
mod callbacks;
mod cgroup;
pub mod cli;
mod command;
mod confirm;
pub mod container;
mod control;
mod controller;
mod dashboard;
pub mod dlp;
mod enforce;
mod environment;
mod events;
pub mod exit;
mod hearing;
mod instance;
mod isolate;
mod key;
mod launch;
mod limits;
mod metrics;
mod network;
mod notify;
pub mod place;
pub mod presets;
mod process;
mod register;
mod reload;
mod report;
mod runs;
mod settings;
mod sidecar;
mod supervise;

use clap::Parser;
use cli::Cli;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the `hudson` command with these arguments, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(code) = isolate::inside(&arguments).or_else(|| cgroup::join(&arguments)) {
        return code;
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors and go to standard output.
            let code = if error.use_stderr() { exit::USAGE } else { exit::OK };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    hudson_proxy::keep_panics_silent();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("hudson: cannot start: {error}");
            return ExitCode::from(exit::FAILED);
        }
    };
    let result = runtime.block_on(command::execute(cli));
    // Blocking work, such as a resolver that hangs, must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("hudson: {error:#}");
            ExitCode::from(exit::code_of(&error))
        }
    }
}
