//! `hudson man DIRECTORY`: one page a subcommand, from the same definitions that parsing uses.

use crate::cli::Cli;
use crate::exit::{self, Exit};
use anyhow::{Context, Result};
use clap::CommandFactory;
use std::path::Path;

/// Writes the pages; the folder is made where it is missing.
pub(super) fn execute(directory: &Path) -> Result<u8> {
    if directory.exists() && !directory.is_dir() {
        return Err(Exit::usage(format!(
            "{} is a file; name a folder for the man pages",
            directory.display()
        ))
        .into());
    }
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create the folder {}", directory.display()))?;
    clap_mangen::generate_to(Cli::command(), directory)
        .with_context(|| format!("cannot write the man pages to {}", directory.display()))?;
    Ok(exit::OK)
}
