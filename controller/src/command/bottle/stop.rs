//! `hudson bottle cutoff`, `freeze`, `kill` and `resume`: an operator's order, which stands in the ledger. Every process that serves
//! the bottle sees it there, so it does not matter whether one runs, or how many.
//!
//! Invariant: an order is told as carried out only where the journal says so.

use super::super::output;
use super::{Context, ledger, refuse_unknown};
use crate::cli::StopArgs;
use crate::exit::{self, Exit};
use crate::instance::now;
use crate::runs::{Manner, Runs};
use anyhow::Result;
use hudson_schema::ledger::{
    Action, Block, BlockOrder, Enforcement, EnforcementState, Resumption, RunRecord, SharedLedger,
};
use hudson_schema::{BottleName, Policy, RunId, Scope, ScopeKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long it is waited until those who hold the runs begin.
const BEGUN_WITHIN: Duration = Duration::from_secs(5);
/// How long it is waited for what has begun: an engine that saves a container takes its time.
const CARRIED_OUT_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What became of an order at one run.
#[derive(Debug, Deserialize, Serialize)]
pub(in super::super) struct Outcome {
    run: RunId,
    state: EnforcementState,
    detail: String,
}

/// Drops every route of a bottle until it is resumed; what is in flight is ended.
pub(super) async fn cutoff(context: &Context, arguments: StopArgs) -> Result<u8> {
    let ordered = order_cutoff(context, &arguments).await?;
    match context.json {
        true => output::json(&ordered.object(&arguments.name))?,
        false => output::text(&ordered.words(&arguments.name))?,
    }
    Ok(exit::OK)
}

/// A cutoff that is ordered, as [`Ordered::object`] tells it.
#[derive(Deserialize)]
pub(in super::super) struct Ordered {
    /// Whether it did not stand before.
    new: bool,
    #[serde(rename = "runs")]
    outcomes: Vec<Outcome>,
}

impl Ordered {
    /// What became of it, as JSON.
    pub(in super::super) fn object(&self, name: &BottleName) -> Value {
        json!({"bottle": name, "new": self.new, "runs": self.outcomes})
    }

    /// What became of it, for people.
    pub(in super::super) fn words(&self, name: &BottleName) -> String {
        let state = if self.new { "is cut off" } else { "was cut off already" };
        format!("bottle {name} {state}, until `hudson bottle resume {name}`\n{}", lines(&self.outcomes))
    }
}

/// Orders a cutoff, and waits for those who serve the runs.
pub(in super::super) async fn order_cutoff(context: &Context, arguments: &StopArgs) -> Result<Ordered> {
    let ledger = known(context, &arguments.name).await?;
    let live = live(&ledger, &arguments.name).await?;
    let scope = Scope::new(ScopeKind::Bottle, arguments.name.as_str());
    let new = ledger.block_order(order(scope, Policy::Cutoff, arguments)).await?;
    Ok(Ordered { new, outcomes: outcomes(&ledger, &live, Action::Cutoff).await? })
}

/// Freezes what runs in a bottle, and lets nothing out of it or start in it until it is resumed.
pub(super) async fn freeze(context: &Context, arguments: StopArgs) -> Result<u8> {
    let outcomes = order_freeze(context, &arguments).await?;
    match context.json {
        true => output::json(&serde_json::json!({"bottle": arguments.name, "runs": outcomes}))?,
        false => output::text(&lines(&outcomes))?,
    }
    Ok(if all_done(&outcomes) { exit::OK } else { exit::FAILED })
}

/// Orders a freeze, and waits for those who hold the runs.
pub(in super::super) async fn order_freeze(context: &Context, arguments: &StopArgs) -> Result<Vec<Outcome>> {
    let ledger = known(context, &arguments.name).await?;
    let live = live(&ledger, &arguments.name).await?;
    if live.is_empty() {
        return Err(Exit::conflict(format!("bottle {} has no live run to freeze", arguments.name)).into());
    }
    let scope = Scope::new(ScopeKind::Bottle, arguments.name.as_str());
    ledger.block_order(order(scope, Policy::Freeze, arguments)).await?;
    outcomes(&ledger, &live, Action::Freeze).await
}

/// Kills the live runs of a bottle. Runs that are started later are not concerned.
pub(super) async fn kill(context: &Context, arguments: StopArgs) -> Result<u8> {
    let outcomes = order_kill(context, &arguments).await?;
    match context.json {
        true => output::json(&json!({"bottle": arguments.name, "runs": outcomes}))?,
        false => output::text(&lines(&outcomes))?,
    }
    Ok(if all_done(&outcomes) { exit::OK } else { exit::FAILED })
}

/// Orders a kill of the live runs, and waits for those who serve them.
pub(in super::super) async fn order_kill(context: &Context, arguments: &StopArgs) -> Result<Vec<Outcome>> {
    let ledger = known(context, &arguments.name).await?;
    let live = live(&ledger, &arguments.name).await?;
    if live.is_empty() {
        return Err(Exit::conflict(format!("bottle {} has no live run to kill", arguments.name)).into());
    }
    for run in &live {
        let scope = Scope::new(ScopeKind::Run, run.as_str());
        ledger.block_order(order(scope, Policy::Kill, arguments)).await?;
    }
    outcomes(&ledger, &live, Action::Kill).await
}

/// Whether an order was carried out at every run.
pub(in super::super) fn all_done(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| outcome.state == EnforcementState::Done)
}

