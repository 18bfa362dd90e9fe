//! What carries an action out: a process's supervisor, a container engine, a command of the settings, or nothing.

use anyhow::Result;
use async_trait::async_trait;
use hudson_schema::ledger::{Action, Enforcement};

/// Acts on a run.
#[async_trait]
pub trait BackEnd: Send + Sync + 'static {
    /// Does it; what a person reads of it. May be called again for what was done, or half done, before.
    async fn carry_out(&self, row: &Enforcement) -> Result<String>;
}

/// A failure that trying again does not mend.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Lasting(pub String);

/// Where there is nothing to act on but the egress, which is stopped already.
pub struct Nothing;

#[async_trait]
impl BackEnd for Nothing {
    async fn carry_out(&self, row: &Enforcement) -> Result<String> {
        match row.action {
            Action::Cutoff => Ok(CUT_OFF.to_owned()),
            Action::Resume => Ok("nothing of it was frozen here".to_owned()),
            Action::Freeze | Action::Kill => Err(Lasting(
                "no process or container of this bottle is known here: add it with --container, or name a command under \
                 `enforcement` in settings.yml"
                    .to_owned(),
            )
            .into()),
        }
    }
}

/// What a cutoff comes to: it is done by the block.
pub const CUT_OFF: &str = "egress is cut off; what runs in the bottle goes on";
