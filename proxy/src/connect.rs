//! CONNECT, in the order that fails closed: authenticated already → policy → resolve, check and dial → upstream TLS →
//! 200 → the whole ClientHello under a deadline → its name must be the host → TLS with what the upstream speaks →
//! requests.
//!
//! Refusals that a person should read are given inside the tunnel, with our own leaf and without a dial: clients retry
//! a refused CONNECT for ever and show nothing. Only a failed dial and a full house are answers to CONNECT itself.

use crate::activity::{Activity, HeadTimer};
use crate::body::{self, Body};
use crate::dial::DialFault;
use crate::event::Event;
use crate::opaque;
use crate::policy::{self, judge};
use crate::request::outbound::Asked;
use crate::request::{self, Origin, Outbound, Place};
use crate::run::{Run, RunPolicy};
use crate::shared::{Shared, Tasks};
use crate::tasks::{Whose, caught};
use crate::tls::{self, AcceptFault, Alpn};
use crate::tunnel::{TooManyTunnels, Tunnel, TunnelGuard};
use http::{Request, Response, StatusCode};
use hudson_schema::config::{Authority, Scheme};
use hudson_schema::{Refusal, RefusalCode};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What a client may send on one stream before it is read, in bytes. Windows do not grow (hyper would let them, to 16 MiB):
/// they are what a hostile client can make the proxy keep.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 2 << 20;

/// Answers a CONNECT and, when it is answered 200, goes on in a task of its own.
pub(crate) async fn open(
    shared: Arc<Shared>,
    run: Arc<Run>,
    activity: Arc<Activity>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let prepared = tokio::select! {
        prepared = prepare(&shared, &run, &request) => prepared,
        () = shared.shutdown.cancelled() => Err(stopping()),
    };
    match prepared {
        Ok(opening) => {
            let upgrade = hyper::upgrade::on(&mut request);
            let tunnel = opening.guard.tunnel.clone();
            let whose = whose(&tunnel);
            let shared = shared.clone();
            tokio::spawn(async move {
                let (events, idle) = (shared.events.clone(), shared.limits.idle);
                let tunnelling = async {
                    tokio::select! {
                        () = serve(shared, run.clone(), activity.clone(), opening, upgrade) => {}
                        () = activity.silence(idle) => {}
                        () = tunnel.token.cancelled() => {}
                        () = run.token.cancelled() => {}
                    }
                };
                caught(&*events, &whose, tunnelling).await;
            });
            Response::new(body::empty())
        }
        Err(refusal) => request::refused(&shared, Some(&run), &request, None, refusal),
    }
}

/// A tunnel that may be answered 200.
struct Opening {
    guard: TunnelGuard,
    inside: Inside,
}

/// What is in a tunnel.
enum Inside {
    /// Requests, which are judged one by one.
    Requests {
        /// What the client may speak.
        alpn: Alpn,
        /// A refusal that only the dial can know; every other is found anew at each request.
        fixed: Option<Refusal>,
    },
    /// Bytes between the client and this connection, as long as this policy makes them pass.
    Bytes(Arc<RunPolicy>, TcpStream),
}

