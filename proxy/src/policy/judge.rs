//! The judgements on a request's head, each with the refusal it gives: what the proxy does and what `hudson explain`
//! says are these same functions.

use super::{ASTERISK, Decision, GitOperation, decide, git_operation, is_ambiguous};
use crate::websocket::Offer;
use http::{HeaderMap, Method, StatusCode, header};
use hudson_meter::{Catalogue, Endpoint};
use hudson_schema::config::{Authority, MeterSetting, Route, Routes, Scheme, Unmetered};
use hudson_schema::{Format, Refusal, RefusalCode};

/// A request's head, its path normalised.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// How the upstream is spoken to.
    pub scheme: Scheme,
    /// The one authority the request names.
    pub authority: &'a Authority,
    /// The method.
    pub method: &'a Method,
    /// The path, normalised.
    pub path: &'a str,
    /// The query as sent, without `?`.
    pub query: Option<&'a str>,
    /// The headers as sent.
    pub headers: &'a HeaderMap,
}

/// A refusal and, where one decided, the route.
#[derive(Debug)]
pub struct Refused<'a> {
    /// The refusal.
    pub refusal: Refusal,
    /// The route that decided.
    pub route: Option<&'a Route>,
}

/// The route that allows the request.
pub fn route<'a>(routes: &'a Routes, asked: &Asked<'_>) -> Result<&'a Route, Box<Refused<'a>>> {
    let Asked { scheme, authority, method, path, headers, .. } = *asked;
    match decide(routes, scheme, &authority.host, authority.port, method.as_str(), path, headers) {
        Decision::Allowed(route) => Ok(route),
        Decision::HostNotAllowed => {
            Err(Box::new(Refused { refusal: host_not_allowed(scheme, authority), route: None }))
        }
        Decision::NotMatched(route) => {
            let message = format!(
                "{method} {path} matches no entry under `matches` of the route to {} (line {}).",
                authority.host, route.line
            );
            let refusal = Refusal::new(RefusalCode::RequestNotMatched, message);
            Err(Box::new(Refused { refusal, route: Some(route) }))
        }
    }
}

/// The refusal of a host that is on no route, with the line that would allow it.
pub fn host_not_allowed(scheme: Scheme, authority: &Authority) -> Refusal {
    let Authority { host, port } = authority;
    let scheme_line = match scheme {
        Scheme::Https => String::new(),
        Scheme::Http => ", scheme: http".to_owned(),
    };
    let port_line = match *port == scheme.port() {
        true => String::new(),
        false => format!(", port: {port}"),
    };
    Refusal::new(
        RefusalCode::HostNotAllowed,
        format!(
            "{}://{host}:{port} is not on this bottle's allowlist; `- {{host: \"{host}\"{scheme_line}{port_line}}}` \
             under `routes` would allow it.",
            scheme.name()
        ),
    )
}

/// git push over HTTPS never passes; fetch where the route says so.
pub fn git(route: &Route, asked: &Asked<'_>) -> Result<(), Refusal> {
    match git_operation(asked.method.as_str(), asked.path, asked.query) {
        Some(GitOperation::Push) => Err(Refusal::new(
            RefusalCode::GitPushBlocked,
            "git push over HTTPS is not allowed through Hudson.",
        )),
        Some(GitOperation::Fetch) if !route.git_fetch => Err(Refusal::new(
            RefusalCode::GitFetchBlocked,
            "git fetch is not allowed on this route, and git push over HTTPS never is.",
        )),
        _ => Ok(()),
    }
}

/// The WebSocket that the request wants to open, if it does. No other upgrade is let through: what is behind it could
/// not be read. On 426 clients fall back to plain requests.
pub fn protocol(asked: &Asked<'_>) -> Result<Option<Offer>, Refusal> {
    match upgrades(asked) {
        true => Offer::read(asked.method, asked.headers)
            .map(Some)
            .map_err(|fault| no_upgrade(&format!("The upgrade is refused: {fault}."))),
        false => Ok(None),
    }
}

/// Whether a route's MCP can be read in what is asked. What it could not be read in is not let through beside it.
pub fn mcp(route: &Route, offer: Option<&Offer>, endpoint: &Endpoint) -> Result<(), Refusal> {
    if route.mcp.is_none() {
        return Ok(());
    }
    if offer.is_some() {
        return Err(no_upgrade(
            "The route is for MCP over HTTP; on a WebSocket its rules could not be followed.",
        ));
    }
    match endpoint {
        Endpoint::Metered { .. } | Endpoint::Retrieval { .. } => Err(Refusal::new(
            RefusalCode::RequestNotMatched,
            format!(
                "The route to {} (line {}) is for MCP, and this is a call of a model; that takes a route of its own.",
                route.host, route.line
            ),
        )),
        Endpoint::Unknown { .. } | Endpoint::Free { .. } | Endpoint::Foreign => Ok(()),
    }
}

