//! One request's way through the stages, top to bottom. Each stage is a room of its own that returns *go on* or a
//! refusal; nothing leaves before all of them went on.
//!
//! Invariant: what is checked is what is sent: the target is read once, normalised, and rebuilt from that reading.

mod admission;
mod approval;
mod block;
mod count;
mod credential;
mod echo;
mod extension;
mod forward;
mod gate;
mod head;
mod inbound;
mod mcp;
mod metered;
pub(crate) mod outbound;
mod persist;
mod retrieval;
mod rules;
mod settle;
mod tap;
mod target;
mod upgrade;
mod whole;

use crate::body::{self, Body};
use crate::dial::DialFault;
use crate::event::Event;
use crate::policy::{self, judge};
use crate::run::{Run, RunPolicy};
use crate::shared::{Shared, now};
use crate::traffic::HostClass;
use crate::tunnel::TunnelGuard;
use crate::upstream::UpstreamClient;
use crate::websocket::Offer;
pub(crate) use block::{block, provider_at, until_blocked};
pub(crate) use count::Counts;
pub(crate) use credential::parts as credential_parts;
use gate::Gate;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hudson_meter::Endpoint;
use hudson_schema::config::{Authority, LogLevel, MeterSetting, Route, Routes, Scheme};
use hudson_schema::refusal::RpcCalls;
use hudson_schema::{Format, Provider, Refusal, RefusalCode};
use hyper::body::Incoming;
pub(crate) use outbound::Outbound;
use std::sync::{Arc, Weak};
pub(crate) use target::Target;
use tokio_util::sync::CancellationToken;

/// How much of a path is logged, in characters.
const LOGGED_PATH: usize = 256;

/// Where a request comes from: the run, and the one authority its requests may name.
pub(crate) struct Origin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) run: Arc<Run>,
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    /// The same as it stands in a URL: without the scheme's own port.
    pub(crate) named: String,
    /// Ends the tunnel, or the run where there is none.
    pub(crate) token: CancellationToken,
    /// A refusal that stands for every request.
    pub(crate) fixed: Option<Refusal>,
    /// Its place in the registry.
    pub(crate) place: Place,
}

impl Origin {
    /// Whose host it is.
    fn provider(&self, policy: &RunPolicy) -> Option<Provider> {
        provider_at(&self.shared, policy, self.scheme, &self.authority)
    }
}

/// Who keeps the place in the registry of tunnels.
pub(crate) enum Place {
    /// A plain request, for as long as anything of it goes on.
    #[allow(dead_code, reason = "held for its drop")]
    Own(TunnelGuard),
    /// The tunnel that it came through, and what the tunnel was turned into.
    Tunnel(Weak<TunnelGuard>),
}

/// An authority as it stands in a URL of this scheme.
pub(crate) fn named(scheme: Scheme, Authority { host, port }: &Authority) -> String {
    match *port == scheme.port() {
        true => host.to_string(),
        false => format!("{host}:{port}"),
    }
}

/// Answers a request: the upstream's response, or a refusal in the shape its client reads.
pub(crate) async fn answer(origin: Arc<Origin>, request: Request<Incoming>) -> Response<Body> {
    let method = request.method().clone();
    let uri = request.uri().clone();
    // A GET that opens a WebSocket is what a POST to its path is.
    let called = if request.headers().contains_key(header::UPGRADE) { Method::POST } else { method.clone() };
    // Nobody's, as far as a request is not known to be a provider's.
    let mut class = HostClass::Other;
    let response = match pass(&origin, request, &mut class).await {
        Ok(response) => response,
        Err(refusal) => {
            let refusal = cleaned(&origin.shared, refusal);
            let refusal = match refusal.answers_calls() || !speaks_mcp(&origin) {
                true => refusal,
                false => refusal.with_calls(RpcCalls::default()),
            };
            let format = format_of(&origin, &called, &uri);
            let response = respond(&refusal, format);
            report_at(&origin, &method, &uri, response.status(), &refusal);
            response
        }
    };
    origin.run.traffic.count(class, response.status());
    response
}

