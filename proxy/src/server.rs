//! The listener: accepts connections within limits, tells who is speaking, and hands on to the tunnel or the request.
//!
//! Invariant: nothing is done for a client before its credentials were found right; a full file table slows accepting
//! down and never spins or ends the proxy; shutting down lets settlements finish.

use crate::body::Body;
use crate::connect;
use crate::event::Event;
use crate::identity::Presented;
use crate::local;
use crate::request::{self, Origin};
use crate::run::Run;
use crate::shared::{ProxyParts, Shared, now};
use crate::tunnel::{Tunnel, Tunnels};
use http::{HeaderValue, Method, Request, Response, Uri, header};
use hudson_meter::Catalogue;
use hudson_schema::config::{Authority, Scheme};
use hudson_schema::{Refusal, RefusalCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

/// How long accepting rests after it failed, doubled up to the second value while it goes on failing.
const ACCEPT_REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Refusals of unidentified clients that are reported, at most one in this many milliseconds.
const UNIDENTIFIED_EVERY: i64 = 1000;

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

    /// Serves connections until [`Proxy::shutdown`].
    pub async fn serve(&self, listener: TcpListener) {
        let mut rest = ACCEPT_REST.0;
        loop {
            // Without room nothing is accepted: the kernel's queue fills, and clients wait there.
            let accepted = tokio::select! {
                accepted = accept(&self.shared, &listener) => accepted,
                () = self.shared.shutdown.cancelled() => return,
            };
            match accepted {
                Ok((room, stream)) => {
                    rest = ACCEPT_REST.0;
                    let shared = self.shared.clone();
                    tokio::spawn(async move {
                        connection(shared, stream).await;
                        drop(room);
                    });
                }
                Err(error) => {
                    self.shared.events.emit(Event::AcceptFailed { error: error.to_string() });
                    tokio::time::sleep(rest).await;
                    rest = (rest * 2).min(ACCEPT_REST.1);
                }
            }
        }
    }

    /// Every open tunnel.
    pub fn tunnels(&self) -> &Arc<Tunnels> {
        &self.shared.tunnels
    }

    /// Replaces the catalogue of providers.
    pub fn set_catalogue(&self, catalogue: Catalogue) {
        self.shared.catalogue.store(Arc::new(catalogue));
    }

    /// Stops listening, lets what is in flight finish for `grace`, ends the rest, and returns when all is settled.
    pub async fn shutdown(&self, grace: Duration) {
        let Shared { shutdown, abort, tunnels, tasks, .. } = &*self.shared;
        shutdown.cancel();
        let _ = tokio::time::timeout(grace, async {
            while !(tunnels.is_empty() && tasks.is_empty()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        abort.cancel();
        // Ended tunnels drop their responses, and each of these becomes a task that settles.
        tunnels.close();
        while !tunnels.is_empty() {
            tunnels.end(|_| true);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tasks.close();
        tasks.wait().await;
    }
}

async fn accept(shared: &Shared, listener: &TcpListener) -> io::Result<(OwnedSemaphorePermit, TcpStream)> {
    let room = shared.connections.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((room, stream))
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(first(shared, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.header)
        .max_buf_size(shared.limits.header_bytes.max(8192))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        // A client that breaks its own connection has nobody to be told.
        _ = serving.as_mut() => {}
        () = shared.shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

/// A request to the proxy itself: CONNECT, absolute-form (RFC 9112 section 3.2), or a mistake.
async fn first(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let run = match identify(&shared, &request).await {
        Ok(run) => run,
        Err(refusal) => return unidentified(&shared, &request, &refusal),
    };
    match (request.method() == Method::CONNECT, request.uri().scheme_str()) {
        (true, _) => connect::open(shared, run, request).await,
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

async fn identify(shared: &Shared, request: &Request<Incoming>) -> Result<Arc<Run>, Refusal> {
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

/// 407 leaves the connection usable: git and Codex send their credentials only after it.
fn unidentified(shared: &Shared, request: &Request<Incoming>, refusal: &Refusal) -> Response<Body> {
    let now = now();
    let last = shared.last_unidentified.load(Ordering::Relaxed);
    let due = now - last >= UNIDENTIFIED_EVERY;
    if due
        && shared.last_unidentified.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    {
        request::report(shared, None, request.method(), request.uri(), None, refusal);
    }
    let mut response = request::respond(refusal, None);
    if refusal.code == RefusalCode::IdentityRequired {
        let challenge = HeaderValue::from_static("Basic realm=\"hudson\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::PROXY_AUTHENTICATE, challenge);
    }
    response
}

/// Plain HTTP through the proxy: the same way as inside a tunnel, without TLS.
async fn plain(shared: Arc<Shared>, run: Arc<Run>, request: Request<Incoming>) -> Response<Body> {
    if request.uri().host() == Some(local::HOST) {
        return local::answer(&shared, &run, &request).await;
    }
    match authority(request.uri()) {
        Ok(authority) => {
            let tunnel = Tunnel {
                run: run.id.clone(),
                bottle: run.bottle.clone(),
                scheme: Scheme::Http,
                host: authority.host.clone(),
                port: authority.port,
                opaque: None,
                token: run.token.child_token(),
            };
            let token = tunnel.token.clone();
            // A request counts and is ended like a tunnel: its place is kept until its usage is settled.
            match shared.tunnels.register(tunnel) {
                Ok(guard) => {
                    let place = Some(guard);
                    let origin =
                        Origin { shared, run, scheme: Scheme::Http, authority, token, fixed: None, place };
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
