//! `hudson dlp`: what must not leave, found in files by the same detectors that look at traffic.
//!
//! Invariant: nothing that is printed holds a value.

mod bench;
mod bodies;
mod explain;
mod import;
mod reasons;
mod scan;
mod test;

use super::Context;
use crate::cli::DlpCommand;
use crate::dlp::{self, Loaded};
use crate::exit::Exit;
use anyhow::Result;
use hudson_schema::config::Host;

/// The host of what goes nowhere in particular.
const NOWHERE: &str = "no-host.invalid";

/// Runs one of the commands.
pub(super) fn execute(context: &Context, command: DlpCommand) -> Result<u8> {
    match command {
        DlpCommand::Scan { host, strict, content_encoding, files } => {
            scan::execute(context, scan::Asked { host, strict, content_encoding, files })
        }
        DlpCommand::Test { files } => test::execute(context, &files),
        DlpCommand::Explain { what, host } => explain::execute(context, &what, host),
        DlpCommand::Bench { files, rounds } => bench::execute(context, &files, rounds),
        DlpCommand::Import { file } => import::execute(context, &file),
    }
}

/// What the home's files say, with the notices told.
struct Scene {
    loaded: Loaded,
    /// Whether hashes mean something to the home.
    lasting: bool,
}

impl Scene {
    /// Reads a home. One that is there gets its key, so that hashes are those that its proxy reports.
    fn of(context: &Context) -> Result<Self> {
        let home = &context.home;
        let settings = crate::settings::read(home)?;
        let loaded = match home.path().is_dir() {
            true => dlp::load(home, &settings)?,
            false => dlp::look(home, &settings)?,
        };
        for notice in &loaded.notices {
            eprintln!("hudson: {notice}");
        }
        Ok(Self { loaded, lasting: dlp::has_key(home) })
    }
}

/// The host that was named, or one that is nobody's home.
fn host(named: Option<Host>) -> Result<Host> {
    match named {
        Some(host) => Ok(host),
        None => NOWHERE.parse().map_err(|error| Exit::usage(format!("{NOWHERE}: {error}")).into()),
    }
}