async fn pass(
    origin: &Arc<Origin>,
    mut request: Request<Incoming>,
    class: &mut HostClass,
) -> Result<Response<Body>, Refusal> {
    if let Some(refusal) = &origin.fixed {
        return Err(refusal.clone());
    }
    block::watch(&origin.shared, &origin.run);
    let mut target = target::read(origin, &request)?;
    let policy = origin.run.policy();
    let asked_about;
    let Judged { route, offer, endpoint } = match judged(origin, &policy, &target, request.headers()) {
        Ok(judged) => judged,
        Err(refusal) => {
            asked_about = gate::unrouted(origin, &refusal).ok_or_else(|| refusal.clone())?;
            let judged = judged_on(origin, &asked_about, &target, request.headers())?;
            // What goes on without requests is nothing that a person could look at.
            if judged.offer.is_some() {
                return Err(refusal);
            }
            judged
        }
    };
    *class = HostClass::of(&endpoint);
    if offer.is_some() || !matches!(endpoint, Endpoint::Metered { .. }) {
        // A metered request asks in the transaction of its hold.
        block(&origin.shared, &origin.run, |policy| whose(&endpoint).or_else(|| origin.provider(policy)))
            .await?;
    }
    let Authority { host, port } = &origin.authority;
    policy::header_injection(target.query.as_deref(), request.headers())?;
    let conversation = matches!(endpoint, Endpoint::Metered { .. });
    let asked = outbound::Asked { target: Some(&target), conversation, asking: Some((origin, &policy)) };
    let outbound = Outbound::of(&origin.shared, &origin.run, route, host, asked).await;
    if let Some(outbound) = &outbound {
        outbound.head(route, &mut target, request.headers_mut()).await?;
    }
    let ruling = rules::stage(origin, route, &target, request.headers()).await?;
    let dialled = first_route(&policy.routes, origin.scheme, host, *port);
    let credentials = credential::read(origin, route, dialled).await?;
    origin.shared.dlp.note(&origin.run, &route.host, credentials.entries()).await;
    let gate = Gate::of(origin, &policy, route, &target, ruling);
    let outcome = match endpoint {
        _ if let Some(mcp) = &route.mcp => {
            let watched = outbound.as_ref().map(|outbound| outbound.detectors());
            let asked = mcp::Judged { policy: &policy, route, mcp, target: &target, outbound };
            let answer = Box::pin(mcp::exchange(origin, asked, gate, credentials, request)).await?;
            Box::pin(inbound::inspected(origin, route, &target, watched, answer)).await
        }
        endpoint if let Some(offer) = offer => {
            let metered = match endpoint {
                Endpoint::Metered { provider, format } => Some(upgrade::Metered { provider, format }),
                _ => None,
            };
            let policy = policy.clone();
            // Boxed, as what follows: the largest of them decides how large every request is.
            let asked = upgrade::Judged { policy, target: &target, outbound, gate, offer, metered };
            Box::pin(upgrade::exchange(origin, asked, credentials, request)).await
        }
        Endpoint::Metered { provider, format } => {
            let asked = metered::Judged { route, target: &target, outbound, gate };
            Box::pin(metered::exchange(origin, asked, credentials, provider, format, request)).await
        }
        Endpoint::Retrieval { provider, format } => {
            let asked = retrieval::Asked { target: &target, outbound, gate };
            Box::pin(retrieval::exchange(origin, asked, credentials, provider, format, request)).await
        }
        Endpoint::Unknown { .. } | Endpoint::Free { .. } | Endpoint::Foreign => {
            let watched = outbound.as_ref().map(|outbound| outbound.detectors());
            let answer = forward::relay(origin, &target, credentials, outbound, gate, request).await?;
            match whose(&endpoint) {
                // A conversation comes back in what a provider says.
                Some(_) => Ok(answer),
                None => Box::pin(inbound::inspected(origin, route, &target, watched, answer)).await,
            }
        }
    };
    if let (Ok(response), LogLevel::Full) = (&outcome, policy.routes.log) {
        origin.shared.events.emit(Event::EgressRequest {
            run: origin.run.id.clone(),
            method: target.method.to_string(),
            host: origin.authority.host.to_string(),
            path: target.path.clone(),
            response_status: response.status().as_u16(),
        });
    }
    outcome
}

