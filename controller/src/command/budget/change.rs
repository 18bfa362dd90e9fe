//! `hudson budget set` and `clear`: limits in place of those of the files and the launch. They stand in the ledger, from
//! which every process that serves runs takes them over, so that it does not matter whether one runs.
//!
//! Invariant: a limit is set only where something could be counted under it: for a bottle, run and provider that exist.

use super::show::{self, Row};
use super::{Context, bottle, ledger};
use crate::cli::ScopeArgs;
use crate::exit::{self, Exit};
use crate::instance::now;
use crate::launch;
use anyhow::Result;
use hudson_schema::budget::{BudgetMap, BudgetOverride};
use hudson_schema::config::Settings;
use hudson_schema::ledger::{LimitInForce, SharedLedger};
use hudson_schema::{BottleName, Provider, RunId, Scope, ScopeKind};

/// Sets limits of one scope.
pub(super) async fn set(context: &Context, scope: ScopeArgs, limits: Vec<BudgetMap>) -> Result<u8> {
    let at = of(scope.clone());
    let changed = order_set(context, scope, limits).await?;
    told(context, &at, Some(changed))
}

/// Sets limits of one scope; what stands there now.
pub(in super::super) async fn order_set(
    context: &Context,
    scope: ScopeArgs,
    limits: Vec<BudgetMap>,
) -> Result<Changed> {
    let settings = crate::settings::read(&context.home)?;
    let limits = launch::merge(limits)?;
    crate::settings::check_providers(&settings, &limits, "hudson budget set")?;
    let ledger = ledger::open(context)?;
    refuse_unknown(context, ledger.as_ref(), &scope).await?;
    let scope = of(scope);
    let ledger = ledger::open_to_write(context)?;
    let overrides = limits.into_iter().map(|(provider, tokens)| BudgetOverride {
        scope: scope.clone(),
        provider,
        tokens,
        set_at: now(),
        actor: ledger::actor(),
    });
    let overrides: Vec<_> = overrides.collect();
    let changed: Vec<_> = overrides.iter().map(|set| set.provider.clone()).collect();
    ledger.budget_override_set(overrides).await?;
    lift(context, &settings, &ledger, &scope, changed).await
}

/// Takes back what was set at one scope.
pub(super) async fn clear(context: &Context, scope: ScopeArgs, providers: Vec<Provider>) -> Result<u8> {
    let at = of(scope.clone());
    let changed = order_clear(context, scope, providers).await?;
    told(context, &at, changed)
}

/// Takes back what was set at one scope; what stands there now, or `None` when nothing was set.
pub(in super::super) async fn order_clear(
    context: &Context,
    scope: ScopeArgs,
    providers: Vec<Provider>,
) -> Result<Option<Changed>> {
    let settings = crate::settings::read(&context.home)?;
    let Some(reading) = ledger::open(context)? else { return Ok(None) };
    let standing = reading.budget_override_list().await?;
    let at = of(scope.clone());
    // A bottle that is gone must not keep what was set for it.
    if !standing.iter().any(|set| set.scope == at) {
        refuse_unknown(context, Some(&reading), &scope).await?;
        return Ok(None);
    }
    let ledger = ledger::open_to_write(context)?;
    let cleared = ledger.budget_override_clear(&at, &providers, &ledger::actor(), now()).await?;
    let changed: Vec<_> = cleared.into_iter().map(|set| set.provider).collect();
    lift(context, &settings, &ledger, &at, changed).await.map(Some)
}

fn of(scope: ScopeArgs) -> Scope {
    let ScopeArgs { bottle, agent, parent, run } = scope;
    bottle
        .map(|name| Scope::new(ScopeKind::Bottle, name.as_str()))
        .or_else(|| agent.map(|name| Scope::new(ScopeKind::Agent, name.as_str())))
        .or_else(|| parent.map(|name| Scope::new(ScopeKind::Parent, name.as_str())))
        .or_else(|| run.map(|id| Scope::new(ScopeKind::Run, id.as_str())))
        .unwrap_or_else(Scope::global)
}

/// Agents are not refused: they have no files, and a limit may well be set before the first launch.
async fn refuse_unknown(context: &Context, ledger: Option<&SharedLedger>, scope: &ScopeArgs) -> Result<()> {
    if let Some(name) = scope.bottle.as_ref().or(scope.parent.as_ref()) {
        return refuse_unknown_bottle(context, ledger, name).await;
    }
    match &scope.run {
        Some(run) => refuse_ended(ledger, run).await,
        None => Ok(()),
    }
}

async fn refuse_unknown_bottle(
    context: &Context,
    ledger: Option<&SharedLedger>,
    name: &BottleName,
) -> Result<()> {
    bottle::refuse_unknown(context, ledger, name).await
}

async fn refuse_ended(ledger: Option<&SharedLedger>, run: &RunId) -> Result<()> {
    let record = match ledger {
        Some(ledger) => ledger.run_fetch(run).await?,
        None => None,
    };
    match record {
        None => {
            Err(Exit::not_found(format!("there is no run {run}; `hudson status` lists the live ones")).into())
        }
        Some(record) if record.finished_at.is_some() => {
            Err(Exit::conflict(format!("run {run} has ended: nothing can be spent under a limit of it"))
                .into())
        }
        Some(_) => Ok(()),
    }
}

/// What has changed at a scope.
pub(in super::super) struct Changed {
    /// Whose limits.
    providers: Vec<Provider>,
    /// Those that are in force now.
    pub(in super::super) rows: Vec<Row>,
}

/// Lifts what no longer blocks, whether or not a process serves runs.
async fn lift(
    context: &Context,
    settings: &Settings,
    ledger: &SharedLedger,
    scope: &Scope,
    providers: Vec<Provider>,
) -> Result<Changed> {
    let mut rows = show::every_row(context, settings, Some(ledger), None).await?;
    rows.retain(|row| row.is_of(scope));
    let in_force = providers.iter().map(|provider| LimitInForce {
        scope: scope.clone(),
        provider: provider.clone(),
        tokens: rows.iter().find(|row| row.provider == *provider).map(|row| row.limit),
    });
    ledger.block_reconsider(&in_force.collect::<Vec<_>>(), now()).await?;
    rows.retain(|row| providers.contains(&row.provider));
    Ok(Changed { providers, rows })
}

/// Shows the limits that have changed.
fn told(context: &Context, scope: &Scope, changed: Option<Changed>) -> Result<u8> {
    let Some(Changed { providers, rows }) = changed else { return told_nothing(context) };
    match rows.is_empty() && !context.json {
        true if providers.is_empty() => told_nothing(context),
        true => {
            super::super::output::text(&format!("no limit of {scope} is left\n"))?;
            Ok(exit::OK)
        }
        false => {
            show::print(context, &rows)?;
            Ok(exit::OK)
        }
    }
}

fn told_nothing(context: &Context) -> Result<u8> {
    match context.json {
        true => show::print(context, &Vec::<Row>::new())?,
        false => super::super::output::text("nothing was set there\n")?,
    }
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_option_is_the_whole_host() {
        assert_eq!(of(ScopeArgs::default()), Scope::global());
        let bottle = ScopeArgs { bottle: Some("ci".parse().unwrap()), ..ScopeArgs::default() };
        assert_eq!(of(bottle), Scope::new(ScopeKind::Bottle, "ci"));
    }
}
