//! `hudson budget`: the limits in force, and setting them while Hudson runs.

mod change;
mod show;

use super::{Context, bottle, ledger, watch};
use crate::cli::BudgetCommand;
use anyhow::Result;
pub(super) use change::{order_clear, order_set};
pub(super) use show::{Row, every_row, past_threshold};

/// Runs a `hudson budget` command.
pub(super) async fn execute(context: &Context, command: BudgetCommand) -> Result<u8> {
    match command {
        BudgetCommand::Show { bottle, watch } => show::execute(context, bottle, watch).await,
        BudgetCommand::Set { scope, limits } => change::set(context, scope, limits).await,
        BudgetCommand::Clear { scope, providers } => change::clear(context, scope, providers).await,
    }
}
