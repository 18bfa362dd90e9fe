//! The words that every part of Hudson shares: what a run, a scope, a provider and a token usage are, the
//! refusals a client can meet, the configuration files and the ledger.
//!
//! This crate knows no other crate of Hudson. Without features it is only vocabulary and pure functions, which is
//! what the meter builds on; `config` adds the YAML files, `ledger` the durable store.

pub mod budget;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "config")]
pub mod home;
#[cfg(feature = "ledger")]
pub mod ledger;
#[cfg(feature = "ledger")]
pub mod prompt;
pub mod refusal;
pub mod vocabulary;

pub use refusal::{Refusal, RefusalCode};
pub use vocabulary::*;
