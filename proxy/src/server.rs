//! The listener: accepts connections within limits, tells who is speaking, and hands on to the tunnel or the request.
//!
//! Invariant: nothing is done for a client before it is known whose it is: by its credentials, or by the listener where
//! that is one run's alone; a full file table slows accepting down and never spins or ends the proxy; shutting down lets
//! settlements finish.

use crate::activity::{Activity, Watched};
use crate::approval::ApprovalSetup;
use crate::body::Body;
use crate::connect;
use crate::dlp::Setup;
use crate::event::Event;
use crate::identity::Presented;
use crate::listener::{Accepted, Listener, Peer};
use crate::local;
use crate::places::Place;
use crate::request::{self, Origin};
use crate::run::Run;
use crate::shared::{ProxyParts, Shared};
use crate::tasks::{Whose, caught};
use crate::tunnel::{Tunnel, Tunnels};
use http::{HeaderValue, Method, Request, Response, Uri, header};
use hudson_dlp::RuleError;
use hudson_meter::Catalogue;
use hudson_schema::config::{Authority, Scheme};
use hudson_schema::{Refusal, RefusalCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, SetOnce};

/// How long accepting rests after it failed, doubled up to the second value while it goes on failing.
const ACCEPT_REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often one connection is answered 407: clients that are asked for their credentials have them in the next request.
const CHALLENGES: u32 = 3;
/// How long what is still in flight when the grace is over has to tell its client that it ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// The data plane.
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy of these parts.
    pub fn new(parts: ProxyParts) -> Self {
        Self { shared: Arc::new(Shared::new(parts)) }
    }

    /// Serves connections, whose clients present a run's credentials, until [`Proxy::shutdown`].
    pub async fn serve(&self, listener: Listener) {
        tokio::select! {
            () = self.accept(&listener, None) => {}
            () = self.shared.shutdown.cancelled() => {}
        }
    }

    /// Serves connections of this run alone, whose clients need no credentials, until it ends or [`Proxy::shutdown`].
    pub async fn serve_run(&self, listener: Listener, run: Arc<Run>) {
        tokio::select! {
            () = self.accept(&listener, Some(&run)) => {}
            () = run.token.cancelled() => {}
            () = self.shared.shutdown.cancelled() => {}
        }
    }

    async fn accept(&self, listener: &Listener, run: Option<&Arc<Run>>) {
        let mut rest = ACCEPT_REST.0;
        loop {
            match accept(&self.shared, listener).await {
                Ok((room, accepted)) => {
                    rest = ACCEPT_REST.0;
                    let (shared, run) = (self.shared.clone(), run.cloned());
                    match accepted {
                        Accepted::Tcp(stream, peer) if stream.set_nodelay(true).is_ok() => {
                            let place = self.enter(peer);
                            tokio::spawn(connection(shared, run, room, place, stream));
                        }
                        // A connection that is gone already.
                        Accepted::Tcp(..) => {}
                        Accepted::Unix(stream, peer) => {
                            let place = self.enter(peer);
                            tokio::spawn(connection(shared, run, room, place, stream));
                        }
                    }
                }
                Err(error) => {
                    self.shared.events.emit(Event::AcceptFailed { error: error.to_string() });
                    tokio::time::sleep(rest).await;
                    rest = (rest * 2).min(ACCEPT_REST.1);
                }
            }
        }
    }

    /// Takes a place here, not in the connection's own task, so that connections have theirs in the order they came.
    fn enter(&self, peer: Peer) -> Place {
        let (place, displaced) = self.shared.places.enter(peer);
        if let Some(peer) = displaced {
            self.shared.events.emit(Event::ConnectionDisplaced { peer: peer.to_string() });
        }
        place
    }

    /// Every open tunnel.
    pub fn tunnels(&self) -> &Arc<Tunnels> {
        &self.shared.tunnels
    }

    /// Replaces the catalogue of providers.
    pub fn set_catalogue(&self, catalogue: Catalogue) {
        self.shared.catalogue.store(Arc::new(catalogue));
    }

    /// Asks people as these settings say from now on.
    pub fn set_approvals(&self, setup: ApprovalSetup) {
        self.shared.desk.replace(setup);
    }

    /// Goes by other rules and values of what must not leave.
    pub async fn set_dlp(&self, setup: Setup) -> Result<(), RuleError> {
        self.shared.dlp.replace(setup).await
    }

    /// Stops listening, lets what is in flight finish for `grace`, ends the rest, and returns when all is settled.
    ///
    /// A second call, with less grace, may overtake the first.
    pub async fn shutdown(&self, grace: Duration) {
        let Shared { shutdown, abort, ended, tunnels, tasks, .. } = &*self.shared;
        shutdown.cancel();
        let over = async || {
            while !(tunnels.is_empty() && tasks.is_empty()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(grace, over()).await;
        tunnels.close();
        abort.cancel();
        let _ = tokio::time::timeout(FAREWELL.min(grace), over()).await;
        // What is left drops its responses, and each of these becomes a task that settles.
        ended.cancel();
        while !tunnels.is_empty() {
            tunnels.end(|_| true);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tasks.finish().await;
    }
}

/// Without room nothing is accepted: the kernel's queue fills, and clients wait there.
async fn accept(shared: &Shared, listener: &Listener) -> io::Result<(OwnedSemaphorePermit, Accepted)> {
    let room = shared.connections.clone().acquire_owned().await.map_err(io::Error::other)?;
    Ok((room, listener.accept().await?))
}

/// A client's connection, for as long as it is no tunnel.
struct Client {
    shared: Arc<Shared>,
    /// The one run whose listener it came to.
    bound: Option<Arc<Run>>,
    /// Whose it turned out to be.
    run: SetOnce<Arc<Run>>,
    place: Place,
    activity: Arc<Activity>,
    challenges: AtomicU32,
}

async fn connection(
    shared: Arc<Shared>,
    bound: Option<Arc<Run>>,
    room: OwnedSemaphorePermit,
    place: Place,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let (stream, activity) = Watched::new(stream);
    let (run, challenges) = (SetOnce::new(), AtomicU32::new(0));
    let client = Arc::new(Client { shared: shared.clone(), bound, run, place, activity, challenges });
    let serving = async {
        tokio::select! {
            () = serve(&client, stream) => {}
            () = client.over() => {}
        }
    };
    caught(&*shared.events, &Whose::default(), serving).await;
    drop(room);
}

async fn serve(client: &Arc<Client>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(|request| {
        let client = client.clone();
        async move { Ok::<_, Infallible>(first(&client, request).await) }
    });
    let limits = &client.shared.limits;
    let serving = limits
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        // A client that breaks its own connection has nobody to be told.
        _ = serving.as_mut() => {}
        () = client.shared.shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

impl Client {
    /// Completes when the connection must not go on, whatever is under way on it.
    async fn over(&self) {
        let run_ended = async { self.run.wait().await.token.cancelled().await };
        tokio::select! {
            () = self.place.token.cancelled() => {}
            () = self.activity.silence(self.shared.limits.idle) => {}
            () = run_ended => {}
            () = self.shared.ended.cancelled() => {}
        }
    }
}

/// A request to the proxy itself: CONNECT, absolute-form (RFC 9112 section 3.2), or a mistake.
async fn first(client: &Client, request: Request<Incoming>) -> Response<Body> {
    let shared = client.shared.clone();
    let run = match identify(client, &request).await {
        Ok(run) => run,
        Err(refusal) => return unidentified(client, &request, &refusal),
    };
    if let Err(fault) = client.place.identify(&run.bottle) {
        let refusal = Refusal::new(RefusalCode::TooManyTunnels, format!("{fault}.")).with_retry_after(1);
        return request::refused(&shared, Some(&run), &request, None, refusal);
    }
    // Only the first is kept: the connection ends with it, requests of another run with their own.
    let _ = client.run.set(run.clone());
    match (request.method() == Method::CONNECT, request.uri().scheme_str()) {
        (true, _) => connect::open(shared, run, client.activity.clone(), request).await,
        (false, Some("http")) => plain(shared, run, request).await,
        _ => {
            let message =
                "The proxy takes CONNECT for https and absolute-form requests for http URLs, nothing else.";
            request::refused(
                &shared,
                Some(&run),
                &request,
                None,
                Refusal::new(RefusalCode::ProtocolNotAllowed, message),
            )
        }
    }
}

async fn identify(client: &Client, request: &Request<Incoming>) -> Result<Arc<Run>, Refusal> {
    let shared = &client.shared;
    if let Some(run) = &client.bound {
        return identify_bound(run, request).map(|()| run.clone());
    }
    let presented = Presented::read(request.headers()).ok_or_else(|| {
        Refusal::new(RefusalCode::IdentityRequired, "No proxy credentials were sent, or they cannot be read.")
    })?;
    let run = match shared.runs.run(&presented).await {
        Ok(run) => run,
        Err(error) => {
            shared.events.emit(Event::LedgerFailed { what: "looking a run up", error: error.to_string() });
            return Err(Refusal::new(RefusalCode::LedgerUnavailable, "The ledger cannot be read."));
        }
    };
    run.filter(|run| !run.token.is_cancelled()).ok_or_else(|| {
        Refusal::new(
            RefusalCode::IdentityRequired,
            "The proxy credentials are wrong, or of a run that has ended.",
        )
    })
}

/// On a run's own listener no credentials are needed, but whoever presents any has to present that run's.
fn identify_bound(run: &Run, request: &Request<Incoming>) -> Result<(), Refusal> {
    let foreign = |message: &str| Err(Refusal::new(RefusalCode::IdentityRequired, message));
    if run.token.is_cancelled() {
        return foreign("The run of this listener has ended.");
    }
    if !request.headers().contains_key(header::PROXY_AUTHORIZATION) {
        return Ok(());
    }
    match Presented::read(request.headers()) {
        Some(presented) if run.is_named_by(&presented) => Ok(()),
        _ => foreign("The proxy credentials are not those of the run whose listener this is."),
    }
}

/// 407 leaves the connection usable: git and Codex send their credentials only after it.
fn unidentified(client: &Client, request: &Request<Incoming>, refusal: &Refusal) -> Response<Body> {
    request::report(&client.shared, None, request.method(), request.uri(), None, refusal);
    let mut response = request::respond(refusal, None);
    if refusal.code == RefusalCode::IdentityRequired {
        let challenge = HeaderValue::from_static("Basic realm=\"hudson\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::PROXY_AUTHENTICATE, challenge);
    }
    if client.challenges.fetch_add(1, Ordering::Relaxed) + 1 >= CHALLENGES {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Plain HTTP through the proxy: the same way as inside a tunnel, without TLS.
async fn plain(shared: Arc<Shared>, run: Arc<Run>, request: Request<Incoming>) -> Response<Body> {
    if request.uri().host() == Some(local::HOST) {
        return local::answer(&shared, &run, request).await;
    }
    match authority(request.uri()) {
        Ok(authority) => {
            let tunnel = Tunnel {
                run: run.id.clone(),
                bottle: run.bottle.clone(),
                scheme: Scheme::Http,
                host: authority.host.clone(),
                port: authority.port,
                routed: true,
                token: run.token.child_token(),
            };
            let token = tunnel.token.clone();
            // A request counts and is ended like a tunnel: its place is kept until its usage is settled.
            match shared.tunnels.register(tunnel) {
                Ok(guard) => {
                    let place = request::Place::Own(guard);
                    let named = request::named(Scheme::Http, &authority);
                    let origin = Origin {
                        shared,
                        run,
                        scheme: Scheme::Http,
                        authority,
                        named,
                        token,
                        fixed: None,
                        place,
                    };
                    request::answer(Arc::new(origin), request).await
                }
                Err(fault) => {
                    request::refused(&shared, Some(&run), &request, None, connect::too_many(&fault))
                }
            }
        }
        Err(refusal) => request::refused(&shared, Some(&run), &request, None, refusal),
    }
}

fn authority(uri: &Uri) -> Result<Authority, Refusal> {
    let text = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    Authority::parse_or(text, Scheme::Http.port()).map_err(|fault| {
        Refusal::new(RefusalCode::MalformedRequest, format!("The host {text:?} cannot be read: {fault}."))
    })
}
