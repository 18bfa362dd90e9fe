//! Approvals as the controller keeps them: what is asked outside of requests, and who decides.

pub mod asked;
pub mod bind;
pub mod desk;
mod grants_file;
pub mod keep;
mod redact;
pub mod review;
mod reviews;
mod rules;
mod tokens;
mod waiting;

use crate::exit::Exit;
use anyhow::Result;

/// Settings that cannot be used, as one error.
fn refuse(faults: Vec<String>) -> Result<()> {
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Exit::usage(faults.join("\n")).into()),
    }
}
