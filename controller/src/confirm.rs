//! Approvals over HTTP: the confirmation service, by which bottles ask and operators decide, and the admin API, by which
//! operators see and decide. Both speak the words of the servers that went before them.
//!
//! Invariants: both listen on loopback alone, and answer nobody who was led there by a web page; who decides is known by a
//! token of the operator's, never by what a body says; through a proxy there is nothing that decides.

mod access;
mod answers;
mod decisions;
mod inside;
mod listen;
mod lists;
mod peer;
mod record;
mod reply;
mod service;

pub use listen::{Addresses, Doors, Listening};
