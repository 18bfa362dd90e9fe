//! `hudson budget …`, and token limits as they are written on the command line.

use super::WatchArgs;
use clap::{Args, Subcommand};
use hudson_schema::budget::{Amount, BudgetMap};
use hudson_schema::{AgentName, BottleName, Provider, RunId};

/// `hudson budget …`
#[derive(Debug, Subcommand)]
pub enum BudgetCommand {
    /// Show every limit, what is spent and what is left
    Show {
        /// Only limits that govern this bottle
        #[arg(long, value_name = "NAME")]
        bottle: Option<BottleName>,
        /// Whether it goes on.
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Set limits in place of those of the files and the launch, at once and for every running Hudson of this home
    ///
    /// Raising a limit lifts the cutoff that it caused. Lowering it below what is spent stops what it governs.
    Set {
        /// Where the limits stand.
        #[command(flatten)]
        scope: ScopeArgs,
        /// Token limits, such as `claude=200k codex=1M`; `any` counts every provider together
        #[arg(required = true, value_name = "PROVIDER=TOKENS", value_parser = parse_budget)]
        limits: Vec<BudgetMap>,
    },
    /// Take back what was set: the limits of the files and the launch hold again
    Clear {
        /// Where the limits stand.
        #[command(flatten)]
        scope: ScopeArgs,
        /// Whose limits [default: every one that was set there]
        #[arg(value_name = "PROVIDER")]
        providers: Vec<Provider>,
    },
}

/// Where a limit stands; without any of these, for the whole host.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub struct ScopeArgs {
    /// All usage of this bottle
    #[arg(long, value_name = "NAME")]
    pub bottle: Option<BottleName>,
    /// All usage of this named agent
    #[arg(long, value_name = "NAME")]
    pub agent: Option<AgentName>,
    /// This bottle and every bottle below it together
    #[arg(long, value_name = "NAME")]
    pub parent: Option<BottleName>,
    /// This run
    #[arg(long, value_name = "ID")]
    pub run: Option<RunId>,
}

/// Reads `claude=200k,codex=1M`.
pub(super) fn parse_budget(text: &str) -> Result<BudgetMap, String> {
    let mut budget = BudgetMap::new();
    for part in text.split(',') {
        let (provider, amount) = part
            .split_once('=')
            .ok_or_else(|| format!("{part:?} is not PROVIDER=TOKENS, such as claude=200k"))?;
        let provider: Provider = provider.trim().parse().map_err(|error| format!("{error}"))?;
        let amount: Amount = amount.trim().parse().map_err(|error| format!("{error}"))?;
        if budget.insert(provider.clone(), amount).is_some() {
            return Err(format!("{provider} is given twice"));
        }
    }
    Ok(budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_read_as_documented() {
        let budget = parse_budget("claude=200k,codex=1M").unwrap();
        assert_eq!(budget.values().map(|amount| amount.0).collect::<Vec<_>>(), [200_000, 1_000_000]);
        for bad in ["", "claude", "claude=x", "claude=1,claude=2", "=1"] {
            assert!(parse_budget(bad).is_err(), "{bad}");
        }
    }
}
