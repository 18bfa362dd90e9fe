//! `hudson budget show`: every limit in force, what is spent and reserved under it, and what is left.
//!
//! Invariant: the limits are those a proxy would ask, found by the same functions from the same files and launches.

use super::output::{self, Cell};
use super::{Context, bottle, ledger};
use crate::cli::BudgetCommand;
use crate::launch::Launch;
use crate::{exit, instance};
use anyhow::{Context as _, Result};
use hudson_schema::budget::{ScopeBudget, WindowClock};
use hudson_schema::config::{Settings, load_bottle};
use hudson_schema::ledger::{Balance, RunRecord, SharedLedger};
use hudson_schema::{BottleName, Provider, Scope, ScopeKind};
use serde::Serialize;
use std::collections::BTreeMap;

/// Shows budgets.
pub(super) async fn execute(context: &Context, command: BudgetCommand) -> Result<u8> {
    let BudgetCommand::Show { bottle } = command;
    let settings = crate::settings::read(&context.home)?;
    let ledger = ledger::open(context)?;
    if let Some(name) = &bottle {
        bottle::refuse_unknown(context, ledger.as_ref(), name).await?;
    }
    let live = match &ledger {
        Some(ledger) => ledger.run_list(true).await?,
        None => Vec::new(),
    };
    let scopes = scopes(context, &settings, &live, bottle.as_ref())?;
    let clock =
        settings.clock().with_context(|| format!("{}: timezone", context.home.settings().display()))?;
    let rows = rows(ledger.as_ref(), scopes, &clock).await?;
    print(context, &rows)?;
    Ok(exit::OK)
}

/// One limit and what stands under it.
#[derive(Debug, Serialize)]
struct Row {
    scope: &'static str,
    name: String,
    provider: Provider,
    limit: u64,
    spent: u64,
    held: u64,
    left: u64,
    window: &'static str,
    resets_at: Option<String>,
}

/// The scopes with a budget, each once, from global to the runs; only a bottle's own when one is named.
fn scopes(
    context: &Context,
    settings: &Settings,
    live: &[RunRecord],
    only: Option<&BottleName>,
) -> Result<Vec<ScopeBudget>> {
    let mut found: BTreeMap<Scope, ScopeBudget> = BTreeMap::new();
    let mut add = |scopes: Vec<ScopeBudget>| {
        for scope in scopes.into_iter().filter(|scope| !scope.budget.is_empty()) {
            found.entry(scope.scope.clone()).or_insert(scope);
        }
    };
    let bottles: Vec<BottleName> = match only {
        Some(name) => vec![name.clone()],
        None => bottle::on_disk(&context.home)?.into_iter().chain(settings.bottles.keys().cloned()).collect(),
    };
    for name in &bottles {
        let bottle = load_bottle(&context.home, name, None)?;
        add(settings.scope_budgets(None, None, &bottle));
    }
    for run in live.iter().filter(|run| only.is_none_or(|name| run.bottle == *name)) {
        let launch: Launch = serde_json::from_value(run.launch.clone()).with_context(|| {
            format!("the ledger's record of run {} cannot be read by this hudson", run.id)
        })?;
        let bottle = load_bottle(&context.home, &run.bottle, launch.parent.as_ref())?;
        add(settings.scope_budgets(Some((&run.id, &launch.budget)), run.agent.as_ref(), &bottle));
    }
    if only.is_none() {
        for (agent, own) in &settings.agents {
            let scope = Scope::new(ScopeKind::Agent, agent.as_str());
            let window = own.window.unwrap_or(settings.window);
            add(vec![ScopeBudget { scope, budget: own.budget.clone(), window }]);
        }
        add(vec![ScopeBudget {
            scope: Scope::global(),
            budget: settings.budget.clone(),
            window: settings.window,
        }]);
    }
    // The least specific first: what holds for all stands above what holds for one.
    Ok(found.into_values().rev().collect())
}

async fn rows(
    ledger: Option<&SharedLedger>,
    scopes: Vec<ScopeBudget>,
    clock: &WindowClock,
) -> Result<Vec<Row>> {
    let now = instance::now();
    let mut rows = Vec::new();
    for ScopeBudget { scope, budget, window } in scopes {
        for (provider, limit) in budget {
            let balance = match ledger {
                Some(ledger) => ledger.budget_fetch(&scope, &provider, clock.start(window, now)).await?,
                None => Balance::default(),
            };
            rows.push(Row {
                scope: scope.kind.name(),
                name: scope.key.clone(),
                provider,
                limit: limit.0,
                spent: balance.spent,
                held: balance.held,
                left: limit.0.saturating_sub(balance.spent).saturating_sub(balance.held),
                window: window.name(),
                resets_at: clock.end(window, now).map(|end| clock.display(end)),
            });
        }
    }
    Ok(rows)
}

fn print(context: &Context, rows: &[Row]) -> Result<()> {
    if context.json {
        return output::json(rows);
    }
    if rows.is_empty() {
        return output::text("no budget is set; settings.yml, bottle.yml and `run --budget` set one\n");
    }
    let headings = ["SCOPE", "NAME", "PROVIDER", "LIMIT", "SPENT", "HELD", "LEFT", "WINDOW", "RESETS AT"];
    let cells = rows.iter().map(|row| -> Vec<Cell> {
        vec![
            row.scope.into(),
            row.name.as_str().into(),
            row.provider.as_str().into(),
            row.limit.into(),
            row.spent.into(),
            row.held.into(),
            row.left.into(),
            row.window.into(),
            row.resets_at.clone().unwrap_or_default().into(),
        ]
    });
    output::table(&headings, cells.collect())
}
