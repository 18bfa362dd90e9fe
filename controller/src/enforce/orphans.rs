//! Runs whose `hudson run` has died: what it left behind is ended, and their credentials with it.
//!
//! Invariant: a run is on record as live until what it left was looked for; nothing of a run that somebody stands by is
//! touched.

use crate::cgroup::Cgroup;
use crate::container::{Bottle, Engine};
use crate::instance::now;
use crate::launch::Launch;
use crate::place::Place;
use anyhow::Result;
use hudson_schema::ledger::{LedgerError, RunRecord, SharedLedger};

/// A run that was taken down, and what became of what it left: in words, for people.
pub struct TakenDown {
    /// The run.
    pub run: RunRecord,
    /// What was done, or why it could not be; its credentials are worth nothing either way.
    pub outcome: Result<String>,
}

/// Takes down every run whose supervisor is dead.
pub async fn take_down_orphans(ledger: &SharedLedger) -> Result<Vec<TakenDown>, LedgerError> {
    let mut taken = Vec::new();
    for run in ledger.run_orphans().await? {
        // A launch of a later version may not be read; nobody knows what it left then.
        let launch: Launch = serde_json::from_value(run.launch.clone()).unwrap_or_default();
        let outcome = take_down(&launch.place).await;
        ledger.run_finish(&run.id, now(), None).await?;
        taken.push(TakenDown { run, outcome });
    }
    Ok(taken)
}

async fn take_down(place: &Place) -> Result<String> {
    match place {
        Place::Process { cgroup: Some(path) } => match Cgroup::open(path.clone()) {
            Some(cgroup) => {
                let count = cgroup.kill().await?;
                cgroup.disband().await;
                Ok(format!("{count} processes were killed"))
            }
            None => Ok("nothing of it is left".to_owned()),
        },
        Place::Process { cgroup: None } => {
            Ok("it had no cgroup by which what is left could be found".to_owned())
        }
        Place::Container { socket, tied: false, .. } => {
            let engine = Engine::at(socket).await?;
            if let Some(bottle) = Bottle::new(engine, place) {
                bottle.kill().await?;
            }
            Ok("its container and network were removed".to_owned())
        }
        Place::Container { tied: true, .. } | Place::Elsewhere => Ok("nothing of it is held here".to_owned()),
    }
}
