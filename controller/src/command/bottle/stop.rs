//! `hudson bottle cutoff`, `kill` and `resume`: an operator's order, which stands in the ledger. Every process that serves
//! the bottle sees it there, so it does not matter whether one runs, or how many.
//!
//! Invariant: an order is told as carried out only where the journal says so.

use super::super::output;
use super::{Context, ledger, refuse_unknown};
use crate::cli::StopArgs;
use crate::exit::{self, Exit};
use crate::instance::now;
use anyhow::Result;
use hudson_schema::ledger::{Block, BlockOrder, Enforcement, EnforcementState, RunRecord, SharedLedger};
use hudson_schema::{BottleName, Policy, RunId, Scope, ScopeKind};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// How long it is waited for those who serve the runs.
const CARRIED_OUT_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What became of an order at one run.
#[derive(Debug, Serialize)]
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

/// A cutoff that is ordered.
pub(in super::super) struct Ordered {
    /// Whether it did not stand before.
    new: bool,
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
    Ok(Ordered { new, outcomes: outcomes(&ledger, &live, Policy::Cutoff).await? })
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
    outcomes(&ledger, &live, Policy::Kill).await
}

/// Whether an order was carried out at every run.
pub(in super::super) fn all_done(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| outcome.state == EnforcementState::Done)
}

/// Lifts what operators have ordered for a bottle and its runs.
pub(super) async fn resume(context: &Context, name: &BottleName) -> Result<u8> {
    let resumed = order_resume(context, name).await?;
    match context.json {
        true => output::json(&resumed.object(name))?,
        false => output::text(&resumed.words(name))?,
    }
    Ok(exit::OK)
}

/// What lifting came to.
pub(in super::super) struct Resumed {
    lifted: Vec<Block>,
    /// What a spent budget still stops.
    standing: Vec<Block>,
}

impl Resumed {
    /// As JSON.
    pub(in super::super) fn object(&self, name: &BottleName) -> Value {
        json!({"bottle": name, "lifted": self.lifted, "standing": self.standing})
    }

    /// The same for people.
    pub(in super::super) fn words(&self, name: &BottleName) -> String {
        let mut text = format!("bottle {name} is resumed\n");
        for block in &self.standing {
            text.push_str(&format!("still stopped: {}; `hudson budget set` raises it\n", block.cause));
        }
        text
    }
}

/// Lifts what operators have ordered; an error when that is nothing.
pub(in super::super) async fn order_resume(context: &Context, name: &BottleName) -> Result<Resumed> {
    let ledger = known(context, name).await?;
    let mut scopes = vec![Scope::new(ScopeKind::Bottle, name.as_str())];
    scopes.extend(live(&ledger, name).await?.iter().map(|run| Scope::new(ScopeKind::Run, run.as_str())));
    let mut lifted = Vec::new();
    for scope in &scopes {
        lifted.extend(ledger.block_resume(scope, &ledger::actor(), now()).await?);
    }
    let standing: Vec<Block> =
        ledger.block_list().await?.into_iter().filter(|block| scopes.contains(&block.scope)).collect();
    if lifted.is_empty() {
        let why = match standing.first() {
            Some(block) => format!(
                "no operator has stopped bottle {name}; {}, and `hudson budget set` raises it",
                block.cause
            ),
            None => format!("bottle {name} is not stopped"),
        };
        return Err(Exit::conflict(why).into());
    }
    Ok(Resumed { lifted, standing })
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
async fn outcomes(ledger: &SharedLedger, runs: &[RunId], policy: Policy) -> Result<Vec<Outcome>> {
    let until = Instant::now() + CARRIED_OUT_WITHIN;
    loop {
        let mut outcomes = Vec::new();
        for run in runs {
            let rows = ledger.enforcement_list(Some(run)).await?;
            // The last one is this order's, or the same one's of before.
            let last = rows.into_iter().rfind(|row| row.policy == policy);
            outcomes.push(last.map_or_else(|| Outcome::ended(run), Outcome::of));
        }
        let open = |outcome: &Outcome| {
            matches!(outcome.state, EnforcementState::Planned | EnforcementState::Started)
        };
        if !outcomes.iter().any(open) || Instant::now() >= until {
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
