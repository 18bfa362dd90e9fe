//! The promises of the dashboard, on records that never change.

mod approvals;
mod keys;
mod look;
mod scene;
mod words;
