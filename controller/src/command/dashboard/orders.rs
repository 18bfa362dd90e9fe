//! Orders of the dashboard: of the running controller, and straight to the ledger where none answers, by the same
//! functions as `hudson bottle …` and `hudson budget set`.
//!
//! Invariant: what became of an order is told in the same words, whoever carried it out.

use super::link::Link;
use super::{Context, approvals, bottle, budget};
use crate::cli::{ScopeArgs, StopArgs};
use crate::command::approvals::Verdict;
use crate::control::{self, Refused};
use crate::dashboard::Order;
use anyhow::{Result, anyhow, bail};
use hudson_schema::budget::{Amount, BudgetMap};
use hudson_schema::ledger::DecidedVia;
use hudson_schema::{BottleName, Provider, Scope, ScopeKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Gives an order; what became of it.
pub(super) async fn give(context: &Context, link: &Link, order: Order) -> Result<String> {
    // Of one that has just answered: what is stopped must not keep an order for later.
    if link.look().await.is_ok()
        && let Some(told) = by_controller(context, &order).await?
    {
        return Ok(line(&told));
    }
    by_ledger(context, order).await.map(|told| line(&told))
}

/// What became of an order at each run, as the socket and the commands tell it.
#[derive(Deserialize)]
struct Outcomes {
    runs: Vec<bottle::Outcome>,
}

/// A decision, as far as it is told.
#[derive(Deserialize)]
struct Decided {
    words: String,
}

/// A limit, as far as it is told.
#[derive(Deserialize)]
struct Limit {
    provider: Provider,
    limit: u64,
    spent: u64,
}

/// `None` when it has ended meanwhile.
async fn by_controller(context: &Context, order: &Order) -> Result<Option<String>> {
    Ok(match order {
        Order::Cutoff(name) => ask::<bottle::Ordered>(context, &stop(name, "cutoff"), json!({}))
            .await?
            .map(|told| told.words(name)),
        Order::Resume(name) => ask::<bottle::Resumed>(context, &stop(name, "resume"), json!({}))
            .await?
            .map(|told| told.words(name)),
        Order::Freeze(name) => {
            let told = ask::<Outcomes>(context, &stop(name, "freeze"), json!({})).await?;
            told.map(|told| done(&told.runs)).transpose()?
        }
        Order::Kill(name) => {
            let told = ask::<Outcomes>(context, &stop(name, "kill"), json!({})).await?;
            told.map(|told| done(&told.runs)).transpose()?
        }
        Order::Decide { id, fingerprint, approve, reason } => {
            let what = if *approve { "approve" } else { "deny" };
            let body = json!({"fingerprint": fingerprint, "reason": reason, "via": "dashboard"});
            let told = ask::<Decided>(context, &format!("/v1/approvals/{id}/{what}"), body).await?;
            told.map(|told| told.words)
        }
        Order::SetBudget { scope, provider, tokens } => {
            let rows = ask::<Vec<Limit>>(context, "/v1/budgets", change(scope, provider, *tokens)).await?;
            rows.map(|rows| limits(scope, &rows))
        }
    })
}

async fn by_ledger(context: &Context, order: Order) -> Result<String> {
    let stop = |name: &BottleName| StopArgs { name: name.clone(), reason: None };
    Ok(match order {
        Order::Cutoff(name) => bottle::order_cutoff(context, &stop(&name)).await?.words(&name),
        Order::Freeze(name) => done(&bottle::order_freeze(context, &stop(&name)).await?)?,
        Order::Resume(name) => bottle::order_resume(context, &name).await?.words(&name),
        Order::Kill(name) => done(&bottle::order_kill(context, &stop(&name)).await?)?,
        Order::Decide { id, fingerprint, approve, reason } => {
            let verdict = if approve { Verdict::Approve } else { Verdict::Deny };
            let seen = Some(fingerprint);
            let order = approvals::Order { id, seen, verdict, reason, via: DecidedVia::Dashboard };
            let (operator, ledger) = approvals::deciding(context)?;
            approvals::told_words(&approvals::give(&*ledger, &operator, order).await?)
        }
        Order::SetBudget { scope, provider, tokens } => {
            let asked = BudgetMap::from([(provider, tokens)]);
            let changed = budget::order_set(context, arguments(&scope)?, vec![asked]).await?;
            let rows = changed.rows.into_iter();
            let rows = rows.map(|row| Limit { provider: row.provider, limit: row.limit, spent: row.spent });
            limits(&scope, &rows.collect::<Vec<_>>())
        }
    })
}

/// Asks the controller. What it refuses is told in the words that the command has for it.
async fn ask<T: DeserializeOwned>(context: &Context, path: &str, body: Value) -> Result<Option<T>> {
    control::order(&context.home, path, &body).await.map_err(|error| match error.downcast::<Refused>() {
        Ok(Refused(message)) => anyhow!(message),
        Err(error) => error,
    })
}

fn stop(name: &BottleName, what: &str) -> String {
    format!("/v1/bottles/{name}/{what}")
}

/// The body of a limit that is set.
fn change(scope: &Scope, provider: &Provider, tokens: Amount) -> Value {
    let mut change = json!({"set": BudgetMap::from([(provider.clone(), tokens)])});
    if let (Some(members), true) = (change.as_object_mut(), scope.kind != ScopeKind::Global) {
        members.insert(scope.kind.name().to_owned(), Value::from(scope.key.as_str()));
    }
    change
}

fn limits(scope: &Scope, rows: &[Limit]) -> String {
    let row =
        |row: &Limit| format!("{scope}: {} of {} tokens of {} are spent", row.spent, row.limit, row.provider);
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

/// What became of an order at each run; an error where one of them is not done.
fn done(outcomes: &[bottle::Outcome]) -> Result<String> {
    let lines = bottle::lines(outcomes);
    match bottle::all_done(outcomes) {
        true => Ok(lines),
        false => bail!("{}", line(&lines)),
    }
}

/// All in one line, as there is room for.
fn line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("; ")
}

fn arguments(scope: &Scope) -> Result<ScopeArgs> {
    let none = ScopeArgs::default();
    Ok(match scope.kind {
        ScopeKind::Global => none,
        ScopeKind::Bottle => ScopeArgs { bottle: Some(scope.key.parse()?), ..none },
        ScopeKind::Agent => ScopeArgs { agent: Some(scope.key.parse()?), ..none },
        ScopeKind::Parent => ScopeArgs { parent: Some(scope.key.parse()?), ..none },
        ScopeKind::Run => ScopeArgs { run: Some(scope.key.parse()?), ..none },
    })
}
