//! Keeping limits current: what the operator sets is taken over from the ledger as it changes, by every process that
//! serves runs, and after any change of limits each live run is looked at.
//!
//! Invariant: a limit that is lowered below what is spent is a crossing at once, without a request that would find it;
//! one that is raised or taken away lifts the block that it caused.

use crate::events::EventLog;
use crate::instance::now;
use crate::runs::Runs;
use hudson_proxy::{Event, EventSink, Run};
use hudson_schema::budget::ScopeBudget;
use hudson_schema::ledger::{Block, LedgerError, LimitInForce, LimitReview, SharedLedger};
use serde_json::json;
use std::sync::Arc;

/// Takes over what is set for as long as the process lives. Without an event log the runs only learn of it, and what
/// follows is left to the process that serves them.
pub async fn follow(runs: Arc<Runs>, ledger: SharedLedger, events: Option<Arc<EventLog>>) {
    let mut changes = ledger.changes();
    loop {
        match (ledger.budget_override_list().await, &events) {
            (Ok(overrides), Some(events)) if runs.set_overrides(overrides.clone()) => {
                events.write("budgets_changed", json!({"overrides": overrides.len()}));
                review(&runs, &ledger, events).await;
            }
            (Ok(overrides), _) => drop(runs.set_overrides(overrides)),
            // The limits stay as they were; the next change tries again.
            (Err(error), Some(events)) => failed(events, &error),
            (Err(_), None) => {}
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Looks at every live run after a change of limits.
pub async fn review(runs: &Runs, ledger: &SharedLedger, events: &EventLog) {
    let live = runs.live();
    if let Err(error) = lift(ledger, &live).await {
        failed(events, &error);
    }
    for run in live {
        let (policy, now) = (run.policy(), now());
        let review = LimitReview { governing: policy.governing(now), warn_at: policy.warn_at.clone() };
        match ledger.budget_review(&run.id, review, now).await {
            Ok(found) => {
                for warning in found.warnings {
                    events.emit(Event::budget_warning(warning, &policy.clock));
                }
            }
            Err(error) => failed(events, &error),
        }
    }
}

/// Lifts the blocks of the runs' scopes whose limits were raised or taken away.
async fn lift(ledger: &SharedLedger, live: &[Arc<Run>]) -> Result<(), LedgerError> {
    let blocks = ledger.block_list().await?;
    if blocks.is_empty() {
        return Ok(());
    }
    let budgets = live.iter().map(|run| run.policy().budgets.clone());
    let limits: Vec<_> = budgets.flat_map(|budgets| in_force(&budgets, &blocks)).collect();
    ledger.block_reconsider(&limits, now()).await
}

/// What is allowed now where these blocks stand.
pub fn in_force(budgets: &[ScopeBudget], blocks: &[Block]) -> Vec<LimitInForce> {
    let mut limits = Vec::new();
    for block in blocks {
        let Some(spent) = &block.budget else { continue };
        for budget in budgets.iter().filter(|budget| budget.scope == block.scope) {
            limits.push(LimitInForce {
                scope: block.scope.clone(),
                provider: spent.provider.clone(),
                tokens: budget.budget.get(&spent.provider).map(|amount| amount.0),
            });
        }
    }
    limits
}

fn failed(events: &EventLog, error: &LedgerError) {
    events.write("ledger_failed", json!({"what": "changing limits", "error": error.to_string()}));
}