/// Whose call it is.
fn whose(endpoint: &Endpoint) -> Option<Provider> {
    match endpoint {
        Endpoint::Metered { provider, .. }
        | Endpoint::Retrieval { provider, .. }
        | Endpoint::Free { provider }
        | Endpoint::Unknown { provider } => Some(provider.clone()),
        Endpoint::Foreign => None,
    }
}

/// What the files say about a request at one moment.
struct Judged<'a> {
    route: &'a Route,
    /// The WebSocket it wants to open.
    offer: Option<Offer>,
    endpoint: Endpoint,
}

fn judged<'a>(
    origin: &Origin,
    policy: &'a RunPolicy,
    target: &Target,
    headers: &HeaderMap,
) -> Result<Judged<'a>, Refusal> {
    let asked = target.asked(origin, headers);
    let route = judge::route(&policy.routes, &asked).map_err(|refused| refused.refusal)?;
    judged_on(origin, route, target, headers)
}

/// The same on this route.
fn judged_on<'a>(
    origin: &Origin,
    route: &'a Route,
    target: &Target,
    headers: &HeaderMap,
) -> Result<Judged<'a>, Refusal> {
    let asked = target.asked(origin, headers);
    judge::git(route, &asked)?;
    let offer = judge::protocol(&asked)?;
    judge::credentials(route, &asked)?;
    let endpoint = judge::endpoint(&origin.shared.catalogue.load(), route, &asked)?;
    judge::mcp(route, offer.as_ref(), &endpoint)?;
    Ok(Judged { route, offer, endpoint })
}

/// The shape of a refusal: the format that the route or the catalogue reads the endpoint in.
fn format_of(origin: &Origin, method: &Method, uri: &Uri) -> Option<Format> {
    let Authority { host, port } = &origin.authority;
    let policy = origin.run.policy();
    let route = first_route(&policy.routes, origin.scheme, host, *port);
    if let Some(MeterSetting::As { format, .. }) = route.map(|route| &route.meter) {
        return Some(*format);
    }
    let host = host.to_string();
    let catalogue = origin.shared.catalogue.load();
    match catalogue.classify(&host, method.as_str(), uri.path(), uri.query()) {
        Endpoint::Metered { format, .. } => Some(format),
        _ => None,
    }
}

/// Whether whoever asks this host is an MCP client, on every route to it.
fn speaks_mcp(origin: &Origin) -> bool {
    let Authority { host, port } = &origin.authority;
    let policy = origin.run.policy();
    let routes = policy::routes_to(&policy.routes, origin.scheme, host, *port);
    !routes.is_empty() && routes.iter().all(|route| route.mcp.is_some())
}

/// A run's upstream client.
pub(crate) fn upstream(shared: &Shared, run: &Arc<Run>) -> Arc<UpstreamClient> {
    run.upstream(|| UpstreamClient::new(Arc::new(shared.dialer.share()), Arc::downgrade(run)))
}

fn first_route<'a>(
    routes: &'a Routes,
    scheme: Scheme,
    host: &hudson_schema::config::Host,
    port: u16,
) -> Option<&'a Route> {
    policy::routes_to(routes, scheme, host, port).into_iter().next()
}

/// Whether the routes to the origin's host are the same under two policies, wherever they stand in their file.
fn same_routes(origin: &Origin, one: &Arc<RunPolicy>, other: &Arc<RunPolicy>) -> bool {
    Arc::ptr_eq(one, other) || routes_revision(origin, one) == routes_revision(origin, other)
}

/// The digest of all routes to the origin's host.
fn routes_revision(origin: &Origin, policy: &RunPolicy) -> String {
    let Authority { host, port } = &origin.authority;
    let routes = policy::routes_to(&policy.routes, origin.scheme, host, *port);
    let revisions: Vec<String> = routes.into_iter().map(approval::revision).collect();
    approval::digest(&revisions.join(" "))
}

