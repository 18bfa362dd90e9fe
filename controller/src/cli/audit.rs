//! `hudson audit …`

use clap::Subcommand;

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
