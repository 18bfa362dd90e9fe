//! `hudson dlp …`.

use clap::Subcommand;
use hudson_schema::config::Host;
use std::path::PathBuf;

/// `hudson dlp …`
#[derive(Debug, Subcommand)]
pub enum DlpCommand {
    /// Find in files what must not leave, as the body of a request would be looked at
    ///
    /// One JSON line a finding; a table on a terminal. No line holds a value. The exit code is 1 when a route with the
    /// default would act on something, and 2 when a file cannot be read.
    Scan {
        /// The host to which it would go: a credential on its way home is none of what must not leave
        #[arg(long)]
        host: Option<Host>,
        /// Count values from documentation as real ones
        #[arg(long)]
        strict: bool,
        /// How the files are coded: gzip, deflate, br, zstd, or several in a row
        #[arg(long, value_name = "CODING")]
        content_encoding: Option<String>,
        /// The files; `-` for standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Run the examples of the rules
    ///
    /// The exit code is 1 when a rule does not find an example that it should, or finds one that it should not.
    Test {
        /// Rules files, YAML of Hudson's or TOML of gitleaks [default: the rules that are in force]
        files: Vec<PathBuf>,
    },
    /// Say what a rule looks for, what a hash stands for, or why something in a text is a finding
    ///
    /// With the lines of settings.yml that would suppress it, and of the routes that would change what is done.
    Explain {
        /// A rule's id, a finding's hash, or `-` for a text on standard input
        #[arg(value_name = "RULE|HASH|-")]
        what: String,
        /// The host to which the text would go
        #[arg(long)]
        host: Option<Host>,
    },
    /// Measure how fast bodies are looked at
    Bench {
        /// The bodies [default: made-up requests to a model]
        files: Vec<PathBuf>,
        /// How often each is looked at
        #[arg(long, default_value_t = 9, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        rounds: u16,
    },
    /// Print the rules of a gitleaks or betterleaks file as YAML of Hudson's
    ///
    /// What could not be taken over, and why, is told on standard error.
    Import {
        /// The TOML file
        file: PathBuf,
    },
}
