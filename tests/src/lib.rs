//! Everything the end-to-end suites stand on: the provider simulator and a small language for telling scenarios.
//!
//! The benchmarks use the simulator too. Nothing here depends on Hudson's crates: the built `hudson` is judged from
//! outside, by its exit code, its output, its ledger and what arrived at the simulator.

// Test support: a scenario that cannot be set up ends its test at once, and the message says what was missing.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod clients;
pub mod engine;
pub mod events;
pub mod hudson;
pub mod ledger;
pub mod process;
pub mod simulator;
pub mod soak;
pub mod world;

pub use clients::{Clients, Invocation};
pub use events::Refusal;
pub use ledger::UsageRow;
pub use process::Outcome;
pub use world::World;
