//! The dashboard without its edge: what it knows, how that changes, and how it looks.
//!
//! Invariants: state changes in [`update()`] alone, on an event; drawing is a function of the state; neither reads a
//! clock, a file or a ledger. What an event asks of the world comes back as effects, which `hudson dashboard` carries out.

mod audit;
mod event;
mod format;
mod keys;
mod layout;
mod list;
mod snapshot;
mod state;
mod update;
mod view;

pub(crate) use audit::sentence;
pub(crate) use event::{Effect, Event, Order};
pub(crate) use format::{clean, exact_tokens, tokens};
pub(crate) use snapshot::{
    Away, Bottle, BottleState, EventRow, Limit, Origin, Refusal, Run, Snapshot, Spent, Waiting,
};
pub(crate) use state::State;
pub(crate) use update::update;
pub(crate) use view::view;

#[cfg(test)]
mod tests;
