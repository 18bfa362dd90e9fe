//! The model calls of a metered WebSocket: each is admitted by itself before its message goes on, metered while its
//! response comes, and settled before the client sees its end. Those of OpenAI Realtime are in [`super::realtime`].
//!
//! Invariants: of OpenAI Responses at most one is under way, so that everything the upstream sends belongs to it, whatever lane it names; a
//! second one waits for its end, as in one lane it does at the provider. From its hold on every way out of a turn is a
//! settlement. A response that nobody was admitted for does not pass.

use super::super::admission::{Admitted, admit};
use super::super::head::outbound;
use super::super::settle::Settler;
use super::super::{Origin, Target, count, credential, emit, first_route, judged};
use super::meaning::{self, Asked, Meaning, Refused};
use super::realtime::Live;
use crate::connect::stopping;
use crate::websocket::{Message, MessageKind, Passage};
use http::{HeaderMap, Method, StatusCode};
use hudson_meter::{Catalogue, Meter, RequestFacts, RequestHead, ResponseHead, Rewrite, request};
use hudson_schema::config::Authority;
use hudson_schema::{Format, Provider, Refusal, RefusalCode};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Responses that are remembered, to know the input of those that go on from them.
pub(super) const REMEMBERED: usize = 64;

/// Whom a WebSocket's calls are charged to, and how they are read.
#[derive(Clone, Debug)]
pub(crate) struct Metered {
    pub(crate) provider: Provider,
    pub(crate) format: Format,
}

/// What the two directions of a metered WebSocket share.
pub(super) struct Turns {
    pub(super) origin: Arc<Origin>,
    target: Target,
    /// The headers by which each call is judged.
    asked: HeaderMap,
    pub(super) metered: Metered,
    state: Mutex<State>,
    /// A turn has ended.
    pub(super) ended: Notify,
    /// There is something to say to the client.
    says: Notify,
}

#[derive(Default)]
pub(super) struct State {
    /// The one that is under way, of OpenAI Responses.
    pub(super) turn: Option<Turn>,
    /// The session of OpenAI Realtime, and its calls.
    pub(super) live: Live,
    /// Whether the one that ended last is not in the ledger yet.
    pub(super) settling: bool,
    /// Messages of ours to the client.
    pub(super) said: VecDeque<String>,
    /// The responses that ended last, each with all of its tokens.
    pub(super) responses: VecDeque<(String, u64)>,
}

/// A model call that was let through.
pub(super) struct Turn {
    pub(super) meter: Meter,
    pub(super) settler: Settler,
    pub(super) cut_at: Option<u64>,
    /// The lane it came in.
    pub(super) lane: Option<String>,
    /// Whether something else went to the upstream meanwhile, which an error may be the answer to.
    pub(super) aside: bool,
}

impl State {
    fn is_free(&self) -> bool {
        !self.is_under_way() && !self.settling
    }

    /// Whether a response comes, or has to.
    pub(super) fn is_under_way(&self) -> bool {
        self.turn.is_some() || self.live.is_under_way()
    }
}

