//! Enforcement against runs whose process nobody on this host supervises: bottles that were started elsewhere.
//!
//! Their egress is cut by the block that the crossing wrote; what else the policy asks for needs a back end that holds
//! the bottle, and its absence is said aloud in the journal.

use crate::instance::now;
use crate::launch::Launch;
use crate::runs::Runs;
use hudson_schema::Policy;
use hudson_schema::ledger::{Enforcement, EnforcementState, LedgerError, SharedLedger};
use std::sync::Arc;
use std::time::Duration;

/// How long changes are gathered before they are looked at.
const REST: Duration = Duration::from_millis(50);

/// Carries out enforcement for as long as the process lives.
pub async fn unsupervised(ledger: SharedLedger, runs: Arc<Runs>) {
    let mut changes = ledger.changes();
    loop {
        // A failure is met again at the next change.
        let _ = pass(&ledger, &runs).await;
        if changes.changed().await.is_err() {
            return;
        }
        // Every settlement is a change; what they bring can wait this long together.
        tokio::time::sleep(REST).await;
    }
}

async fn pass(ledger: &SharedLedger, runs: &Runs) -> Result<(), LedgerError> {
    for run in runs.live() {
        // A budget that another run spent stops this one too, where it governs it.
        let governing = run.policy().governing(now());
        if !ledger.block_fetch(&run.id, &governing, now()).await?.is_empty() {
            ledger.block_plan(&run.id, &governing, now()).await?;
        }
    }
    for row in ledger.enforcement_list(None).await? {
        let open = matches!(row.state, EnforcementState::Planned | EnforcementState::Started);
        if open && !supervised(ledger, &row).await? {
            carry_out(ledger, &row).await?;
        }
    }
    Ok(())
}

async fn supervised(ledger: &SharedLedger, row: &Enforcement) -> Result<bool, LedgerError> {
    let record = ledger.run_fetch(&row.run_id).await?;
    Ok(record
        .filter(|record| record.finished_at.is_none())
        .and_then(|record| serde_json::from_value::<Launch>(record.launch).ok())
        .is_some_and(|launch| launch.supervised))
}

async fn carry_out(ledger: &SharedLedger, row: &Enforcement) -> Result<(), LedgerError> {
    let (state, detail) = match row.policy {
        Policy::Cutoff => (EnforcementState::Done, "egress is cut off"),
        Policy::Freeze | Policy::Kill => {
            (EnforcementState::Failed, "no process of this bottle is known here; egress is cut off")
        }
    };
    ledger.enforcement_advance(row.id, row.state, state, detail, now()).await.map(drop)
}
