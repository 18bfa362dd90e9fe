//! `hudson completions SHELL`: from the same definitions that parsing uses.

use super::output;
use crate::cli::Cli;
use crate::exit;
use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

/// Prints a shell's completions.
pub(super) fn execute(shell: Shell) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hudson", &mut script);
    output::text(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_shell_knows_every_subcommand() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "hudson", &mut script);
            let script = String::from_utf8(script).unwrap();
            for name in ["run", "explain", "replay"] {
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }
}
