//! The checks that need nothing but the request's head: blocks, routes, git, protocol.

use super::{Origin, Target, block_refusal, clock};
use crate::event::Event;
use crate::policy::{self, Decision, GitOperation};
use crate::run::Run;
use crate::server::Shared;
use http::{HeaderMap, StatusCode, header};
use hudson_schema::config::{Authority, Route, Routes, Scheme};
use hudson_schema::{Refusal, RefusalCode};

/// Nothing passes for a run that is cut off, frozen or killed. A ledger that cannot be asked blocks too.
pub(crate) async fn block(shared: &Shared, run: &Run) -> Result<(), Refusal> {
    match run.block(&shared.ledger, clock()).await {
        Ok(None) => Ok(()),
        Ok(Some(block)) => Err(block_refusal(&block, &run.policy().clock)),
        Err(error) => {
            shared.events.emit(Event::LedgerFailed { what: "reading blocks", error: error.to_string() });
            Err(Refusal::new(RefusalCode::LedgerUnavailable, "The ledger cannot be read."))
        }
    }
}

/// The route that allows the request.
pub(super) fn route<'a>(
    routes: &'a Routes,
    origin: &Origin,
    target: &Target,
    headers: &HeaderMap,
) -> Result<&'a Route, Refusal> {
    let authority = &origin.authority;
    let decision = policy::decide(
        routes,
        origin.scheme,
        &authority.host,
        authority.port,
        target.method.as_str(),
        &target.path,
        headers,
    );
    match decision {
        Decision::Allowed(route) => Ok(route),
        Decision::HostNotAllowed => Err(host_not_allowed(origin.scheme, authority)),
        Decision::NotMatched(route) => Err(Refusal::new(
            RefusalCode::RequestNotMatched,
            format!(
                "{} {} matches no entry under `matches` of the route to {} (line {}).",
                target.method, target.path, authority.host, route.line
            ),
        )),
    }
}

/// The refusal of a host that is on no route, with the line that would allow it.
pub(crate) fn host_not_allowed(scheme: Scheme, authority: &Authority) -> Refusal {
    let Authority { host, port } = authority;
    let port_line = match *port == scheme.port() {
        true => String::new(),
        false => format!(", port: {port}"),
    };
    let scheme_line = match scheme {
        Scheme::Https => String::new(),
        Scheme::Http => ", scheme: http".to_owned(),
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
pub(super) fn git(route: &Route, target: &Target) -> Result<(), Refusal> {
    match policy::git_operation(&target.path, target.query.as_deref()) {
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

/// No upgrade is let through yet: what is behind one could not be read. On 426 clients fall back to plain requests.
pub(super) fn protocol(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.contains_key(header::UPGRADE) {
        true => Err(Refusal::new(
            RefusalCode::ProtocolNotAllowed,
            "Upgrades (WebSocket) are not relayed; use plain HTTP requests.",
        )
        .with_status(StatusCode::UPGRADE_REQUIRED.as_u16())),
        false => Ok(()),
    }
}

/// The refusal of an endpoint that cannot be metered.
pub(super) fn unmetered(target: &Target) -> Refusal {
    Refusal::new(
        RefusalCode::UnmeteredEndpoint,
        format!("{} {} is on a metered host, and Hudson cannot meter it.", target.method, target.path),
    )
}
