//! Orders of the dashboard, by the same functions as `hudson bottle …` and `hudson budget set`.

use super::{Context, bottle, budget};
use crate::cli::{ScopeArgs, StopArgs};
use crate::dashboard::Order;
use anyhow::{Result, bail};
use hudson_schema::budget::BudgetMap;
use hudson_schema::{BottleName, Scope, ScopeKind};

/// Gives an order; what became of it.
pub(super) async fn give(context: &Context, order: Order) -> Result<String> {
    let stop = |name: &BottleName| StopArgs { name: name.clone(), reason: None };
    let told = match order {
        Order::Cutoff(name) => bottle::order_cutoff(context, &stop(&name)).await?.words(&name),
        Order::Freeze(name) => done(&bottle::order_freeze(context, &stop(&name)).await?)?,
        Order::Resume(name) => bottle::order_resume(context, &name).await?.words(&name),
        Order::Kill(name) => done(&bottle::order_kill(context, &stop(&name)).await?)?,
        Order::SetBudget { scope, provider, tokens } => {
            let limits = BudgetMap::from([(provider, tokens)]);
            let changed = budget::order_set(context, arguments(&scope)?, vec![limits]).await?;
            let rows = changed.rows.iter().map(|row| {
                format!("{scope}: {} of {} tokens of {} are spent", row.spent, row.limit, row.provider)
            });
            rows.collect::<Vec<_>>().join("\n")
        }
    };
    Ok(line(&told))
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