/// Lifts what operators have ordered for a bottle and its runs, and brings back what is frozen.
pub(super) async fn resume(context: &Context, name: &BottleName) -> Result<u8> {
    let resumed = order_resume(context, name).await?;
    match context.json {
        true => output::json(&resumed.object(name))?,
        false => output::text(&resumed.words(name))?,
    }
    Ok(if all_done(&resumed.outcomes) { exit::OK } else { exit::FAILED })
}

/// What a resume came to, as [`Resumed::object`] tells it.
#[derive(Deserialize)]
pub(in super::super) struct Resumed {
    lifted: Vec<Block>,
    /// What a spent budget still stops.
    standing: Vec<Block>,
    /// What became of the runs that were frozen.
    #[serde(rename = "runs")]
    outcomes: Vec<Outcome>,
}

impl Resumed {
    /// What became of the runs that were frozen.
    pub(in super::super) fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// As JSON.
    pub(in super::super) fn object(&self, name: &BottleName) -> Value {
        json!({"bottle": name, "lifted": self.lifted, "standing": self.standing, "runs": self.outcomes})
    }

    /// The same for people.
    pub(in super::super) fn words(&self, name: &BottleName) -> String {
        let mut text = format!("bottle {name} is resumed\n{}", lines(&self.outcomes));
        for block in &self.standing {
            text.push_str(&format!("still stopped: {}; `hudson budget set` raises it\n", block.cause));
        }
        text
    }
}

/// Lifts what operators have ordered and brings back what is frozen; an error when there is nothing of either.
pub(in super::super) async fn order_resume(context: &Context, name: &BottleName) -> Result<Resumed> {
    let ledger = known(context, name).await?;
    let mut scopes = vec![Scope::new(ScopeKind::Bottle, name.as_str())];
    let live = live(&ledger, name).await?;
    scopes.extend(live.iter().map(|run| Scope::new(ScopeKind::Run, run.as_str())));
    let mut lifted = Vec::new();
    for scope in &scopes {
        lifted.extend(ledger.block_resume(scope, &ledger::actor(), now()).await?);
    }
    let (frozen, mut standing) = thaw(context, &ledger, &live).await?;
    let stands = |block: &Block| scopes.contains(&block.scope) && !standing.contains(block);
    let others: Vec<Block> = ledger.block_list().await?.into_iter().filter(stands).collect();
    standing.extend(others);
    if lifted.is_empty() && frozen.is_empty() {
        let why = match standing.first() {
            Some(block) => format!(
                "no operator has stopped bottle {name}; {}, and `hudson budget set` raises it",
                block.cause
            ),
            None => format!("bottle {name} is not stopped"),
        };
        return Err(Exit::conflict(why).into());
    }
    let outcomes = outcomes(&ledger, &frozen, Action::Resume).await?;
    Ok(Resumed { lifted, standing, outcomes })
}