pub(super) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Turns {
    pub(super) fn new(origin: Arc<Origin>, target: Target, asked: HeaderMap, metered: Metered) -> Arc<Self> {
        let (ended, says) = (Notify::new(), Notify::new());
        let turns = Self { origin, target, asked, metered, state: Mutex::default(), ended, says };
        if turns.metered.format == Format::OpenaiRealtime {
            // The address says the model, until the server does.
            let host = turns.origin.authority.host.to_string();
            let catalogue = turns.origin.shared.catalogue.load_full();
            let named = request::read(&turns.head(&host, &catalogue), br#"{"type":"response.create"}"#);
            turns.state().live.addressed(named.ok().and_then(|facts| facts.model));
        }
        Arc::new(turns)
    }

    /// Waits until no turn is under way, and the last one is in the ledger.
    pub(super) async fn none(&self) {
        loop {
            let ended = self.ended.notified();
            if self.state().is_free() {
                return;
            }
            ended.await;
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Each critical section leaves whole what it changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges a client's message; the payload that goes on in its place, if any does.
    pub(super) async fn judge(&self, message: Message) -> Option<Vec<u8>> {
        match self.read(message).await {
            Ok(payload) => payload,
            Err(Refused { refusal, lane }) => {
                self.refuse(&refusal, lane.as_deref());
                None
            }
        }
    }

    async fn read(&self, message: Message) -> Result<Option<Vec<u8>>, Refused> {
        if message.kind == MessageKind::Binary {
            let why = "Messages on a metered WebSocket are text.";
            return Err(Refused { refusal: Refusal::new(RefusalCode::MalformedRequest, why), lane: None });
        }
        let host = self.origin.authority.host.to_string();
        let catalogue = self.origin.shared.catalogue.load_full();
        let head = self.head(&host, &catalogue);
        if self.metered.format == Format::OpenaiRealtime {
            let heard = self.hear(&head, message.payload).await;
            return heard.map_err(|refusal| Refused { refusal, lane: None });
        }
        match meaning::read(&head, &message.payload)? {
            (Meaning::Passes, _) => {
                if let Some(turn) = &mut self.state().turn {
                    turn.aside = true;
                }
                Ok(Some(message.payload))
            }
            (Meaning::Turn(asked), lane) => {
                self.none().await;
                let facts = self.with_context(*asked);
                let begun = self.begin(&head, facts, &message.payload, lane.clone()).await;
                begun.map(Some).map_err(|refusal| Refused { refusal, lane })
            }
        }
    }

    fn head<'a>(&'a self, host: &'a str, catalogue: &'a Catalogue) -> RequestHead<'a> {
        let Target { path, query, .. } = &self.target;
        let Metered { provider, format } = &self.metered;
        let (format, query, models) = (*format, query.as_deref(), catalogue.models(provider));
        RequestHead { format, host, path, query, content_type: None, socket: true, models }
    }

    /// The facts with what the message only names: the response it goes on from was counted here, and all of it is input
    /// of this one. What was said on another connection nobody knows.
    fn with_context(&self, Asked { mut facts, previous }: Asked) -> RequestFacts {
        let state = self.state();
        let known = state.responses.iter().find(|(id, _)| Some(id) == previous.as_ref());
        facts.input_estimate = facts.input_estimate.saturating_add(known.map_or(0, |(_, tokens)| *tokens));
        facts
    }

    /// Admits a turn; the message that goes on.
    async fn begin(
        &self,
        head: &RequestHead<'_>,
        mut facts: RequestFacts,
        message: &[u8],
        lane: Option<String>,
    ) -> Result<Vec<u8>, Refusal> {
        if let Some(exact) = self.counted(head, &facts, message).await? {
            count::take(&mut facts, exact);
        }
        let Admitted { settler, output_cap, cut_at, .. } = self.admitted(&facts).await?;
        let change = Rewrite { output_cap, include_usage: false };
        let payload = match request::rewrite(head, &facts, message, &change) {
            Ok(payload) => payload,
            Err(error) => {
                settler.release().await;
                return Err(Refusal::new(RefusalCode::MalformedRequest, format!("{error}.")));
            }
        };
        let meter = Meter::new(self.metered.format, &RESPONSE);
        self.state().turn = Some(Turn { meter, settler, cut_at, lane, aside: false });
        Ok(payload)
    }

    /// The provider's own count of a turn's input, where it is asked for: over HTTP, with the credentials of this moment.
    async fn counted(
        &self,
        head: &RequestHead<'_>,
        facts: &RequestFacts,
        message: &[u8],
    ) -> Result<Option<u64>, Refusal> {
        let Self { origin, target, asked, metered, .. } = self;
        let policy = origin.run.policy();
        if policy.count_tokens.is_none() {
            return Ok(None);
        }
        let route = judged(origin, &policy, target, asked)?.route;
        let Authority { host, port } = &origin.authority;
        let dialled = first_route(&policy.routes, origin.scheme, host, *port);
        let credentials = &credential::read(origin, route, dialled).await?;
        let mut headers = asked.clone();
        outbound(&mut headers);
        let (provider, headers) = (&metered.provider, &headers);
        count::exact(
            origin,
            count::Asked { route, provider, head, headers, body: message, facts, credentials },
        )
        .await
    }

    /// Judges and admits a model call by the routes and the budget of this moment.
    pub(super) async fn admitted(&self, facts: &RequestFacts) -> Result<Admitted, Refusal> {
        let Self { origin, target, asked, metered, .. } = self;
        if origin.shared.shutdown.is_cancelled() {
            return Err(stopping());
        }
        let policy = origin.run.policy();
        let route = judged(origin, &policy, target, asked)?.route;
        admit(origin, route, metered.provider.clone(), metered.format, facts).await
    }

    /// Answers a message with a refusal.
    fn refuse(&self, refusal: &Refusal, lane: Option<&str>) {
        self.report(refusal);
        if let Some(text) = refusal.message(self.metered.format, lane) {
            self.state().said.push_back(text);
            self.says.notify_one();
        }
    }

    /// Puts in what there is to say, where it stands between the upstream's messages.
    pub(super) fn speak(&self, passage: &mut Passage) {
        if passage.out().is_empty() && passage.is_between_messages() {
            while let Some(text) = { self.state().said.pop_front() } {
                passage.say(text.as_bytes());
            }
        }
    }

    /// Waits until there is something to say, and a place for it.
    pub(super) async fn has_to_say(&self, passage: &Passage) {
        loop {
            let says = self.says.notified();
            if passage.is_between_messages() && !self.state().said.is_empty() {
                return;
            }
            says.await;
        }
    }

    pub(super) fn report(&self, refusal: &Refusal) {
        let Origin { shared, run, authority, .. } = &*self.origin;
        let status = refusal.response(Some(self.metered.format)).status;
        let status = StatusCode::from_u16(status).ok();
        emit(shared, Some(run), &Method::GET, authority.host.to_string(), &self.target.path, status, refusal);
    }
}

/// What is known of a response on a WebSocket before it comes. The status in the ledger is the response's own: 101 is
/// the connection's.
pub(super) const RESPONSE: ResponseHead<'static> =
    ResponseHead { status: 200, content_type: None, content_encoding: None, stated: None };
