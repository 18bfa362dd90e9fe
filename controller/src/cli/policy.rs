//! `hudson check`, `hudson explain` and `hudson presets`: what the files say, without a request.

use clap::{Args, Subcommand};
use hudson_schema::BottleName;
use std::path::PathBuf;

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
