//! What a client says on a Realtime socket: each message goes on as it is, with a hold of its own, or not at all.
//!
//! Invariants: a type that is not of the list below is refused; audio goes on only over a standing hold where it may set
//! a model to work; the hold for a response is there before its `response.create` goes on.

use super::super::turns::Turns;
use super::{Call, Cause, MOST_CALLS, Stage, is_asked};
use hudson_meter::request::realtime::{self, RealtimeCap, RealtimeKind, RealtimeMessage};
use hudson_meter::{RequestError, RequestFacts, RequestHead, Rewrite, request};
use hudson_schema::{Refusal, RefusalCode};
use std::time::{Duration, Instant};

/// How long audio is dropped without a word after some was refused: it comes in many small messages.
const DEAF: Duration = Duration::from_secs(1);

impl Turns {
    /// Judges a client's message; what goes on in its place, or nothing without a word.
    pub(in super::super) async fn hear(
        &self,
        head: &RequestHead<'_>,
        message: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let heard = realtime::read(&message).map_err(malformed)?;
        let own = heard.event_id.as_deref().is_some_and(|name| self.is_own(name));
        match heard.kind {
            // Of the client's side; openai-python `realtime_client_event.py`.
            RealtimeKind::Response => return self.respond(head, &heard, own, message).await.map(Some),
            RealtimeKind::SessionUpdate => {
                self.state().live.session.change(&heard);
                // What was heard before may be answered now.
                self.stand(heard.begins_answer).await?;
            }
            RealtimeKind::Item => {
                self.state().live.session.say(heard.input_estimate);
                if heard.begins_answer {
                    self.stand(true).await?;
                }
            }
            RealtimeKind::AudioAppend => {
                if self.is_deaf() {
                    return Ok(None);
                }
                self.state().live.session.hear(message.len());
                if let Err(refusal) = self.stand(false).await {
                    self.state().live.deaf_since = Some(Instant::now());
                    return Err(refusal);
                }
            }
            RealtimeKind::AudioCommit => self.stand(heard.begins_answer).await?,
            RealtimeKind::Control => {}
            _ => {
                let why = "A message of this type is not relayed on a metered WebSocket: it may set a model to work that \
                           nothing was reserved for. Send the events of the Realtime API, `response.create` for a response.";
                return Err(Refusal::new(RefusalCode::UnmeteredEndpoint, why));
            }
        }
        Ok(Some(message))
    }

    /// Admits a response that the client asks for; the message that goes on.
    async fn respond(
        &self,
        head: &RequestHead<'_>,
        heard: &RealtimeMessage,
        own: bool,
        message: Vec<u8>,
    ) -> Result<Vec<u8>, Refusal> {
        let mut facts = request::read(head, &message).map_err(malformed)?;
        {
            let mut state = self.state();
            let live = &mut state.live;
            if live.calls.len() >= MOST_CALLS {
                let why =
                    format!("{MOST_CALLS} responses are under way on this WebSocket; wait for one to end.");
                return Err(Refusal::new(RefusalCode::MalformedRequest, why));
            }
            live.session.complete(&mut facts, head.models);
            if heard.cap == RealtimeCap::Unchanged {
                facts.output_cap = live.session.cap();
            }
        }
        let admitted = self.admitted(&facts).await?;
        let change = Rewrite { output_cap: admitted.output_cap, include_usage: false };
        let mut payload = match request::rewrite(head, &facts, &message, &change) {
            Ok(payload) => payload,
            Err(error) => {
                admitted.settler.release().await;
                return Err(malformed(error));
            }
        };
        let mut state = self.state();
        let event = match &heard.event_id {
            Some(event) => own.then(|| event.clone()),
            // By which an error is known as the answer to this message, and to no other.
            None => payload.iter().position(|byte| *byte == b'{').map(|at| {
                let event = state.live.names.make();
                payload.splice(at..=at, format!("{{\"event_id\":\"{event}\",").into_bytes());
                event
            }),
        };
        state.live.calls.push(Call::new(admitted, Cause::Message(event)));
        Ok(payload)
    }

    /// Sees to it that a hold stands for what the server may begin by itself, if it may begin anything: always, or by
    /// the session.
    async fn stand(&self, always: bool) -> Result<(), Refusal> {
        let catalogue = self.origin.shared.catalogue.load_full();
        let models = catalogue.models(&self.metered.provider);
        let (facts, old) = {
            let mut state = self.state();
            let live = &mut state.live;
            if !always && !live.session.works() {
                return Ok(());
            }
            let facts = live.session.unasked(models);
            let most = facts.output_cap.unwrap_or_default();
            let enough = |call: &Call| match call.cause {
                Cause::Server { input, output } => input >= facts.input_estimate && output >= most,
                Cause::Message(_) => false,
            };
            if live.calls.iter().any(|call| call.is_standing() && enough(call)) {
                return Ok(());
            }
            (facts, live.take_standing())
        };
        // Both at once may not fit. What the server begins in between is admitted when it is seen.
        let mut heard = false;
        if let Some(old) = old {
            heard = old.stage == (Stage::Waiting { heard: true });
            old.settler.release().await;
        }
        let call = Call { stage: Stage::Waiting { heard }, ..self.unasked_call(facts).await? };
        self.state().live.calls.push(call);
        Ok(())
    }

    /// Admits a response that the server begins by itself.
    pub(super) async fn unasked_call(&self, facts: RequestFacts) -> Result<Call, Refusal> {
        // Some more, so that not each word needs a new one.
        let (needed, output) = (facts.input_estimate, facts.output_cap.unwrap_or_default());
        let input = needed.saturating_add(needed / 4);
        let admitted = self.admitted(&RequestFacts { input_estimate: input, ..facts }).await?;
        Ok(Call::new(admitted, Cause::Server { input, output }))
    }

    /// Takes down what a message is called; whether no other was. A call whose name is taken again is told by it no more.
    fn is_own(&self, name: &str) -> bool {
        let live = &mut self.state().live;
        let own = live.names.note(name);
        for call in live.calls.iter_mut().filter(|_| !own) {
            match &mut call.cause {
                Cause::Message(event) if event.as_deref() == Some(name) => *event = None,
                _ => {}
            }
        }
        own
    }

    /// Whether audio is dropped that would be refused.
    fn is_deaf(&self) -> bool {
        self.state().live.deaf_since.is_some_and(|since| since.elapsed() < DEAF)
    }

    /// An error of the server: where it answers a message that asked for a response, none was begun.
    pub(super) fn answered(&self, event: &str) -> Option<Call> {
        let calls = &mut self.state().live.calls;
        let named = Cause::Message(Some(event.to_owned()));
        let answered = |call: &Call| is_asked(call) && call.cause == named;
        let place = calls.iter().position(answered)?;
        Some(calls.remove(place))
    }
}

fn malformed(error: RequestError) -> Refusal {
    Refusal::new(RefusalCode::MalformedRequest, format!("{error}."))
}
