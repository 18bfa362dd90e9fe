//! What can be watched from outside: the registry of metrics, from which their page and docs/metrics.md come, and the
//! counters behind those that no ledger has.
//!
//! Invariants: a metric's labels have few values: bottles, providers and codes, no run, host or path; nothing secret is
//! among them; counting on a request's way never waits for a reader.

mod counters;
mod listener;
mod page;
mod registry;

pub use counters::{Counters, Dlp};
pub use listener::{Access, listen};
pub use page::{CONTENT_TYPE, Page};
pub use registry::*;
