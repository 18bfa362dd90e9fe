//! The upstream's direction of a metered WebSocket: each stretch of a message is counted before it goes on, and the
//! message that ends a response waits until that is settled.

use super::super::settle::Settler;
use super::gate::{Gate, Stop};
use super::relay::Order;
use super::turns::{REMEMBERED, RESPONSE, Turn, Turns, Work};
use crate::dlp::sealed::SealedNote;
use crate::websocket::{Message, Passage};
use http::StatusCode;
use hudson_meter::{End, Meter, Report};
use hudson_schema::Refusal;
use std::sync::Arc;

/// How much of an upstream's error is read for its status, in bytes.
const ERROR: usize = 4 << 10;

/// The upstream's direction.
pub(super) struct Metering {
    turns: Arc<Turns>,
    /// Reads the message under way by itself: whether a response ends with it, and which.
    message: Meter,
    /// Notes what it has sealed.
    note: SealedNote,
    /// Its beginning.
    beginning: Vec<u8>,
    settling: Option<Work<()>>,
    stop: Option<Stop>,
}

impl Metering {
    pub(super) fn new(turns: Arc<Turns>) -> Self {
        let message = Meter::new(turns.metered.format, &RESPONSE);
        let note = SealedNote::default();
        Self { turns, message, note, beginning: Vec::new(), settling: None, stop: None }
    }

    /// Feeds a stretch of a message; the refusal to end the turn with, once it is past its cut.
    fn feed(&mut self, piece: &[u8]) -> Option<Refusal> {
        self.message.feed(piece);
        self.note.feed(piece, &self.turns.origin.shared.sealed);
        let room = ERROR.saturating_sub(self.beginning.len()).min(piece.len());
        self.beginning.extend_from_slice(piece.get(..room).unwrap_or_default());
        let mut state = self.turns.state();
        let turn = state.turn.as_mut()?;
        turn.meter.feed(piece);
        let counted = turn.meter.live_output();
        turn.cut_at.is_some_and(|at| counted > at).then(|| turn.settler.cut(counted))
    }

    /// A message is complete: it may be the last of its response, or the first of one that nobody asked for.
    fn end_message(&mut self) {
        self.note.end(&self.turns.origin.shared.sealed);
        let next = Meter::new(self.turns.metered.format, &RESPONSE);
        let alone = std::mem::replace(&mut self.message, next).finish(End::Complete);
        let beginning = std::mem::take(&mut self.beginning);
        let mut state = self.turns.state();
        let Some(turn) = &state.turn else {
            let known = || state.responses.iter().any(|(id, _)| Some(id) == alone.response_id.as_ref());
            if (alone.response_id.is_some() || alone.usage.is_some()) && !known() {
                self.stop =
                    Some(Stop::Order(Order::cut_off("a response came that nothing was reserved for")));
            }
            return;
        };
        if !alone.finished {
            return;
        }
        let refused = (!turn.aside).then(|| error_status(&beginning)).flatten();
        let turn = state.turn.take();
        if let Some(Turn { meter, settler, .. }) = turn {
            let whole = meter.finish(End::Complete);
            // An error before a response was begun is the answer of an HTTP request, and as free.
            let untouched = whole.response_id.is_none() && whole.live_output == 0;
            let status = refused.filter(|_| untouched).unwrap_or(StatusCode::OK);
            let report = of(whole, alone);
            if let Some(id) = &report.response_id {
                state.responses.push_front((id.clone(), report.usage.map_or(0, |usage| usage.total)));
                state.responses.truncate(REMEMBERED);
            }
            drop(state);
            self.settling = Some(settle(&self.turns, settler, status, report));
        }
    }

    /// Ends the turn under way by what was seen of it.
    fn interrupt(&mut self) {
        let turn = self.turns.state().turn.take();
        if let Some(Turn { meter, settler, .. }) = turn {
            let report = Report { stream: true, ..meter.finish(End::Interrupted) };
            self.settling = Some(settle(&self.turns, settler, StatusCode::OK, report));
        }
    }
}

impl Gate for Metering {
    fn take(&mut self, passage: &mut Passage, message: Option<Message>, clean: bool) {
        let piece = match &message {
            Some(message) => message.payload.clone(),
            None => passage.piece(),
        };
        let cut = self.feed(&piece);
        if let Some(refusal) = cut {
            let lane = self.turns.state().turn.as_ref().and_then(|turn| turn.lane.clone());
            self.turns.report(&refusal);
            self.interrupt();
            passage.clear_out();
            if let Some(text) = refusal.message(self.turns.metered.format, lane.as_deref()).filter(|_| clean)
            {
                passage.say(text.as_bytes());
            }
            self.stop = Some(Stop::Order(Order::cut_off(&refusal.message)));
        } else if message.is_some() {
            self.end_message();
            if self.stop.is_some() {
                passage.clear_out();
            }
        }
    }

    async fn ready(&mut self, passage: &mut Passage) -> Option<Stop> {
        if let Some(settling) = &mut self.settling {
            settling.as_mut().await;
            self.settling = None;
        }
        if self.stop.is_none() {
            self.turns.speak(passage);
        }
        self.stop.take()
    }

    async fn wakes(&mut self, passage: &Passage) {
        self.turns.has_to_say(passage).await;
    }

    fn is_awaited(&self) -> bool {
        self.settling.is_some() || self.turns.state().turn.is_some()
    }

    async fn close(&mut self) {
        if self.settling.is_none() {
            self.interrupt();
        }
        if let Some(settling) = &mut self.settling {
            settling.as_mut().await;
            self.settling = None;
        }
    }
}

impl Drop for Metering {
    fn drop(&mut self) {
        // A relay that was dropped in the midst: what is left is settled all the same.
        if let Some(settling) = self.settling.take() {
            self.turns.origin.shared.tasks.spawn(settling);
        }
    }
}

/// The report of a turn: by the message that ended it, where that states the usage, since it is read by itself whatever
/// came before it; and what was counted over all of them.
fn of(whole: Report, last: Report) -> Report {
    let live_output = whole.live_output;
    let model = last.model.clone().or(whole.model.clone());
    let response_id = last.response_id.clone().or(whole.response_id.clone());
    let report = if last.usage.is_some() { last } else { whole };
    Report { stream: true, live_output, model, response_id, ..report }
}

fn settle(turns: &Arc<Turns>, settler: Settler, status: StatusCode, report: Report) -> Work<()> {
    let turns = turns.clone();
    turns.state().settling = true;
    Box::pin(async move {
        settler.finish(status, report).await;
        turns.state().settling = false;
        turns.ended.notify_waiters();
    })
}

/// The HTTP status that an upstream's error message stands for (`status`; Codex also knows `status_code`).
fn error_status(message: &[u8]) -> Option<StatusCode> {
    #[derive(serde::Deserialize)]
    struct Told {
        #[serde(rename = "type")]
        kind: String,
        #[serde(alias = "status_code")]
        status: Option<u16>,
    }
    let told: Told = serde_json::from_slice(message).ok()?;
    let status = StatusCode::from_u16(told.status?).ok()?;
    (told.kind == "error" && !status.is_success()).then_some(status)
}
