//! What the targets do, in functions that proxy/tests/seeds.rs calls with every seed too.
#![allow(dead_code, reason = "each target uses a part")]

pub mod approvals;
pub mod dlp;
pub mod files;
pub mod hello;
pub mod metering;
pub mod policy;
pub mod websocket;
