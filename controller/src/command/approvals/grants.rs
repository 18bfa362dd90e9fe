//! Grants: made by hand or beside an approval, listed, and taken back.

use super::super::output::{self, Cell};
use super::words::{short, span};
use super::{Context, deciding, find, ledger};
use crate::approvals::operator::{Operator, known};
use crate::cli::{ApproveArgs, GrantArgs};
use crate::exit::{self, Exit};
use crate::instance::now;
use anyhow::Result;
use hudson_schema::BottleName;
use hudson_schema::config::Period;
use hudson_schema::ledger::{
    Approval, DecidedVia, Grant, GrantOutcome, GrantQuery, GrantScope, GrantScopeKind, HIGH_RISK_ACTIONS,
    Ledger, NewGrant, Tier,
};
use hudson_schema::prompt::cleaned;
use std::io::IsTerminal as _;

/// Characters of a word of somebody's in a table.
const CUT: usize = 40;

/// Lists grants.
pub(super) async fn list(context: &Context, bottle: Option<BottleName>, all: bool) -> Result<u8> {
    let grants = match ledger::open(context)? {
        Some(ledger) => ledger.grant_list(GrantQuery { bottle, ended: all, now: now() }).await?,
        None => Vec::new(),
    };
    match (context.json, grants.is_empty()) {
        (true, _) => output::json(&grants)?,
        (false, true) => output::text("no grant stands\n")?,
        (false, false) => output::text(&table(&grants))?,
    }
    Ok(exit::OK)
}

/// Makes one.
pub(super) async fn make(context: &Context, arguments: GrantArgs) -> Result<u8> {
    refuse_useless(context, &arguments.action, Tier::Safe)?;
    let (operator, ledger) = deciding(context)?;
    let scope = match (arguments.bottle, arguments.session) {
        (None, _) => GrantScope::Global,
        (Some(bottle), None) => GrantScope::Bottle { bottle },
        (Some(bottle), Some(session)) => GrantScope::Session { bottle, session },
    };
    let grant = NewGrant {
        scope,
        kind: arguments.kind,
        action: arguments.action,
        target: arguments.target,
        finding: arguments.finding,
        max_uses: arguments.uses,
        expires_at: Some(until(arguments.for_time)),
        actor: operator.actor(),
        via: DecidedVia::Cli,
        reason: arguments.reason,
        now: now(),
    };
    refuse(&grant)?;
    let grant = insert(&*ledger, grant).await?;
    match context.json {
        true => output::json(&grant)?,
        false => output::text(&words(&grant))?,
    }
    Ok(exit::OK)
}

/// Takes one back.
pub(super) async fn revoke(context: &Context, id: &str, reason: Option<String>) -> Result<u8> {
    if reason.is_some() {
        return Err(Exit::usage("a grant is taken back without a reason; leave --reason out").into());
    }
    let Some(reading) = ledger::open(context)? else {
        return Err(Exit::not_found(format!("there is no grant {id}")).into());
    };
    let grant = find::grant(&*reading, id).await?;
    let (operator, ledger) = deciding(context)?;
    if !ledger.grant_revoke(&grant.id, &operator.actor(), now()).await? {
        return Err(Exit::conflict(format!("{} was taken back already", grant.id)).into());
    }
    let revoked = find::grant(&*ledger, grant.id.as_str()).await?;
    match context.json {
        true => output::json(&revoked)?,
        false => output::text(&format!("{} is taken back: it lets nothing through any more\n", grant.id))?,
    }
    Ok(exit::OK)
}

/// The grant that is to be made beside an approval; an error where it would not be.
pub(super) fn of_approval(
    context: &Context,
    arguments: &ApproveArgs,
    shown: &Approval,
    operator: &Operator,
) -> Result<Option<NewGrant>> {
    let Some(time) = arguments.for_time else { return Ok(None) };
    refuse_useless(context, &shown.action, shown.tier)?;
    if shown.approvers > 1 {
        return Err(Exit::usage(format!(
            "{} needs {} different people: one of them makes no grant for it; leave --for out",
            shown.id, shown.approvers
        ))
        .into());
    }
    let bottle = shown.bottle.clone();
    let scope = match (arguments.scope, &shown.session) {
        (GrantScopeKind::Global, _) => GrantScope::Global,
        (GrantScopeKind::Bottle, _) => GrantScope::Bottle { bottle },
        (GrantScopeKind::Session, Some(session)) => GrantScope::Session { bottle, session: session.clone() },
        (GrantScopeKind::Session, None) => {
            return Err(Exit::usage(format!("{} names no session; --scope bottle does", shown.id)).into());
        }
    };
    let grant = NewGrant {
        scope,
        kind: shown.kind,
        action: shown.action.clone(),
        target: Some(shown.target.clone()),
        finding: shown.finding.clone(),
        max_uses: arguments.uses,
        expires_at: Some(until(time)),
        actor: operator.actor(),
        via: DecidedVia::Cli,
        reason: arguments.reason.clone(),
        now: now(),
    };
    refuse(&grant)?;
    Ok(Some(grant))
}

