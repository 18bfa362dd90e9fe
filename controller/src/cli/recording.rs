//! `hudson meter` and `hudson replay`: recorded responses, read and served.

use clap::Args;
use hudson_schema::Format;
use std::path::PathBuf;

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
