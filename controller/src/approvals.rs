//! Approvals as the controller keeps them: what is asked outside of requests, and who decides.

pub mod asked;
pub mod bind;
pub mod desk;
mod grants_file;
pub mod keep;
pub(crate) mod operator;
pub(crate) mod place;
mod redact;
pub(crate) mod refused;
pub mod review;
mod reviews;
mod rules;
pub(crate) mod setup;
mod tokens;

use crate::exit::Exit;
use anyhow::Result;
use hudson_schema::config::Settings;

/// What is wrong with the tokens that decide.
pub(crate) fn token_faults(settings: &Settings) -> Vec<String> {
    tokens::Tokens::read(settings).1
}

/// Settings that cannot be used, as one error.
fn refuse(faults: Vec<String>) -> Result<()> {
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Exit::usage(faults.join("\n")).into()),
    }
}
