//! What a Realtime server says: every message is read by itself before its last stretch goes on, and one that ends a
//! response waits until that is settled.
//!
//! Invariants: a response goes on only once it has a hold; its usage is what its own `response.done` states, whatever
//! other responses are under way; memory is a scanner and the beginning of one message.

use super::super::super::settle::Settler;
use super::super::gate::{Gate, Stop};
use super::super::relay::Order;
use super::super::turns::{REMEMBERED, RESPONSE, Turns, Work};
use super::told::Told;
use super::{Call, MOST_CALLS, Stage};
use crate::websocket::{Message, Passage};
use http::StatusCode;
use hudson_meter::request::realtime;
use hudson_meter::{End, Meter, Report};
use hudson_schema::{Refusal, Usage};
use std::sync::Arc;

/// How much of a message is kept to know a session or an error by, in bytes. A session that is larger counts as one
/// whose server works by itself.
const KEPT: usize = 256 << 10;

/// The upstream's direction.
pub(in super::super) struct Listening {
    turns: Arc<Turns>,
    /// Reads the message under way.
    message: Meter,
    beginning: Vec<u8>,
    /// Whether that is all of the message.
    whole: bool,
    settling: Option<Work<Option<Stop>>>,
    stop: Option<Stop>,
}

/// What is settled, and by what.
type Settled = (Settler, Option<(StatusCode, Report)>);

impl Listening {
    pub(in super::super) fn new(turns: Arc<Turns>) -> Self {
        let message = turns.reader();
        Self { turns, message, beginning: Vec::new(), whole: true, settling: None, stop: None }
    }

    fn feed(&mut self, piece: &[u8]) {
        self.message.feed(piece);
        let room = KEPT.saturating_sub(self.beginning.len()).min(piece.len());
        self.whole &= room == piece.len();
        self.beginning.extend_from_slice(piece.get(..room).unwrap_or_default());
    }

    /// A message is complete; the refusal to end it all with, if a response is past its cut.
    fn end_message(&mut self) -> Option<Refusal> {
        let beginning = std::mem::take(&mut self.beginning);
        if std::mem::replace(&mut self.whole, true)
            && let Ok(told) = serde_json::from_slice(&beginning)
        {
            self.told(told, &beginning);
        }
        let next = self.turns.reader();
        let alone = std::mem::replace(&mut self.message, next).finish(End::Complete);
        if alone.response_id.is_some() || alone.finished {
            self.response(alone);
        } else if alone.usage.is_some() {
            self.side_work(alone);
        } else if alone.live_output > 0 {
            return self.count(alone.live_output);
        }
        None
    }

    /// What a message tells of the session, and of messages of the client.
    fn told(&mut self, told: Told, message: &[u8]) {
        let mut state = self.turns.state();
        match told.kind.as_str() {
            "session.created" | "session.updated" | "transcription_session.updated" => {
                let Ok(session) = realtime::read(message) else { return };
                let audio = told.audio();
                state.live.session.state(&session, told.kind != "session.created");
                state.live.session.audio = audio.or(state.live.session.audio.take());
                // What it began before, it said before.
                let needed = state.live.session.works();
                let silenced = if needed { None } else { state.live.take_unheard() };
                drop(state);
                self.settle(silenced.into_iter().map(|call| (call.settler, None)).collect());
            }
            "input_audio_buffer.committed" | "input_audio_buffer.timeout_triggered" => {
                for call in state.live.calls.iter_mut().filter(|call| call.is_standing()) {
                    call.stage = Stage::Waiting { heard: true };
                }
            }
            "error" => {
                drop(state);
                if let Some(call) = told.answers().and_then(|event| self.turns.answered(&event)) {
                    let report = Report { stream: true, ..Report::default() };
                    self.settle(vec![(call.settler, Some((StatusCode::BAD_REQUEST, report)))]);
                }
            }
            _ => {}
        }
    }

