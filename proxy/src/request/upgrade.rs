//! Opening a WebSocket for the client: the request goes the way of every other, the upstream's own answer comes back,
//! and only its 101 turns the connection into something else.
//!
//! Invariant: no 101 is given that the upstream did not give, for what the client offered and without extensions; what
//! is open is judged again whenever a request would be judged differently, and ended when it would be refused.

mod asking;
mod gate;
mod inspecting;
mod lane;
mod meaning;
mod metering;
mod realtime;
mod relay;
mod turns;

use super::block::until_ended;
use super::credential::{Credentials, Payload};
use super::echo::RedactHeaders;
use super::gate::Gate;
use super::rules::{self, Sent};
use super::{Origin, Outbound, Place, Target, first_route, forward, head, judged, until_blocked};
use crate::body::{self, Body};
use crate::event::Event;
use crate::run::RunPolicy;
use crate::shared::Shared;
use crate::tasks::Whose;
use crate::tls::Wire;
use crate::tunnel::TunnelGuard;
use crate::websocket::{self, DEFAULT_MESSAGE, Handing, Offer, Passage, Sender};
use asking::Asking;
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use hudson_dlp::Redactor;
use hudson_schema::config::{Authority, Credential, IpNetwork, LogLevel, Upstream};
use hudson_schema::{Format, Refusal, RefusalCode, RunId};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use inspecting::Inspecting;
use lane::Lane;
use metering::Metering;
use realtime::Listening;
use relay::{Cause, Order, Relayed};
use secrecy::SecretString;
use std::sync::Arc;
pub(super) use turns::Metered;
use turns::Turns;

/// What is asked, as it was judged so far.
pub(super) struct Judged<'a> {
    pub(super) policy: Arc<RunPolicy>,
    pub(super) target: &'a Target,
    /// What is looked for in its messages.
    pub(super) outbound: Option<Arc<Outbound>>,
    /// What its rules and people say.
    pub(super) gate: Gate<'a>,
    pub(super) offer: Offer,
    pub(super) metered: Option<Metered>,
}

/// Sends the opening handshake on and, when the upstream accepts it, relays in a task of its own; where it is `metered`,
/// with each of its model calls admitted and settled by itself.
pub(super) async fn exchange(
    origin: &Arc<Origin>,
    Judged { policy, target, outbound, mut gate, offer, metered }: Judged<'_>,
    credentials: Credentials,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    if request.version() != Version::HTTP_11 || !request.body().is_end_stream() {
        let message = "A WebSocket is opened over HTTP/1.1, by a request without a body.";
        return Err(Refusal::new(RefusalCode::MalformedRequest, message));
    }
    gate.read(request.headers(), Sent::None).await?;
    let permits = gate.pass(request.headers(), Some(&[]), outbound.as_ref()).await?;
    let client = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let mut headers = parts.headers.clone();
    head::outbound(&mut headers);
    if !credentials.is_empty() {
        head::readable_encodings(&mut headers, true);
    }
    headers.remove(header::CONTENT_LENGTH);
    let mut sent = forward::build(origin, target, &credentials, headers, body::empty())?;
    offer.put_on(sent.headers_mut());
    credentials.sign(&mut sent, Payload::Bytes(&[]))?;
    let answer = forward::send_permitted(origin, None, sent, Wire::Http1, permits).await;
    let mut response = answer.map_err(|unsent| unsent.refusal)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return forward::respond(origin, &credentials, response);
    }
    offer.check(response.headers()).map_err(|fault| {
        let message = format!("{}: {fault}.", origin.authority.host);
        Refusal::new(RefusalCode::UpstreamUnreachable, message)
    })?;
    let opened = Opened {
        place: origin.tunnel()?,
        origin: origin.clone(),
        policy,
        target: target.clone(),
        outbound,
        turns: metered
            .map(|metered| Turns::new(origin.clone(), target.clone(), parts.headers.clone(), metered)),
        asked: parts.headers,
        values: credentials.values(),
    };
    let upstream = hyper::upgrade::on(&mut response);
    let host = origin.authority.host.to_string();
    let whose = Arc::new(Whose { run: Some(origin.run.id.clone()), host: Some(host) });
    origin.shared.tasks.spawn_for(whose, opened.relay(client, upstream));
    Ok(accepted(&credentials, response))
}

