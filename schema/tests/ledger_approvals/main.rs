//! Approvals and grants, told through the trait alone: every step, who may take it and when, what it leaves behind; then
//! races, crashes, a crowd, and any sequence of steps against a model.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../ledger_support/mod.rs"]
#[macro_use]
mod ledger_support;
mod answering;
mod asking;
mod automatic;
mod crash;
mod crowd;
mod deciding;
mod grants;
mod races;
mod random;
mod support;
mod using;