fn upgrades(asked: &Asked<'_>) -> bool {
    asked.headers.contains_key(header::UPGRADE)
}

fn no_upgrade(why: &str) -> Refusal {
    Refusal::new(RefusalCode::ProtocolNotAllowed, why).with_status(StatusCode::UPGRADE_REQUIRED.as_u16())
}

/// Whether a host may be reached by an opaque tunnel: not one whose usage has to be read.
pub fn opaque(catalogue: &Catalogue, authority: &Authority) -> Result<(), Refusal> {
    let host = authority.host.to_string();
    match catalogue.classify(&host, Method::POST.as_str(), "/", None) {
        Endpoint::Foreign => Ok(()),
        _ => Err(Refusal::new(
            RefusalCode::UnmeteredEndpoint,
            format!("{host} is a metered host; `intercept: false` would hide its usage."),
        )),
    }
}

/// Whether the route's credentials may be put on the request at all.
pub fn credentials(route: &Route, asked: &Asked<'_>) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::new(RefusalCode::CredentialUnavailable, why));
    if route.credentials.is_empty() && route.forwarding_credentials().is_none() {
        return Ok(());
    }
    if *asked.method == Method::TRACE {
        return refuse("A TRACE response would echo the credential; none is put on it.");
    }
    if asked.scheme == Scheme::Http && route.scheme != Scheme::Http {
        return refuse("Credentials go onto verified TLS only.");
    }
    Ok(())
}

/// Whether a WebSocket of this format at this path carries model calls that can be admitted one by one. Compaction is a
/// request of its own.
fn is_conversation(format: Format, path: &str) -> bool {
    match format {
        Format::OpenaiResponses => !path.trim_end_matches('/').ends_with("/compact"),
        Format::OpenaiRealtime => true,
        _ => false,
    }
}

/// What the request is to the meter: the route's word, else the catalogue's.
pub fn endpoint(catalogue: &Catalogue, route: &Route, asked: &Asked<'_>) -> Result<Endpoint, Refusal> {
    let host = asked.authority.host.to_string();
    // A GET that opens a WebSocket is no mere read: it may be all that a POST to the same path may be.
    let method = if upgrades(asked) { &Method::POST } else { asked.method };
    let classify =
        |catalogue: &Catalogue| catalogue.classify(&host, method.as_str(), asked.path, asked.query);
    let endpoint = match &route.meter {
        MeterSetting::Default => classify(catalogue),
        MeterSetting::Off => Endpoint::Foreign,
        MeterSetting::As { provider, format } => {
            // The route's word is the only one on this host.
            classify(&Catalogue::default().with_provider(provider.clone(), vec![host.clone()], *format))
        }
    };
    if let Endpoint::Metered { format, .. } = &endpoint
        && upgrades(asked)
        && !is_conversation(*format, asked.path)
    {
        return Err(no_upgrade("A WebSocket to this endpoint cannot be metered; use plain HTTP requests."));
    }
    if let Endpoint::Metered { .. } | Endpoint::Retrieval { .. } = &endpoint
        && let Some(name) = asked.headers.keys().find(|name| hudson_meter::masks_usage(name.as_str()))
    {
        return Err(Refusal::new(
            RefusalCode::UnmeteredEndpoint,
            format!("The header {name} would take the token usage out of the response."),
        ));
    }
    // An ambiguous path could be a metered endpoint to the upstream, whatever it is called here.
    let unmetered = match &endpoint {
        Endpoint::Metered { .. } | Endpoint::Foreign => false,
        // The host as a whole is no endpoint that could be free.
        Endpoint::Free { .. } | Endpoint::Retrieval { .. } => {
            is_ambiguous(asked.path) || asked.path == ASTERISK
        }
        Endpoint::Unknown { .. } => route.unmetered == Unmetered::Deny || is_ambiguous(asked.path),
    };
    match unmetered {
        true => Err(Refusal::new(
            RefusalCode::UnmeteredEndpoint,
            format!("{} {} is on a metered host, and Hudson cannot meter it.", asked.method, asked.path),
        )),
        false => Ok(endpoint),
    }
}