/// The upstream's 101, as it may be given to the client.
fn accepted(credentials: &Credentials, response: Response<Incoming>) -> Response<Body> {
    let (mut parts, _) = response.into_parts();
    head::inbound(&mut parts.headers);
    if let Some(redactor) = Redactor::new(credentials.values()) {
        parts.headers = redactor.redacted(parts.headers);
    }
    websocket::switch(&mut parts.headers);
    Response::from_parts(parts, body::empty())
}

impl Origin {
    /// The tunnel's place, to be kept by what goes on after its last request; `None` where the origin itself keeps it.
    fn tunnel(&self) -> Result<Option<Arc<TunnelGuard>>, Refusal> {
        match &self.place {
            Place::Own(_) => Ok(None),
            Place::Tunnel(tunnel) => tunnel
                .upgrade()
                .map(Some)
                .ok_or_else(|| Refusal::new(RefusalCode::BottleCutOff, "This tunnel was ended.")),
        }
    }
}

/// Credentials, allowed addresses, and the way there.
type Way<'a> = (&'a [Credential], Option<(&'a [IpNetwork], Option<&'a Upstream>)>);

/// A WebSocket that the upstream has accepted.
struct Opened {
    /// Its place among the tunnels.
    #[allow(dead_code, reason = "held for its drop")]
    place: Option<Arc<TunnelGuard>>,
    origin: Arc<Origin>,
    /// What it was judged by.
    policy: Arc<RunPolicy>,
    target: Target,
    /// The headers of the request, by which it is judged again.
    asked: HeaderMap,
    /// What is looked for in its messages.
    outbound: Option<Arc<Outbound>>,
    /// Its model calls, where it is metered.
    turns: Option<Arc<Turns>>,
    /// What must not come back.
    values: Vec<SecretString>,
}

impl Opened {
    async fn relay(self, client: OnUpgrade, upstream: OnUpgrade) {
        let Self { origin, values, .. } = &self;
        let logged = origin.run.policy().routes.log == LogLevel::Full;
        // A client that left before it was answered leaves nothing to relay; one that does not read its answer must not
        // keep this waiting.
        let opened = tokio::select! {
            opened = async { tokio::try_join!(client, upstream) } => opened,
            _ = self.ordered() => return,
        };
        let Ok((client, upstream)) = opened else { return };
        if logged {
            let (run, host, path) = self.names();
            origin.shared.events.emit(Event::WebsocketOpened { run, host, path });
        }
        let passages = |sent, received| {
            let up = Passage::new(Sender::Client, DEFAULT_MESSAGE, sent);
            (up, Passage::without(values.clone(), DEFAULT_MESSAGE, received))
        };
        let shared = &origin.shared;
        let relayed = match &self.turns {
            None => match &self.outbound {
                None => {
                    let (up, down) = passages(Handing::Streamed, Handing::Streamed);
                    let lanes = (Lane::new(up, gate::Open), Lane::new(down, gate::Open));
                    relay::relay(client, upstream, lanes, self.ordered(), shared).await
                }
                Some(outbound) => {
                    let (up, down) = passages(Handing::Read, Handing::Streamed);
                    let lanes =
                        (Lane::new(up, Inspecting::new(outbound.clone())), Lane::new(down, gate::Open));
                    relay::relay(client, upstream, lanes, self.ordered(), shared).await
                }
            },
            Some(turns) => {
                let bound = shared.limits.body_bytes;
                let (up, down) = passages(Handing::Held { bound }, Handing::Read);
                let up = Lane::new(up, Asking::new(turns.clone(), self.outbound.clone()));
                if turns.metered.format == Format::OpenaiRealtime {
                    let down = Lane::new(down, Listening::new(turns.clone()));
                    relay::relay(client, upstream, (up, down), self.ordered(), shared).await
                } else {
                    let down = Lane::new(down, Metering::new(turns.clone()));
                    relay::relay(client, upstream, (up, down), self.ordered(), shared).await
                }
            }
        };
        self.report(&relayed, logged);
    }