    /// A response begins, goes on or ends.
    fn response(&mut self, alone: Report) {
        let mut state = self.turns.state();
        let id = alone.response_id.clone();
        if id.is_some() && state.responses.iter().any(|(known, _)| Some(known) == id.as_ref()) {
            return;
        }
        let Some(place) = state.live.place_of(id.as_deref()) else {
            drop(state);
            let turns = self.turns.clone();
            return self.settling = Some(work(&self.turns, async move { turns.adopt(alone).await }));
        };
        if !alone.finished {
            if let Some(call) = state.live.calls.get_mut(place) {
                call.stage = Stage::Begun(id);
            }
            return;
        }
        let call = state.live.calls.remove(place);
        drop(state);
        let settled = self.turns.done(call, alone);
        self.settle(vec![settled]);
    }

    /// Side work is settled with a response that is under way, else by itself.
    fn side_work(&mut self, alone: Report) {
        let mut state = self.turns.state();
        let begun = |call: &&mut Call| matches!(call.stage, Stage::Begun(_));
        if let Some(call) = state.live.calls.iter_mut().find(begun) {
            call.side = call.side + alone.usage.unwrap_or_default();
            return;
        }
        let standing = state.live.take_standing();
        drop(state);
        let report = Report { stream: true, finished: true, ..alone };
        match standing {
            Some(call) => self.settle(vec![(call.settler, Some((StatusCode::OK, report)))]),
            None => {
                let turns = self.turns.clone();
                self.settling = Some(work(&self.turns, async move { turns.adopt(report).await }));
            }
        }
    }

    /// Counts what was generated; where several responses are under way, for each of them.
    fn count(&mut self, tokens: u64) -> Option<Refusal> {
        let mut state = self.turns.state();
        let Some(place) = state.live.place_of(None) else {
            drop(state);
            let turns = self.turns.clone();
            let report = Report { live_output: tokens, ..Report::default() };
            self.settling = Some(work(&self.turns, async move { turns.adopt(report).await }));
            return None;
        };
        if let Some(call) =
            state.live.calls.get_mut(place).filter(|call| matches!(call.stage, Stage::Waiting { .. }))
        {
            call.stage = Stage::Begun(None);
        }
        let begun = |call: &&mut Call| matches!(call.stage, Stage::Begun(_));
        for call in state.live.calls.iter_mut().filter(begun) {
            call.live = call.live.saturating_add(tokens);
        }
        let past = |call: &&Call| call.cut_at.is_some_and(|at| call.live > at);
        state.live.calls.iter().find(past).map(|call| call.settler.cut(call.live))
    }

    /// Ends the calls under way by what was seen of them.
    fn interrupt(&mut self) {
        let calls = std::mem::take(&mut self.turns.state().live.calls);
        let settled = calls.into_iter().map(|call| self.turns.left(call)).collect();
        self.settle(settled);
    }

    fn settle(&mut self, settled: Vec<Settled>) {
        if settled.is_empty() {
            return;
        }
        let earlier = self.settling.take();
        self.settling = Some(work(&self.turns, async move {
            let stop = match earlier {
                Some(earlier) => earlier.await,
                None => None,
            };
            for (settler, by) in settled {
                match by {
                    Some((status, report)) => settler.finish(status, report).await,
                    None => settler.release().await,
                }
            }
            stop
        }));
    }

    /// Waits for what has to be done; whether it ends it all.
    async fn settled(&mut self) -> bool {
        let Some(settling) = &mut self.settling else { return false };
        let stop = settling.as_mut().await;
        self.settling = None;
        let ends = stop.is_some();
        self.stop = self.stop.take().or(stop);
        ends
    }
}

impl Gate for Listening {
    fn take(&mut self, passage: &mut Passage, message: Option<Message>, clean: bool) {
        match &message {
            Some(message) => self.feed(&message.payload),
            None => {
                let piece = passage.piece();
                self.feed(&piece);
            }
        }
        if message.is_none() {
            return;
        }
        if let Some(refusal) = self.end_message() {
            self.turns.report(&refusal);
            self.interrupt();
            passage.clear_out();
            if let Some(text) = refusal.message(self.turns.metered.format, None).filter(|_| clean) {
                passage.say(text.as_bytes());
            }
            self.stop = Some(Stop::Order(Order::cut_off(&refusal.message)));
        }
    }

