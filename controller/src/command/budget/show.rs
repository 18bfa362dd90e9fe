//! `hudson budget show`: every limit in force and where it comes from, what is spent and reserved under it, and what is
//! left.
//!
//! Invariant: the limits are those a proxy would ask, found by the same functions from the same files and launches.

use super::super::output::{self, Cell};
use super::{Context, bottle, ledger, watch};
use crate::cli::WatchArgs;
use crate::instance;
use crate::launch::Launch;
use anyhow::{Context as _, Result};
use hudson_schema::budget::{BudgetOverride, ScopeBudget, WindowClock, with_overrides};
use hudson_schema::config::{Settings, load_bottle};
use hudson_schema::ledger::{Balance, RunRecord, SharedLedger};
use hudson_schema::{AgentName, BottleName, Provider, Scope, ScopeKind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Shows budgets.
pub(super) async fn execute(
    context: &Context,
    bottle: Option<BottleName>,
    arguments: WatchArgs,
) -> Result<u8> {
    watch::show(context, arguments, async || {
        let settings = crate::settings::read(&context.home)?;
        let ledger = ledger::open(context)?;
        if let Some(name) = &bottle {
            bottle::refuse_unknown(context, ledger.as_ref(), name).await?;
        }
        page(context, &every_row(context, &settings, ledger.as_ref(), bottle.as_ref()).await?)
    })
    .await
}

/// Every limit in force, from global to the runs; only those that govern a bottle when one is named.
pub(in super::super) async fn every_row(
    context: &Context,
    settings: &Settings,
    ledger: Option<&SharedLedger>,
    only: Option<&BottleName>,
) -> Result<Vec<Row>> {
    let (live, overrides) = match ledger {
        Some(ledger) => (ledger.run_list(true).await?, ledger.budget_override_list().await?),
        None => <_>::default(),
    };
    let scopes = scopes(context, settings, &live, &overrides, only)?;
    let clock =
        settings.clock().with_context(|| format!("{}: timezone", context.home.settings().display()))?;
    rows(ledger, scopes, &clock, |scope, provider| Source::of(settings, &overrides, scope, provider)).await
}

/// The limits whose usage has passed the lowest threshold of which is warned.
pub(in super::super) async fn past_threshold(
    context: &Context,
    settings: &Settings,
    ledger: &SharedLedger,
) -> Result<Vec<Row>> {
    let Some(percent) = settings.warn_at.first() else { return Ok(Vec::new()) };
    let mut rows = every_row(context, settings, Some(ledger), None).await?;
    rows.retain(|row| row.percent().is_some_and(|spent| spent >= u128::from(*percent)));
    Ok(rows)
}

/// One limit and what stands under it.
#[derive(Debug, Serialize)]
pub(in super::super) struct Row {
    pub(in super::super) scope: &'static str,
    pub(in super::super) name: String,
    pub(in super::super) provider: Provider,
    pub(in super::super) limit: u64,
    pub(in super::super) spent: u64,
    pub(in super::super) held: u64,
    left: u64,
    pub(in super::super) window: &'static str,
    pub(in super::super) resets_at: Option<String>,
    pub(in super::super) source: Source,
}

impl Row {
    /// Whether it is a limit of this scope.
    pub(super) fn is_of(&self, scope: &Scope) -> bool {
        self.scope == scope.kind.name() && self.name == scope.key
    }

    /// How much of it is spent, in per cent, rounded down; `None` of nothing.
    pub(in super::super) fn percent(&self) -> Option<u128> {
        (u128::from(self.spent) * 100).checked_div(u128::from(self.limit))
    }
}

/// Where a limit comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum Source {
    /// settings.yml.
    Settings,
    /// The bottle's own file.
    Bottle,
    /// `run --budget` or `bottle add --budget`.
    Launch,
    /// `hudson budget set`.
    Override,
}

impl Source {
    fn of(settings: &Settings, overrides: &[BudgetOverride], scope: &Scope, provider: &Provider) -> Self {
        if overrides.iter().any(|set| set.scope == *scope && set.provider == *provider) {
            return Self::Override;
        }
        let bottle = || settings.bottles.iter().find(|(name, _)| name.as_str() == scope.key);
        match scope.kind {
            ScopeKind::Run => Self::Launch,
            ScopeKind::Agent | ScopeKind::Global => Self::Settings,
            ScopeKind::Bottle | ScopeKind::Parent => match bottle() {
                Some((_, own)) if own.budget.contains_key(provider) => Self::Settings,
                _ => Self::Bottle,
            },
        }
    }

    /// As JSON has it.
    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Bottle => "bottle",
            Self::Launch => "launch",
            Self::Override => "override",
        }
    }
}

/// The scopes with a budget, each once, from global to the runs; only a bottle's own when one is named.
fn scopes(
    context: &Context,
    settings: &Settings,
    live: &[RunRecord],
    overrides: &[BudgetOverride],
    only: Option<&BottleName>,
) -> Result<Vec<ScopeBudget>> {
    let mut found: BTreeMap<Scope, ScopeBudget> = BTreeMap::new();
    let mut add = |scopes: Vec<ScopeBudget>| {
        let scopes = with_overrides(&scopes, overrides);
        for scope in scopes.into_iter().filter(|scope| !scope.budget.is_empty()) {
            // A parent is seen from its own runs and from those below it: what either knows holds.
            match found.entry(scope.scope.clone()) {
                Entry::Vacant(place) => drop(place.insert(scope)),
                Entry::Occupied(mut place) => place.get_mut().budget.extend(scope.budget),
            }
        }
    };
    let bottles: Vec<BottleName> = match only {
        Some(name) => vec![name.clone()],
        None => bottle::on_disk(&context.home)?
            .into_iter()
            .chain(settings.bottles.keys().cloned())
            .chain(overrides.iter().filter_map(bottle_of))
            .collect(),
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
        let mut agents = settings.agents.clone();
        for agent in overrides.iter().filter_map(agent_of) {
            agents.entry(agent).or_default();
        }
        for (agent, own) in &agents {
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

/// The bottle for which something is set, in whichever role.
fn bottle_of(set: &BudgetOverride) -> Option<BottleName> {
    matches!(set.scope.kind, ScopeKind::Bottle | ScopeKind::Parent).then(|| set.scope.key.parse().ok())?
}

/// The agent for which something is set.
fn agent_of(set: &BudgetOverride) -> Option<AgentName> {
    (set.scope.kind == ScopeKind::Agent).then(|| set.scope.key.parse().ok())?
}

async fn rows(
    ledger: Option<&SharedLedger>,
    scopes: Vec<ScopeBudget>,
    clock: &WindowClock,
    source: impl Fn(&Scope, &Provider) -> Source,
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
                source: source(&scope, &provider),
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

pub(super) fn print(context: &Context, rows: &[Row]) -> Result<()> {
    output::text(&page(context, rows)?)
}

fn page(context: &Context, rows: &[Row]) -> Result<String> {
    if context.json {
        return output::json_line(rows);
    }
    if rows.is_empty() {
        return Ok("no budget is set; settings.yml, bottle.yml, `run --budget` and `budget set` set one\n"
            .to_owned());
    }
    let headings =
        ["SCOPE", "NAME", "PROVIDER", "LIMIT", "SPENT", "HELD", "LEFT", "WINDOW", "RESETS AT", "FROM"];
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
            row.source.name().into(),
        ]
    });
    Ok(output::table_text(&headings, cells.collect()))
}
