//! `hudson approvals approve`, `deny`, `revoke` and `expire`: decisions, each one call of the ledger, whose answer is the
//! outcome.
//!
//! Invariants: what is approved is what was shown: where it has changed since, nothing is; nothing is decided where a
//! part of what was asked for would be refused.

use super::super::output;
use super::{Context, deciding, edit, find, grants, object, reading, show};
use crate::approvals::operator::Operator;
use crate::cli::{ApprovalRef, ApproveArgs, RevokeRef};
use crate::exit::{self, Exit};
use crate::instance::now;
use anyhow::Result;
use hudson_schema::ledger::{
    Approval, ApprovalCancel, ApprovalEdit, ApprovalId, ApprovalStatus, ApprovalSweep, Decided, DecidedVia,
    Decision, DecisionRefusal, Grant, Ledger, Tier,
};
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};

/// Rows that are written at a time.
const SWEPT: usize = 1000;

/// What is decided.
#[derive(Clone, Debug)]
pub(in super::super) enum Verdict {
    /// Yes.
    Approve,
    /// Yes, but to this.
    Modify(ApprovalEdit),
    /// No.
    Deny,
    /// Not any more.
    Revoke,
}

/// A decision to be made.
pub(in super::super) struct Order {
    /// The approval.
    pub(in super::super) id: ApprovalId,
    /// The fingerprint that was shown of it; it must still be that.
    pub(in super::super) seen: Option<String>,
    /// What is decided.
    pub(in super::super) verdict: Verdict,
    /// Why.
    pub(in super::super) reason: Option<String>,
    /// How it came.
    pub(in super::super) via: DecidedVia,
}

/// What became of it.
pub(in super::super) struct Told {
    /// The approval as it is now.
    pub(in super::super) approval: Approval,
    /// How many more people must approve.
    pub(in super::super) missing: u32,
}

impl Told {
    /// As JSON.
    pub(in super::super) fn object(&self) -> Value {
        let mut object = object(&self.approval);
        if let (Some(members), 1..) = (object.as_object_mut(), self.missing) {
            members.insert("missing".to_owned(), json!(self.missing));
        }
        object
    }
}

/// Makes a decision; an error where it is not made.
pub(in super::super) async fn give(ledger: &dyn Ledger, operator: &Operator, order: Order) -> Result<Told> {
    let Order { id, seen, verdict, reason, via } = order;
    if let (Some(seen), Some(found)) = (seen, ledger.approval_fetch(&id, now()).await?)
        && found.fingerprint.to_string() != seen
    {
        let why = format!("{id} is not what was shown any more: somebody has edited it; look at it again");
        return Err(Exit::conflict(why).into());
    }
    let decision =
        Decision { id: id.clone(), actor: operator.actor(), via, claimed_by: None, reason, now: now() };
    let (decided, verb) = match verdict {
        Verdict::Approve => (ledger.approval_approve(decision).await?, "approve"),
        Verdict::Modify(edit) => (ledger.approval_modify(decision, edit).await?, "approve"),
        Verdict::Deny => (ledger.approval_deny(decision).await?, "deny"),
        Verdict::Revoke => (ledger.approval_revoke(decision).await?, "revoke"),
    };
    outcome(decided, &id, verb).map_err(Into::into)
}

/// What the ledger's answer means.
fn outcome(decided: Decided, id: &ApprovalId, verb: &str) -> Result<Told, Exit> {
    match decided {
        Decided::Made(approval) => Ok(Told { approval, missing: 0 }),
        Decided::Awaiting { approval, missing } => Ok(Told { approval, missing }),
        Decided::Repeated(approval) => {
            Err(Exit::conflict(format!("you have decided {id} already: {}", state(&approval))))
        }
        Decided::Conflict(approval) | Decided::Expired(approval) => {
            Err(Exit::conflict(format!("{id}: there is nothing to {verb}: {}", state(&approval))))
        }
        Decided::Refused(refusal @ DecisionRefusal::ReasonRequired) => {
            Err(Exit::usage(format!("{id}: {refusal}")))
        }
        Decided::Refused(refusal @ (DecisionRefusal::Requester | DecisionRefusal::NotNamed)) => {
            Err(Exit::conflict(format!("{id}: {refusal}")))
        }
        Decided::Unknown => Err(find::unknown(&ApprovalRef::Whole(id.clone()))),
    }
}

fn state(approval: &Approval) -> String {
    super::words::state(approval, now())
}

/// What was decided, for people.
pub(in super::super) fn told_words(told: &Told) -> String {
    let Told { approval, missing } = told;
    let id = &approval.id;
    match (missing, approval.status) {
        (1, _) => format!("{id}: your yes counts; one more person has to approve it\n"),
        (2.., _) => format!("{id}: your yes counts; {missing} more people have to approve it\n"),
        (0, _) => format!("{id}: {}\n", state(approval)),
    }
}