    async fn ready(&mut self, passage: &mut Passage) -> Option<Stop> {
        if self.settled().await {
            // What began without a hold does not go on.
            passage.clear_out();
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
        self.settling.is_some() || self.turns.state().is_under_way()
    }

    async fn close(&mut self) {
        self.settled().await;
        self.interrupt();
        self.settled().await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // A relay that was dropped in the midst: what is left is settled all the same.
        if let Some(settling) = self.settling.take() {
            self.turns.origin.shared.tasks.spawn(async move {
                settling.await;
            });
        }
    }
}

impl Turns {
    /// A reader for one message, which knows the coding of the audio from those before.
    fn reader(&self) -> Meter {
        let mut reader = Meter::new(self.metered.format, &RESPONSE);
        if let Some(audio) = &self.state().live.session.audio {
            let known =
                serde_json::json!({"type": "session.updated", "session": {"output_audio_format": audio}});
            reader.feed(known.to_string().as_bytes());
        }
        reader
    }

    /// A response has ended: how its call is settled.
    fn done(&self, call: Call, alone: Report) -> Settled {
        let mut state = self.state();
        let usage = alone.usage;
        state.live.session.say(usage.map_or(call.live, |usage| usage.output));
        if let Some(id) = &alone.response_id {
            state.responses.push_front((id.clone(), usage.map_or(0, |usage| usage.total)));
            state.responses.truncate(REMEMBERED);
        }
        let model = alone.model.clone().or(state.live.session.model.clone());
        let usage = usage.map(|usage| usage + call.side);
        let live_output = call.live.saturating_add(if usage.is_some() { 0 } else { call.side.total });
        (call.settler, Some((StatusCode::OK, Report { stream: true, usage, model, live_output, ..alone })))
    }

    /// A call that nothing more is seen of: what was asked for may have been spent, what only stood was not.
    fn left(&self, call: Call) -> Settled {
        if call.is_standing()
            && call.stage == (Stage::Waiting { heard: false })
            && call.side == Usage::default()
        {
            return (call.settler, None);
        }
        let state = self.state();
        let response_id = match call.stage {
            Stage::Begun(id) => id,
            Stage::Waiting { .. } => None,
        };
        let model = state.live.session.model.clone();
        let live_output = call.live.saturating_add(call.side.total);
        (
            call.settler,
            Some((
                StatusCode::OK,
                Report { stream: true, model, response_id, live_output, ..Report::default() },
            )),
        )
    }

    /// Admits what the server began without a hold, before it goes on; the end of it all where that is refused.
    async fn adopt(&self, alone: Report) -> Option<Stop> {
        let catalogue = self.origin.shared.catalogue.load_full();
        let facts = {
            let state = self.state();
            if state.live.calls.len() >= MOST_CALLS {
                return Some(Stop::Order(Order::cut_off("too many responses are under way")));
            }
            state.live.session.unasked(catalogue.models(&self.metered.provider))
        };
        let mut call = match self.unasked_call(facts).await {
            Ok(call) => call,
            Err(refusal) => {
                self.report(&refusal);
                return Some(Stop::Order(Order::cut_off("a response came that nothing was reserved for")));
            }
        };
        if alone.finished {
            let (settler, by) = self.done(call, alone);
            if let Some((status, report)) = by {
                settler.finish(status, report).await;
            }
        } else {
            call.live = alone.live_output;
            call.stage = Stage::Begun(alone.response_id);
            self.state().live.calls.push(call);
        }
        None
    }
}

/// Work that has to be done before anything else goes on.
fn work(
    turns: &Arc<Turns>,
    inner: impl Future<Output = Option<Stop>> + Send + 'static,
) -> Work<Option<Stop>> {
    let turns = turns.clone();
    turns.state().settling = true;
    Box::pin(async move {
        let stop = inner.await;
        turns.state().settling = false;
        turns.ended.notify_waiters();
        stop
    })
}
