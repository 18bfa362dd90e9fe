//! `hudson bottle remove`: the end of what `hudson bottle add` began. Credentials of the bottle's runs are worth nothing from
//! then on, and what they have open is closed; its files and what it used stay.

use super::super::output;
use super::{Context, ledger, refuse_unknown};
use crate::approvals::keep;
use crate::exit::{self, Exit};
use crate::instance::now;
use crate::launch::Launch;
use anyhow::Result;
use hudson_schema::BottleName;
use hudson_schema::ledger::RunRecord;

/// Ends the runs of a bottle that no `hudson run` stands by.
pub(super) async fn execute(context: &Context, name: &BottleName) -> Result<u8> {
    refuse_unknown(context, ledger::open(context)?.as_ref(), name).await?;
    let ledger = ledger::open_to_write(context)?;
    let mut live = ledger.run_list(true).await?;
    live.retain(|run| run.bottle == *name);
    if let Some(run) = live.iter().find(|run| is_supervised(run)) {
        let why = format!(
            "run {} of bottle {name} is a `hudson run` that goes on; `hudson bottle kill {name}` ends it",
            run.id
        );
        return Err(Exit::conflict(why).into());
    }
    if live.is_empty() {
        return Err(Exit::conflict(format!("bottle {name} has no live run")).into());
    }
    for run in &live {
        ledger.run_finish(&run.id, now(), None).await?;
    }
    keep::run_ended(&ledger, name).await?;
    let runs: Vec<_> = live.into_iter().map(|run| run.id).collect();
    match context.json {
        true => output::json(&serde_json::json!({"bottle": name, "ended": runs}))?,
        false => output::text(&format!(
            "bottle {name}: {} ended; its credentials are worth nothing any more, its files stay\n",
            if runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", runs.len()) }
        ))?,
    }
    Ok(exit::OK)
}

fn is_supervised(run: &RunRecord) -> bool {
    serde_json::from_value::<Launch>(run.launch.clone()).is_ok_and(|launch| launch.supervised)
}