/// A failed dial as a refusal.
pub(crate) fn dial_refusal(fault: &DialFault) -> Refusal {
    let code = match fault {
        DialFault::Address { .. } => RefusalCode::AddressBlocked,
        DialFault::Deadline { .. } => RefusalCode::UpstreamTimeout,
        DialFault::Unreachable { .. } | DialFault::Proxy { .. } => RefusalCode::UpstreamUnreachable,
        DialFault::Credential { .. } => RefusalCode::CredentialUnavailable,
        DialFault::Tls { .. } => RefusalCode::UpstreamTls,
        DialFault::NoRoute { .. } => RefusalCode::HostNotAllowed,
    };
    Refusal::new(code, format!("{fault}."))
}

/// A refusal as a response.
pub(crate) fn respond(refusal: &Refusal, format: Option<Format>) -> Response<Body> {
    let answer = refusal.response(format);
    let mut response = Response::new(body::full(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::FORBIDDEN);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// A refusal whose words hold no secret of those that the agent has named in host or path.
fn cleaned(shared: &Shared, mut refusal: Refusal) -> Refusal {
    refusal.message = shared.dlp.clean(&refusal.message);
    refusal
}

/// Refuses a request to the proxy itself, and reports it.
pub(crate) fn refused<B>(
    shared: &Shared,
    run: Option<&Run>,
    request: &Request<B>,
    format: Option<Format>,
    refusal: Refusal,
) -> Response<Body> {
    let refusal = cleaned(shared, refusal);
    let response = respond(&refusal, format);
    report(shared, run, request.method(), request.uri(), Some(response.status()), &refusal);
    response
}

/// Reports a refusal at the host that the URI names.
pub(crate) fn report(
    shared: &Shared,
    run: Option<&Run>,
    method: &Method,
    uri: &Uri,
    status: Option<StatusCode>,
    refusal: &Refusal,
) {
    let host = uri.host().unwrap_or_default().to_owned();
    emit(shared, run, method, host, uri.path(), status, refusal);
}

fn report_at(origin: &Origin, method: &Method, uri: &Uri, status: StatusCode, refusal: &Refusal) {
    let host = origin.authority.host.to_string();
    emit(&origin.shared, Some(&origin.run), method, host, uri.path(), Some(status), refusal);
}

fn emit(
    shared: &Shared,
    run: Option<&Run>,
    method: &Method,
    host: String,
    path: &str,
    status: Option<StatusCode>,
    refusal: &Refusal,
) {
    // An agent chooses the path: it must not choose how large the log grows. A part of a secret would not be known again.
    let path: String = shared.dlp.clean(path).chars().take(LOGGED_PATH).collect();
    let logged = run.is_some_and(|run| run.policy().routes.log >= LogLevel::Blocks);
    if let (true, Some(status)) = (logged, status) {
        shared.events.emit(Event::EgressBlock {
            reason: refusal.message.clone(),
            host: host.clone(),
            method: method.to_string(),
            path: path.clone(),
            response_status: status.as_u16(),
        });
    }
    shared.events.emit(Event::Refusal {
        run: run.map(|run| run.id.clone()),
        bottle: run.map(|run| run.bottle.clone()),
        code: refusal.code,
        reason: refusal.message.clone(),
        method: method.to_string(),
        host,
        path,
        response_status: status.map(|status| status.as_u16()),
    });
}

/// A block as the refusal it answers with.
pub(crate) fn block_refusal(
    block: &hudson_schema::ledger::Block,
    clock: &hudson_schema::budget::WindowClock,
) -> Refusal {
    use hudson_schema::Policy;

    let (code, word) = match block.policy {
        Policy::Cutoff => (RefusalCode::BottleCutOff, "cut off"),
        Policy::Freeze => (RefusalCode::BottleFrozen, "frozen"),
        Policy::Kill => (RefusalCode::BottleKilled, "killed"),
    };
    let refusal =
        Refusal::new(code, format!("This bottle is {word}: {}.", block.cause.trim_end_matches('.')));
    match &block.budget {
        None => refusal,
        Some(budget) => refusal.with_budget(hudson_schema::refusal::BudgetFacts {
            scope: block.scope.to_string(),
            provider: budget.provider.to_string(),
            limit: budget.limit,
            spent: budget.spent,
            reset: budget.window_end.map(|end| clock.display(end)),
        }),
    }
}

/// The clock, for stages.
fn clock() -> i64 {
    now()
}