/// Approves.
pub(super) async fn approve(context: &Context, arguments: ApproveArgs) -> Result<u8> {
    let reading = reading(context, &arguments.id)?;
    let shown = find::approval(&*reading, &arguments.id).await?;
    let (operator, ledger) = deciding(context)?;
    let unsaid = arguments.reason.as_deref().is_none_or(|reason| reason.trim().is_empty());
    if shown.status == ApprovalStatus::Pending && shown.tier == Tier::Critical && unsaid {
        return Err(Exit::usage(format!("{}: {}", shown.id, DecisionRefusal::ReasonRequired)).into());
    }
    let grant = grants::of_approval(context, &arguments, &shown, &operator)?;
    let edit = match &arguments.edit {
        Some(file) => Some(edit::read(context, file, &shown)?),
        None => None,
    };
    if shown.status == ApprovalStatus::Pending {
        let page = show::page(&shown) + &edit.as_ref().map_or_else(String::new, edit::words);
        if !confirmed(context, &arguments, &operator, &page)? {
            eprintln!("hudson: nothing is decided");
            return Ok(exit::FAILED);
        }
    }
    let order = Order {
        id: shown.id.clone(),
        seen: Some(shown.fingerprint.to_string()),
        verdict: edit.map_or(Verdict::Approve, Verdict::Modify),
        reason: arguments.reason,
        via: DecidedVia::Cli,
    };
    let told = give(&*ledger, &operator, order).await?;
    let made = match grant {
        Some(grant) => Some(grants::insert(&*ledger, grant).await?),
        None => None,
    };
    print(context, &told, made.as_ref())?;
    Ok(exit::OK)
}

/// Shows what is approved; whether it is to be.
fn confirmed(context: &Context, arguments: &ApproveArgs, operator: &Operator, page: &str) -> Result<bool> {
    // JSON has standard output for itself.
    if context.json {
        eprint!("{page}")
    } else {
        output::text(page)?
    }
    let asks = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if !asks || arguments.yes || arguments.reason.is_some() {
        return Ok(true);
    }
    eprint!("approve this as {}? [y/N] ", operator.shown());
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn print(context: &Context, told: &Told, grant: Option<&Grant>) -> Result<()> {
    if context.json {
        let mut object = told.object();
        if let (Some(members), Some(grant)) = (object.as_object_mut(), grant) {
            members.insert("grant".to_owned(), json!(grant));
        }
        return output::json(&object);
    }
    output::text(&(told_words(told) + &grant.map_or_else(String::new, grants::words)))
}

/// Denies.
pub(super) async fn deny(context: &Context, id: &ApprovalRef, reason: Option<String>) -> Result<u8> {
    simple(context, id, Verdict::Deny, reason).await
}

/// Takes an approval or a grant back.
pub(super) async fn revoke(context: &Context, id: RevokeRef, reason: Option<String>) -> Result<u8> {
    match id {
        RevokeRef::Approval(id) => simple(context, &id, Verdict::Revoke, reason).await,
        RevokeRef::Grant(id) => grants::revoke(context, id.as_str(), reason).await,
        RevokeRef::GrantBeginning(text) => grants::revoke(context, &text, reason).await,
    }
}

async fn simple(context: &Context, id: &ApprovalRef, verdict: Verdict, reason: Option<String>) -> Result<u8> {
    let reading = reading(context, id)?;
    let shown = find::approval(&*reading, id).await?;
    let (operator, ledger) = deciding(context)?;
    let seen = Some(shown.fingerprint.to_string());
    let order = Order { id: shown.id, seen, verdict, reason, via: DecidedVia::Cli };
    let told = give(&*ledger, &operator, order).await?;
    print(context, &told, None)?;
    Ok(exit::OK)
}

/// Ends one before its time.
pub(super) async fn expire(context: &Context, id: &ApprovalRef) -> Result<u8> {
    let reading = reading(context, id)?;
    let shown = find::approval(&*reading, id).await?;
    let (operator, ledger) = deciding(context)?;
    if shown.status == ApprovalStatus::Pending {
        let cancel = ApprovalCancel {
            bottle: shown.bottle.clone(),
            id: Some(shown.id.clone()),
            actor: operator.actor(),
            via: DecidedVia::Cli,
            reason: "an operator ended it before its time; nobody has denied it".to_owned(),
            now: now(),
        };
        ledger.approval_cancel(cancel).await?;
    } else if shown.status == ApprovalStatus::Expired {
        sweep(&*ledger).await?;
    }
    let ended = find::approval(&*ledger, &ApprovalRef::Whole(shown.id)).await?;
    if !matches!(ended.status, ApprovalStatus::Cancelled | ApprovalStatus::Expired) {
        let why = format!("{} does not wait for a decision: {}", ended.id, state(&ended));
        return Err(Exit::conflict(why).into());
    }
    print(context, &Told { approval: ended, missing: 0 }, None)?;
    Ok(exit::OK)
}

/// Writes down all that time has ended.
pub(super) async fn expire_stale(context: &Context) -> Result<u8> {
    let (_, ledger) = deciding(context)?;
    let expired = sweep(&*ledger).await?;
    match context.json {
        true => output::json(&json!({"expired": expired}))?,
        false => output::text(&format!("{expired} have expired\n"))?,
    }
    Ok(exit::OK)
}

async fn sweep(ledger: &dyn Ledger) -> Result<usize> {
    let mut expired = 0;
    loop {
        let swept =
            ledger.approval_expire(ApprovalSweep { most: SWEPT, forget_before: None, now: now() }).await?;
        expired += swept.expired;
        if swept.expired < SWEPT {
            return Ok(expired);
        }
    }
}
