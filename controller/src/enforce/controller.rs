//! The controller's part: every run that no `hudson run` stands by, and those whose `hudson run` has died.
//!
//! Invariants: one controller acts at a time (it holds the home's lock); a run that somebody stands by is left to them; what a
//! dead supervisor left behind is taken down, never left with an agent in it that nobody watches.

use super::orphans::{TakenDown, take_down_orphans};
use super::{BackEnd, CommandBackEnd, ContainerBackEnd, Enforcer, Nothing, Witness};
use crate::events::EventLog;
use crate::instance::now;
use crate::launch::Launch;
use crate::place::Place;
use crate::runs::Runs;
use anyhow::Result;
use hudson_schema::RunId;
use hudson_schema::ledger::{Enforcement, RunRecord, SharedLedger};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long changes are gathered before they are looked at.
const REST: Duration = Duration::from_millis(20);
/// How often it is looked for supervisors that died: no change tells of that.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Acts for as long as the process lives.
pub async fn control(ledger: SharedLedger, runs: Arc<Runs>, events: Arc<EventLog>) {
    let enforcer = Enforcer::new(ledger.clone(), Box::new(Logged(events.clone())));
    let controller = Controller { ledger: ledger.clone(), runs, events, enforcer };
    let mut changes = ledger.changes();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // A failure is met again at the next look.
        if let Err(error) = controller.pass().await {
            let what = json!({"what": "enforcing", "error": format!("{error:#}")});
            controller.events.write("ledger_failed", what);
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = controller.enforcer.freed() => {}
            _ = look.tick() => {}
        }
        // What comes together can be looked at together.
        tokio::time::sleep(REST).await;
    }
}

/// Tells the event log.
struct Logged(Arc<EventLog>);

impl Witness for Logged {
    fn begins(&self, row: &Enforcement) {
        self.0.write("enforcement_started", about(row));
    }

    fn fails(&self, row: &Enforcement, why: &str) {
        let mut fields = about(row);
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("error".to_owned(), why.into());
        }
        self.0.write("enforcement_failing", fields);
    }
}

fn about(row: &Enforcement) -> serde_json::Value {
    json!({"enforcement": row.id, "run": row.run_id, "bottle": row.bottle, "action": row.action, "cause": row.cause})
}

struct Controller {
    ledger: SharedLedger,
    runs: Arc<Runs>,
    events: Arc<EventLog>,
    enforcer: Arc<Enforcer>,
}

impl Controller {
    async fn pass(&self) -> Result<()> {
        self.take_down_orphans().await?;
        for run in self.runs.live() {
            // A budget that another run spent stops this one too, where it governs it.
            let governing = run.policy().governing(now());
            if !self.ledger.block_fetch(&run.id, &governing, now()).await?.is_empty() {
                self.ledger.block_plan(&run.id, &governing, now()).await?;
            }
        }
        let open = self.ledger.enforcement_open().await?;
        let runs: BTreeSet<RunId> = open.into_iter().map(|row| row.run_id).collect();
        for run in runs {
            let Some(record) = self.ledger.run_fetch(&run).await? else { continue };
            if record.finished_at.is_some() || !launch(&record).supervised {
                self.enforcer.take_up(&run, self.back_end(record));
            }
        }
        Ok(())
    }

    /// What acts on a run that nobody stands by.
    fn back_end(&self, record: RunRecord) -> Arc<dyn BackEnd> {
        match (launch(&record).place, self.runs.settings().enforcement.command.clone()) {
            (Place::Elsewhere, Some(commands)) => Arc::new(CommandBackEnd::new(commands, record)),
            (Place::Elsewhere | Place::Process { .. }, _) => Arc::new(Nothing),
            (place @ Place::Container { .. }, _) => {
                Arc::new(ContainerBackEnd::new(place, record, self.ledger.clone(), Box::new(|| {})))
            }
        }
    }

    async fn take_down_orphans(&self) -> Result<()> {
        for TakenDown { run, outcome } in take_down_orphans(&self.ledger).await? {
            let mut fields = json!({"run": run.id, "bottle": run.bottle});
            let (name, text) = match outcome {
                Ok(done) => ("done", done),
                Err(error) => ("error", format!("{error:#}")),
            };
            if let Some(fields) = fields.as_object_mut() {
                fields.insert(name.to_owned(), text.into());
            }
            self.events.write("run_orphaned", fields);
        }
        Ok(())
    }
}

fn launch(record: &RunRecord) -> Launch {
    // A launch of a later version may not be read; nobody is known to stand by it then.
    serde_json::from_value(record.launch.clone()).unwrap_or_default()
}
