//! End-to-end: the built `hudson`, real clients and a provider simulator, one theme a module.
//!
//! One test binary, because linking is the slow part. Tests run side by side and share nothing but the installed
//! clients and the built program; what they start, they end.

// A helper that cannot set a scene up, or finds less than it must, ends its test.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

/// Prints past the test harness, which keeps `println!` of a test that passes to itself: a figure that nobody sees is
/// none.
macro_rules! report {
    ($($part:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}

mod approvals;
mod approvals_commands;
mod audit;
mod budgets;
mod bypass;
mod cases;
mod channels;
mod clamp;
mod clients;
mod concurrency;
mod confirm;
mod conformance;
mod containers;
mod controller;
mod corporate;
mod corpus;
mod counting;
mod crash;
mod credentials;
mod cut;
mod dashboard;
mod demo;
mod direct;
mod dlp;
mod dlp_commands;
mod doctor;
mod freezing;
mod full_disk;
mod inbound;
mod isolation;
mod limits;
mod listeners;
mod live_budgets;
mod mcp;
mod notify;
mod opaque;
mod protocol;
mod raw;
mod recorded;
mod reload;
mod report;
mod retrieval;
mod rules;
mod sdks;
mod shutdown;
mod signatures;
mod simulator;
mod soak;
mod stops;
mod watching;
mod websocket;
mod wire;