async fn prepare(
    shared: &Arc<Shared>,
    run: &Arc<Run>,
    request: &Request<Incoming>,
) -> Result<Opening, Refusal> {
    let authority = target(request)?;
    let current = run.policy();
    let routed =
        !policy::routes_to(&current.routes, Scheme::Https, &authority.host, authority.port).is_empty();
    let opaque = policy::opaque_route(&current.routes, &authority.host, authority.port);
    let tunnel = Tunnel {
        run: run.id.clone(),
        bottle: run.bottle.clone(),
        scheme: Scheme::Https,
        host: authority.host.clone(),
        port: authority.port,
        routed,
        token: run.token.child_token(),
    };
    let guard = shared.tunnels.register(tunnel).map_err(|fault| too_many(&fault))?;
    // Without a route, or cut off, nothing is dialled: the refusal is given to the request inside.
    let provider = |policy: &RunPolicy| request::provider_at(shared, policy, Scheme::Https, &authority);
    let blocked = request::block(shared, run, provider).await;
    if shared.limits.refuse_connect {
        blocked.clone()?;
        if !routed {
            return Err(judge::host_not_allowed(Scheme::Https, &authority));
        }
    }
    let requests = |alpn, fixed| Inside::Requests { alpn, fixed };
    if !routed || blocked.is_err() {
        return Ok(Opening { guard, inside: requests(Alpn::Http2, None) });
    }
    // Before the name is resolved: whoever serves it would read it.
    if let Err(refusal) = named_well(shared, run, &current, &authority).await {
        return Ok(Opening { guard, inside: requests(Alpn::Http2, Some(refusal)) });
    }
    let upstream = request::upstream(shared, run);
    let dialled = match opaque {
        Some(_) => match judge::opaque(&shared.catalogue.load(), &authority) {
            Ok(()) => upstream
                .connect(&authority.host, authority.port)
                .await
                .map(|stream| Inside::Bytes(current.clone(), stream)),
            Err(refusal) => Ok(requests(Alpn::Http2, Some(refusal))),
        },
        None => upstream
            .prepare(Scheme::Https, &authority.host, authority.port)
            .await
            .map(|http2| requests(if http2 { Alpn::Http2 } else { Alpn::Http1 }, None)),
    };
    match dialled {
        Ok(inside) => Ok(Opening { guard, inside }),
        Err(
            fault @ (DialFault::Address { .. } | DialFault::NoRoute { .. } | DialFault::Credential { .. }),
        ) => Ok(Opening { guard, inside: requests(Alpn::Http2, Some(request::dial_refusal(&fault))) }),
        Err(fault) => Err(request::dial_refusal(&fault)),
    }
}

/// Whether the name of a host that a wildcard lets the agent choose may be asked for.
async fn named_well(
    shared: &Arc<Shared>,
    run: &Arc<Run>,
    policy: &RunPolicy,
    Authority { host, port }: &Authority,
) -> Result<(), Refusal> {
    let Some(route) = policy::routes_to(&policy.routes, Scheme::Https, host, *port).into_iter().next() else {
        return Ok(());
    };
    if !route.host.is_wildcard() {
        return Ok(());
    }
    let asked = Asked { target: None, conversation: false, asking: None };
    match Outbound::of(shared, run, route, host, asked).await {
        Some(outbound) => outbound.host().await,
        None => Ok(()),
    }
}

/// Host and port, in the form that CONNECT has alone (RFC 9112 section 3.2.3).
fn target(request: &Request<Incoming>) -> Result<Authority, Refusal> {
    let text = request.uri().authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let unreadable = |fault: &dyn std::fmt::Display| {
        let message = format!("The CONNECT target {text:?} cannot be read: {fault}.");
        Refusal::new(RefusalCode::MalformedRequest, message)
    };
    if request.uri().scheme().is_some() {
        return Err(unreadable(&"it is a URL, not HOST:PORT"));
    }
    Authority::parse(text).map_err(|fault| unreadable(&fault))
}

/// The refusal of a full house.
pub(crate) fn too_many(fault: &TooManyTunnels) -> Refusal {
    Refusal::new(RefusalCode::TooManyTunnels, format!("{fault}.")).with_retry_after(1)
}

/// The refusal of a proxy that takes nothing new.
pub(crate) fn stopping() -> Refusal {
    Refusal::new(RefusalCode::TooManyTunnels, "The proxy is shutting down.").with_retry_after(1)
}

fn whose(tunnel: &Tunnel) -> Arc<Whose> {
    Arc::new(Whose { run: Some(tunnel.run.clone()), host: Some(tunnel.host.to_string()) })
}

