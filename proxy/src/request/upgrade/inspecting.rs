//! Messages of a WebSocket that nobody meters: they stream, each stretch looked at before it goes on, and the connection
//! is ended where something is found.
//!
//! Invariant: a stretch that completes a value does not go on.

use super::super::outbound::strictest;
use super::super::{Outbound, clock};
use super::gate::{Gate, Stop};
use super::relay::Order;
use crate::dlp::Judged;
use crate::websocket::{Message, Passage};
use hudson_dlp::{Action, Fragments, Part, Scanner};
use std::sync::Arc;

/// The client's direction.
pub(super) struct Inspecting {
    outbound: Arc<Outbound>,
    /// Looks at the message under way.
    scanner: Option<Scanner>,
    /// The message under way, for what only several of them show together.
    message: Ends,
    fragments: Fragments,
    judged: Vec<Judged>,
}

impl Inspecting {
    pub(super) fn new(outbound: Arc<Outbound>) -> Self {
        let fragments = outbound.fragments();
        Self { outbound, scanner: None, message: Ends::default(), fragments, judged: Vec::new() }
    }
}

impl Outbound {
    /// Tells of what was found in messages; where that ends the connection, nothing of what waits goes on.
    pub(super) async fn stop(&self, judged: &[Judged], passage: &mut Passage) -> Option<Order> {
        let stops = strictest(judged) >= Action::Redact;
        if stops {
            passage.clear_out();
        }
        // Dropped at this await, it is told again: an event more is better than one less.
        self.act(judged).await;
        stops.then(|| {
            let refusal = self.refusal(judged);
            self.report(&refusal);
            Order::cut_off(&refusal.message)
        })
    }
}

impl Gate for Inspecting {
    fn take(&mut self, passage: &mut Passage, message: Option<Message>, _clean: bool) {
        let outbound = &self.outbound;
        let mut scanner = self.scanner.take().unwrap_or_else(|| outbound.scanner(Part::Message));
        // Pings and Close frames hold bytes of the sender's, too.
        let control = passage.control();
        let mut found = outbound.control(&control);
        if !control.is_empty() {
            let now = u64::try_from(clock()).unwrap_or(0);
            found.extend(self.fragments.push(now, &control));
        }
        let piece = passage.piece();
        found.extend(scanner.feed(&piece));
        self.message.push(&piece);
        match message {
            Some(message) => {
                found.extend(scanner.feed(&message.payload));
                found.extend(scanner.finish());
                self.message.push(&message.payload);
                let now = u64::try_from(clock()).unwrap_or(0);
                found.extend(self.fragments.push(now, &self.message.take()));
            }
            None => {
                found.extend(scanner.flush());
                self.scanner = Some(scanner);
            }
        }
        self.judged.extend(outbound.judge(found));
    }

    async fn ready(&mut self, passage: &mut Passage) -> Option<Stop> {
        if self.judged.is_empty() {
            return None;
        }
        let stop = self.outbound.stop(&self.judged, passage).await;
        self.judged.clear();
        stop.map(Stop::Order)
    }

    async fn wakes(&mut self, _passage: &Passage) {
        std::future::pending().await
    }

    fn is_awaited(&self) -> bool {
        false
    }

    async fn close(&mut self) {}
}

/// The front and the end of a message: pieces of something that others complete are not in the midst of a long one.
#[derive(Default)]
struct Ends(Vec<u8>);

impl Ends {
    /// Bytes of the front, and of the end, that are kept.
    const KEPT: usize = 32 << 10;

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 4 * Self::KEPT {
            self.cut();
        }
    }

    fn take(&mut self) -> Vec<u8> {
        self.cut();
        std::mem::take(&mut self.0)
    }

    fn cut(&mut self) {
        if self.0.len() > 2 * Self::KEPT {
            self.0.drain(Self::KEPT..self.0.len() - Self::KEPT);
        }
    }
}