    fn report(&self, relayed: &Relayed, logged: bool) {
        let events = &self.origin.shared.events;
        let (run, host, path) = self.names();
        if let Cause::ClientViolation(violation) = relayed.cause {
            let (run, host, reason) = (run.clone(), host.clone(), format!("{violation}."));
            events.emit(Event::TunnelFailed { run, host, code: RefusalCode::ProtocolNotAllowed, reason });
        }
        if logged {
            events.emit(Event::WebsocketClosed {
                run,
                host,
                path,
                messages_sent: relayed.sent.messages,
                bytes_sent: relayed.sent.bytes,
                messages_received: relayed.received.messages,
                bytes_received: relayed.received.bytes,
                cause: relayed.cause.name(),
                code: relayed.code,
            });
        }
    }

    fn names(&self) -> (RunId, String, String) {
        let Self { origin, target, .. } = self;
        (origin.run.id.clone(), origin.authority.host.to_string(), target.path.clone())
    }

    /// Waits until it has to end, whatever its two sides want.
    async fn ordered(&self) -> Order {
        let Origin { run, token, .. } = &*self.origin;
        tokio::select! {
            biased;
            order = self.shutting_down() => order,
            () = run.token.cancelled() => Order::going_away("The run has ended."),
            () = token.cancelled() => Order::cut_off("This tunnel was ended."),
            refusal = self.until_blocked() => Order::cut_off(&refusal.message),
            refusal = self.until_refused() => Order::cut_off(&refusal.message),
        }
    }

    /// Waits for a shutdown, and then for the response that is under way, as long as that is waited for.
    async fn shutting_down(&self) -> Order {
        let Shared { shutdown, abort, .. } = &*self.origin.shared;
        shutdown.cancelled().await;
        if let Some(turns) = &self.turns {
            tokio::select! {
                () = turns.none() => {}
                () = abort.cancelled() => {}
            }
        }
        Order::going_away("Hudson is shutting down.")
    }

    /// Waits for a block. A metered one stays open where what is in flight may finish: each of its calls asks for itself,
    /// and is told why it is refused.
    async fn until_blocked(&self) -> Refusal {
        let origin = &self.origin;
        match &self.turns {
            None => until_blocked(&origin.shared, &origin.run, |policy| origin.provider(policy)).await,
            Some(turns) => until_ended(origin, Some(&turns.metered.provider)).await,
        }
    }

    /// Waits for routes by which it would not have been opened, or not so.
    async fn until_refused(&self) -> Refusal {
        let opened = self.way(&self.policy).ok();
        let mut policy = self.policy.clone();
        loop {
            policy = self.origin.run.policy_after(&policy).await;
            match self.way(&policy) {
                Ok(way) if Some(&way) == opened.as_ref() => {}
                Ok(_) => {
                    let message = format!("The route to {} was changed.", self.origin.authority.host);
                    return Refusal::new(RefusalCode::HostNotAllowed, message);
                }
                Err(refusal) => return refusal,
            }
        }
    }

    /// How it goes to the upstream under a policy: with which credentials, and to which addresses by which dial.
    fn way<'a>(&self, policy: &'a RunPolicy) -> Result<Way<'a>, Refusal> {
        let Self { origin, target, asked, .. } = self;
        let Authority { host, port } = &origin.authority;
        let route = judged(origin, policy, target, asked)?.route;
        if let Some(refusal) = rules::denied(origin, route, target, asked) {
            return Err(refusal);
        }
        let credentials = &route.credentials;
        let dialled = first_route(&policy.routes, origin.scheme, host, *port);
        Ok((credentials, dialled.map(|route| (route.allow_addresses.as_slice(), route.upstream.as_ref()))))
    }
}
