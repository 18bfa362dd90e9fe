//! `hudson approvals`: what waits for a person, and their decisions, which stand in the ledger like every order: it does
//! not matter whether a `hudson up` runs, or how many.
//!
//! Invariants: who decides is the kernel's word for this process's user, and nothing is decided from inside of a bottle;
//! what is shown of an approval is the fixed template, whoever shows it.

mod audit;
mod classify;
mod decide;
mod edit;
mod find;
mod grants;
mod list;
mod show;
mod watch;
mod words;

use super::{Context, ledger};
use crate::approvals::operator::Operator;
use crate::cli::{ApprovalRef, ApprovalsCommand};
use crate::exit::Exit;
use anyhow::Result;
pub(super) use decide::{Order, Verdict, give, told_words};
use hudson_schema::action::Asked;
use hudson_schema::ledger::SharedLedger;
pub(super) use list::{Query, object, rows};
pub(super) use show::whole;
pub(super) use words::span;

/// Runs a `hudson approvals` command.
pub(super) async fn execute(context: &Context, command: ApprovalsCommand) -> Result<u8> {
    match command {
        ApprovalsCommand::List { status, bottle, all, lines } => {
            list::execute(context, &Query { status, bottle, all, most: lines }).await
        }
        ApprovalsCommand::Show { id } => show::execute(context, &id).await,
        ApprovalsCommand::Approve(arguments) => decide::approve(context, arguments).await,
        ApprovalsCommand::Deny { id, reason } => decide::deny(context, &id, reason).await,
        ApprovalsCommand::Revoke { id, reason } => decide::revoke(context, id, reason).await,
        ApprovalsCommand::Expire { id: Some(id), .. } => decide::expire(context, &id).await,
        ApprovalsCommand::Expire { id: None, .. } => decide::expire_stale(context).await,
        ApprovalsCommand::Watch { bottle } => watch::execute(context, bottle.as_ref()).await,
        ApprovalsCommand::Classify { action, command, tier, context: about } => {
            let (command, about) = (command.as_deref(), about.as_deref());
            classify::execute(
                context,
                &Asked { action: &action, command, tier, context: about.unwrap_or_default() },
            )
        }
        ApprovalsCommand::Audit { lines, verify } => audit::execute(context, lines, verify).await,
        ApprovalsCommand::Grants { bottle, all } => grants::list(context, bottle, all).await,
        ApprovalsCommand::Grant(arguments) => grants::make(context, arguments).await,
    }
}

/// The ledger for reading, where there is an approval that could be meant.
fn reading(context: &Context, id: &ApprovalRef) -> Result<SharedLedger> {
    ledger::open(context)?.ok_or_else(|| find::unknown(id).into())
}

/// Who decides here, and the ledger they decide in. Nobody does from inside of a bottle.
pub(super) fn deciding(context: &Context) -> Result<(Operator, SharedLedger)> {
    let settings = crate::settings::read(&context.home)?;
    if !context.home.path().is_dir() {
        let path = context.home.path().display();
        return Err(
            Exit::not_found(format!("there is no home at {path}, and nothing to decide in it")).into()
        );
    }
    let operator = Operator::of_this_process(&context.home, &settings.approvals.approvers)?;
    Ok((operator, ledger::open_to_write(context)?))
}
