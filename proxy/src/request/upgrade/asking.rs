//! The client's direction of a metered WebSocket: each message is held back until it was judged.

use super::super::Outbound;
use super::gate::{Gate, Stop};
use super::relay::Order;
use super::turns::{Turns, Work};
use crate::dlp::Judged;
use crate::websocket::{Message, Passage};
use hudson_schema::Refusal;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Messages up to this length, in bytes, need no room of their own: a lane's buffers are as large.
const SMALL: u64 = 64 << 10;
/// Refusals that wait for a message of the upstream to end. A client that sends more waits, too.
const MOST_SAID: usize = 16;

/// The client's direction.
pub(super) struct Asking {
    turns: Arc<Turns>,
    /// What is looked for in its messages.
    outbound: Option<Arc<Outbound>>,
    judging: Option<Work<Result<Option<Vec<u8>>, Order>>>,
    /// What was found in control frames, which are not held back with messages.
    found: Vec<Judged>,
    /// Room in memory for the message under way.
    room: Option<OwnedSemaphorePermit>,
}

impl Asking {
    pub(super) fn new(turns: Arc<Turns>, outbound: Option<Arc<Outbound>>) -> Self {
        Self { turns, outbound, judging: None, found: Vec::new(), room: None }
    }

    /// Waits for room for the message under way, so that bottles together cannot fill the memory.
    async fn make_room(&mut self, passage: &Passage) -> Result<(), Stop> {
        let announced = passage.announced();
        if announced <= SMALL {
            return Ok(());
        }
        let shared = &self.turns.origin.shared;
        // As it came, and rewritten.
        let kib = u32::try_from(announced.saturating_mul(2).div_ceil(1024)).unwrap_or(u32::MAX);
        let had = self.room.as_ref().map_or(0, |room| room.num_permits() as u32);
        let more = kib.saturating_sub(had);
        if more == 0 {
            return Ok(());
        }
        let waiting = shared.bodies.clone().acquire_many_owned(more);
        let Ok(Ok(more)) = tokio::time::timeout(shared.limits.body, waiting).await else {
            return Err(Stop::Order(Order::try_later("too many large messages at once")));
        };
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        Ok(())
    }
}

/// The message as it may leave.
async fn looked_at(outbound: Option<Arc<Outbound>>, mut message: Message) -> Result<Message, Refusal> {
    let Some(outbound) = outbound else { return Ok(message) };
    let payload = std::mem::take(&mut message.payload);
    let checked = outbound.message(payload.into()).await.inspect_err(|refusal| outbound.report(refusal))?;
    message.payload = checked.into();
    Ok(message)
}

impl Gate for Asking {
    fn take(&mut self, passage: &mut Passage, message: Option<Message>, _clean: bool) {
        let control = passage.control();
        if let Some(outbound) = &self.outbound {
            self.found.extend(outbound.judge(outbound.control(&control)));
        }
        if let Some(message) = message {
            let (turns, outbound) = (self.turns.clone(), self.outbound.clone());
            self.judging = Some(Box::pin(async move {
                match looked_at(outbound, message).await {
                    Ok(message) => Ok(turns.judge(message).await),
                    Err(refusal) => Err(Order::cut_off(&refusal.message)),
                }
            }));
        }
        // A client that closes in the midst of a response must not end it for the meter.
        if passage.is_closed() && self.turns.state().is_under_way() {
            passage.clear_out();
        }
    }

    async fn ready(&mut self, passage: &mut Passage) -> Option<Stop> {
        if let (false, Some(outbound)) = (self.found.is_empty(), &self.outbound) {
            let stop = outbound.stop(&self.found, passage).await;
            self.found.clear();
            if stop.is_some() {
                return stop.map(Stop::Order);
            }
        }
        if let Some(judging) = &mut self.judging {
            let judged = judging.as_mut().await;
            self.judging = None;
            self.room = None;
            match judged {
                Ok(Some(payload)) => passage.admit(&payload),
                Ok(None) => passage.dismiss(),
                Err(order) => {
                    passage.dismiss();
                    return Some(Stop::Order(order));
                }
            }
        }
        // One that asks on and on without reading what it is told is not read either.
        while self.turns.state().said.len() >= MOST_SAID {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if passage.is_closed() && passage.out().is_empty() && self.turns.state().is_under_way() {
            return Some(Stop::Left);
        }
        self.make_room(passage).await.err()
    }

    async fn wakes(&mut self, _passage: &Passage) {
        std::future::pending().await
    }

    fn is_awaited(&self) -> bool {
        false
    }

    async fn close(&mut self) {}
}