async fn serve(
    shared: Arc<Shared>,
    run: Arc<Run>,
    activity: Arc<Activity>,
    opening: Opening,
    upgrade: OnUpgrade,
) {
    let Ok(upgraded) = upgrade.await else { return };
    let Opening { guard, inside } = opening;
    let guard = Arc::new(guard);
    let tunnel = &guard.tunnel;
    let (alpn, fixed) = match inside {
        Inside::Requests { alpn, fixed } => (alpn, fixed),
        Inside::Bytes(policy, upstream) => {
            let client = TokioIo::new(upgraded);
            if let Err(fault) = opaque::carry(&shared, &run, &policy, tunnel, client, upstream).await {
                failed(&shared, &run, tunnel, &fault);
            }
            return;
        }
    };
    // What is rare or short is boxed: an idle tunnel keeps room for the largest of what may be under way in it.
    let accepting =
        Box::pin(tls::accept(TokioIo::new(upgraded), &tunnel.host, &shared.leaves, alpn, shared.limits.tls));
    let accepted = tokio::select! {
        accepted = accepting => accepted,
        () = shared.shutdown.cancelled() => return,
    };
    let client = match accepted {
        Ok(client) => client,
        Err(fault) => return failed(&shared, &run, tunnel, &fault),
    };
    let authority = Authority { host: tunnel.host.clone(), port: tunnel.port };
    let origin = Arc::new(Origin {
        shared: shared.clone(),
        run,
        scheme: Scheme::Https,
        named: request::named(Scheme::Https, &authority),
        authority,
        token: tunnel.token.clone(),
        fixed,
        place: Place::Tunnel(Arc::downgrade(&guard)),
    });
    match client.http2 {
        true => Box::pin(serve_http2(&shared, origin, whose(tunnel), client.stream)).await,
        false => serve_http1(&shared, origin, activity, client.stream).await,
    }
}

async fn serve_http1(
    shared: &Shared,
    origin: Arc<Origin>,
    activity: Arc<Activity>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let service = service_fn(move |request| {
        let origin = origin.clone();
        // Boxed, so that hyper keeps room for a pointer, not for a request that is not there.
        let answering = Box::pin(request::answer(origin, request));
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let serving = shared
        .limits
        .http1()
        .timer(HeadTimer::new(activity))
        .header_read_timeout(shared.limits.header)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => {}
        () = shared.shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

async fn serve_http2(
    shared: &Shared,
    origin: Arc<Origin>,
    whose: Arc<Whose>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let origin = origin.clone();
        async move {
            Ok::<_, Infallible>(match request.headers().len() > origin.shared.limits.headers {
                true => too_many_headers(&origin, &request),
                // Boxed: a task is moved several times while it is set up.
                false => Box::pin(request::answer(origin, request)).await,
            })
        }
    });
    let serving = http2::Builder::new(Tracked(shared.tasks.clone(), whose))
        .timer(TokioTimer::new())
        .max_concurrent_streams(shared.limits.streams)
        .max_pending_accept_reset_streams(shared.limits.pending_resets)
        .max_header_list_size(u32::try_from(shared.limits.header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => {}
        () = shared.shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

/// 431 (RFC 6585 section 5), which hyper answers by itself on HTTP/1.1.
fn too_many_headers(origin: &Origin, request: &Request<Incoming>) -> Response<Body> {
    let limit = origin.shared.limits.headers;
    let refusal =
        Refusal::new(RefusalCode::MalformedRequest, format!("There are more than {limit} headers."));
    let mut response = request::respond(&refusal, None);
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let status = Some(response.status());
    request::report(&origin.shared, Some(&origin.run), request.method(), request.uri(), status, &refusal);
    response
}

/// Spawns the streams of an HTTP/2 connection where shutting down waits for them: they own settlements. One that panics
/// is reset alone.
#[derive(Clone)]
struct Tracked(Tasks, Arc<Whose>);

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn_for(self.1.clone(), stream);
    }
}

fn failed(shared: &Shared, run: &Run, tunnel: &Tunnel, fault: &AcceptFault) {
    let code = match fault {
        AcceptFault::ServerName { .. } | AcceptFault::EncryptedName => RefusalCode::AuthorityMismatch,
        _ => RefusalCode::ProtocolNotAllowed,
    };
    shared.events.emit(Event::TunnelFailed {
        run: run.id.clone(),
        host: tunnel.host.to_string(),
        code,
        reason: fault.to_string(),
    });
}
