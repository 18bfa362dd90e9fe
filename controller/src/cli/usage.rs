//! `hudson usage`, `hudson report` and `hudson dashboard`: what was used, as a table, a page and a live screen.

use super::{PeriodArgs, WatchArgs};
use clap::{Args, ValueEnum};
use hudson_schema::{BottleName, RunId};
use std::path::PathBuf;

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

/// Arguments of `hudson dashboard`.
#[derive(Clone, Debug, Default, Args)]
pub struct DashboardArgs {
    /// Use no colours
    #[arg(long)]
    pub no_color: bool,
}
