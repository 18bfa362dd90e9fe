//! Approvals and grants in SQLite. Each step is one conditional update in the transaction that also writes its event,
//! its row of the audit and what is told outside, so that a crash leaves all of them or none.

mod answer;
mod consume;
mod decide;
mod end;
mod grants;
mod limits;
mod list;
mod rows;
mod submit;
mod tell;

pub(super) use answer::{answer, refuse};
pub(super) use consume::{consume, finish, roll_back};
pub(super) use decide::{approve, deny, modify, revoke};
pub(super) use end::{cancel, sweep};
pub(super) use grants::{insert as grant_insert, list as grant_list, revoke as grant_revoke};
pub(super) use list::{count, due, events, fetch, list};
pub(super) use submit::submit;

use super::fail::Fail;

/// So many random bits as an id has.
fn random() -> Result<[u8; 16], Fail> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| Fail::Other(Box::new(error)))?;
    Ok(bits)
}