/// Plans that the frozen ones of these runs are brought back: those for which that is planned, and what keeps others frozen.
async fn thaw(context: &Context, ledger: &SharedLedger, live: &[RunId]) -> Result<(Vec<RunId>, Vec<Block>)> {
    let settings = crate::settings::read(&context.home)?;
    let runs = Runs::new(
        context.home.clone(),
        ledger.clone(),
        settings,
        Manner { closed: true, ..Manner::default() },
    );
    runs.set_overrides(ledger.budget_override_list().await?);
    let (mut frozen, mut standing) = (Vec::new(), Vec::new());
    for id in live {
        let Some(record) = ledger.run_fetch(id).await? else { continue };
        let governing = runs.insert(&record, HashMap::new())?.policy().governing(now());
        match ledger.enforcement_resume(id, &governing, &ledger::actor(), now()).await? {
            Resumption::Planned => frozen.push(id.clone()),
            Resumption::Blocked(block) if !standing.contains(&block) => standing.push(block),
            Resumption::Blocked(_) | Resumption::NotFrozen => {}
        }
    }
    Ok((frozen, standing))
}

async fn known(context: &Context, name: &BottleName) -> Result<SharedLedger> {
    refuse_unknown(context, ledger::open(context)?.as_ref(), name).await?;
    ledger::open_to_write(context)
}

async fn live(ledger: &SharedLedger, name: &BottleName) -> Result<Vec<RunId>> {
    let runs = ledger.run_list(true).await?;
    Ok(runs.into_iter().filter(|run: &RunRecord| run.bottle == *name).map(|run| run.id).collect())
}

fn order(scope: Scope, policy: Policy, arguments: &StopArgs) -> BlockOrder {
    let cause = match &arguments.reason {
        Some(reason) => format!("an operator's order: {reason}"),
        None => "an operator's order".to_owned(),
    };
    BlockOrder { scope, policy, cause, actor: ledger::actor(), now: now() }
}

/// What those who serve the runs have made of it, as soon as all have answered.
async fn outcomes(ledger: &SharedLedger, runs: &[RunId], action: Action) -> Result<Vec<Outcome>> {
    let since = Instant::now();
    loop {
        let mut outcomes = Vec::new();
        for run in runs {
            let rows = ledger.enforcement_list(Some(run)).await?;
            // The last one is this order's, or the same one's of before.
            let last = rows.into_iter().rfind(|row| row.action == action);
            outcomes.push(last.map_or_else(|| Outcome::ended(run), Outcome::of));
        }
        let begun = outcomes.iter().any(|outcome| outcome.state == EnforcementState::Started);
        let patience = if begun { CARRIED_OUT_WITHIN } else { BEGUN_WITHIN };
        if !outcomes.iter().any(Outcome::is_open) || since.elapsed() >= patience {
            return Ok(outcomes);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Outcome {
    /// Nothing was planned for it.
    fn ended(run: &RunId) -> Self {
        let detail = "it had ended already".to_owned();
        Self { run: run.clone(), state: EnforcementState::Done, detail }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, EnforcementState::Planned | EnforcementState::Started)
    }

    fn of(row: Enforcement) -> Self {
        let detail = match row.state {
            EnforcementState::Planned | EnforcementState::Started => {
                "nobody who serves this run has answered yet; its egress is stopped wherever it is served"
                    .to_owned()
            }
            EnforcementState::Done | EnforcementState::Failed => row.detail,
        };
        Self { run: row.run_id, state: row.state, detail }
    }
}

/// What became of an order, a line for each run.
pub(in super::super) fn lines(outcomes: &[Outcome]) -> String {
    outcomes
        .iter()
        .map(|outcome| format!("run {}: {}: {}\n", outcome.run, outcome.state.name(), outcome.detail))
        .collect()
}
