//! The promises of the dashboard, on records that never change.

mod keys;
mod look;
mod scene;
mod words;
