//! What may stand in one direction of a relayed WebSocket: it sees what was read before it goes on, and may keep it
//! waiting, change it, or end it all.
//!
//! Invariant: what a gate has begun is kept in it, so that dropping any of its futures and asking again goes on where
//! it was.

use super::relay::Order;
use crate::websocket::{Message, Passage};
use std::future::Future;

/// One direction's gate.
pub(super) trait Gate: Send {
    /// Something was read: a stretch of a message, or, with `message`, its end. What may go on of it is in the passage,
    /// and nothing of that was written yet; `clean` is whether what was written before ends where a message ends.
    fn take(&mut self, passage: &mut Passage, message: Option<Message>, clean: bool);

    /// Waits until what is in the passage may be written; a stop ends the relay once it was.
    fn ready(&mut self, passage: &mut Passage) -> impl Future<Output = Option<Stop>> + Send;

    /// Waits until there is something to do although nothing was read.
    fn wakes(&mut self, passage: &Passage) -> impl Future<Output = ()> + Send;

    /// Whether what this direction's sender sends is still awaited although its receiver is gone.
    fn is_awaited(&self) -> bool;

    /// The relay is over.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// How a gate ends a relay.
#[derive(Debug)]
pub(super) enum Stop {
    /// With a Close frame of ours to both sides.
    Order(Order),
    /// The client has closed; what is awaited is read to its end without it.
    Left,
}

/// A gate that stands open: no route judges messages, what comes goes on as it came.
pub(super) struct Open;

impl Gate for Open {
    fn take(&mut self, _passage: &mut Passage, _message: Option<Message>, _clean: bool) {}

    async fn ready(&mut self, _passage: &mut Passage) -> Option<Stop> {
        None
    }

    async fn wakes(&mut self, _passage: &Passage) {
        std::future::pending().await
    }

    fn is_awaited(&self) -> bool {
        false
    }

    async fn close(&mut self) {}
}