/// Writes it down.
pub(super) async fn insert(ledger: &dyn Ledger, grant: NewGrant) -> Result<Grant> {
    match ledger.grant_insert(grant).await? {
        GrantOutcome::Made(grant) => Ok(*grant),
        GrantOutcome::Refused(refusal) => Err(Exit::usage(refusal.to_string()).into()),
    }
}

/// A grant in a sentence.
pub(super) fn words(grant: &Grant) -> String {
    let target = grant
        .target
        .as_deref()
        .map_or_else(|| "anything".to_owned(), |target| format!("{:?}", cleaned(target, CUT)));
    let uses = match grant.max_uses {
        None => String::new(),
        Some(1) => ", once".to_owned(),
        Some(uses) => format!(", {uses} times"),
    };
    let time =
        grant.expires_at.map_or_else(String::new, |until| format!(" for {}", span(until - now() + 500)));
    let (action, whose) = (cleaned(&grant.action, CUT), whose(&grant.scope));
    format!("{}: {action} on {target} is let through without asking{time}{uses}, for {whose}\n", grant.id)
}

fn whose(scope: &GrantScope) -> String {
    match scope {
        GrantScope::Global => "every bottle".to_owned(),
        GrantScope::Bottle { bottle } => format!("bottle {bottle}"),
        GrantScope::Session { bottle, session } => {
            format!("the session {:?} in bottle {bottle}", cleaned(session, CUT))
        }
    }
}

/// A grant that would never be used misleads who makes it.
fn refuse_useless(context: &Context, action: &str, tier: Tier) -> Result<()> {
    let named = &crate::settings::read(&context.home)?.approvals.non_bypassable;
    let listed = HIGH_RISK_ACTIONS.contains(&action) || named.iter().any(|name| name == action);
    let why = match tier {
        Tier::Critical => "it is critical",
        _ if listed => "it is of high risk",
        _ => return Ok(()),
    };
    let action = cleaned(action, CUT);
    Err(Exit::usage(format!("no grant lets {action} through: {why}, and each time somebody has to be asked"))
        .into())
}

fn refuse(grant: &NewGrant) -> Result<(), Exit> {
    grant.refusal().map_or(Ok(()), |refusal| Err(Exit::usage(refusal.to_string())))
}

fn until(time: Period) -> i64 {
    now().saturating_add(i64::try_from(time.0.as_millis()).unwrap_or(i64::MAX))
}

fn table(grants: &[Grant]) -> String {
    let now = now();
    let person = std::io::stdout().is_terminal();
    let rows = grants.iter().map(|grant| -> Vec<Cell> {
        let stands = match (grant.revoked_at, grant.expires_at) {
            (Some(at), _) => format!("revoked {} ago", span(now - at)),
            (None, Some(until)) if until <= now => format!("expired {} ago", span(now - until)),
            (None, _) if !grant.stands(now) => "used up".to_owned(),
            (None, Some(until)) => format!("expires in {}", span(until - now)),
            (None, None) => "stands".to_owned(),
        };
        let uses = match grant.max_uses {
            Some(most) => format!("{} of {most}", grant.uses),
            None => grant.uses.to_string(),
        };
        let id = grant.id.as_str();
        vec![
            if person { short(id) } else { id.to_owned() }.into(),
            whose(&grant.scope).into(),
            format!("{} {}", grant.kind, cleaned(&grant.action, CUT)).into(),
            grant
                .target
                .as_deref()
                .map_or_else(|| "anything".to_owned(), |target| cleaned(target, CUT))
                .into(),
            uses.into(),
            stands.into(),
            known(&grant.created_by).into(),
        ]
    });
    output::table_text(&["ID", "FOR", "WHAT", "TARGET", "USES", "TIME", "BY"], rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_says_what_it_lets_through() {
        let grant = Grant {
            id: "grt_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap(),
            scope: GrantScope::Bottle { bottle: "ci".parse().unwrap() },
            kind: hudson_schema::ledger::ApprovalKind::Confirm,
            action: "send_email".to_owned(),
            target: Some("a@example.com\nid: other".to_owned()),
            finding: None,
            max_uses: Some(3),
            uses: 0,
            created_at: now(),
            expires_at: Some(now() + 1_800_000),
            created_by: "uid:0".to_owned(),
            created_via: DecidedVia::Cli,
            reason: None,
            revoked_at: None,
            revoked_by: None,
        };
        let told = words(&grant);
        assert!(told.contains("send_email on \"a@example.com id: other\" is let through"), "{told}");
        assert!(told.contains("for 30 min, 3 times, for bottle ci") && told.lines().count() == 1, "{told}");
        let value = serde_json::to_value(&grant).unwrap();
        assert_eq!(value["scope"], serde_json::json!({"kind": "bottle", "bottle": "ci"}));
    }
}
