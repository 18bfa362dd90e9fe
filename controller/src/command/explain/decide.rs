//! The decision, stage by stage in the order of the proxy: protocol and path, address, route, git, upgrade, credentials,
//! metering, budgets, rules.

use super::asked::Asked;
use super::rules::{self, Said};
use crate::instance::now;
use crate::launch::Prepared;
use crate::presets;
use http::Method;
use hudson_meter::Endpoint;
use hudson_proxy::policy::{self, Decision, GitOperation, address, judge};
use hudson_schema::config::{LogLevel, Route, Routes, Scheme};
use hudson_schema::ledger::AskedLimit;
use hudson_schema::{Refusal, RefusalCode};
use std::net::SocketAddr;

/// The name under which a bottle asks Hudson about itself.
const LOCAL: &str = "_egress.local";

/// What was found, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Explained<'a> {
    /// Why it is refused; `None` when it is allowed.
    pub(super) refusal: Option<Refusal>,
    /// The normalised path.
    pub(super) path: Option<String>,
    /// The route that decided.
    pub(super) route: Option<&'a Route>,
    /// Where that route stands.
    pub(super) place: Option<String>,
    /// Which entry of its `matches` fits, from 1.
    pub(super) entry: Option<usize>,
    /// The git operation it is part of.
    pub(super) git: Option<GitOperation>,
    /// What the rules of the route say.
    pub(super) said: Option<Said<'a>>,
    /// What it is to the meter.
    pub(super) endpoint: Option<Endpoint>,
    /// The limits that are asked.
    pub(super) limits: Vec<AskedLimit>,
}

/// Explains a request under a prepared launch.
pub(super) fn explain<'a>(asked: &Asked, prepared: &'a Prepared) -> Explained<'a> {
    let mut explained = Explained::default();
    if let Err(refused) = stages(asked, prepared, &mut explained) {
        explained.refusal = Some(*refused);
    }
    explained
}

fn stages<'a>(
    asked: &Asked,
    prepared: &'a Prepared,
    explained: &mut Explained<'a>,
) -> Result<(), Box<Refusal>> {
    if asked.method == Method::CONNECT {
        return Err(refusal(RefusalCode::ProtocolNotAllowed, "CONNECT inside a tunnel is not allowed."));
    }
    if asked.scheme == Scheme::Http && asked.authority.host.name() == Some(LOCAL) {
        explained.place = Some("Hudson itself answers, also without a route".to_owned());
        explained.path = Some(asked.path.clone());
        return Ok(());
    }
    let policy = &prepared.resolved.policy;
    let routes = &policy.routes;
    let authority = &asked.authority;
    let to_host = policy::routes_to(routes, asked.scheme, &authority.host, authority.port);
    if let Some(first) = to_host.first() {
        address(asked, first)?;
    }
    if let Some(route) = policy::opaque_route(routes, &authority.host, authority.port)
        .filter(|_| asked.scheme == Scheme::Https)
    {
        explained.route = Some(route);
        explained.place = place(prepared, route);
        judge::opaque(&crate::settings::catalogue(&prepared.settings), authority)?;
        return Ok(());
    }
    let path = policy::normalise_path(&asked.path).map_err(|fault| {
        refusal(RefusalCode::MalformedRequest, format!("The path is ambiguous: {fault}."))
    })?;
    explained.path = Some(path.clone());
    let request = judge::Asked {
        scheme: asked.scheme,
        authority,
        method: &asked.method,
        path: &path,
        query: asked.query.as_deref(),
        headers: &asked.headers,
    };
    let route = match judge::route(routes, &request) {
        Ok(route) => route,
        Err(refused) => {
            explained.route = refused.route;
            explained.place = refused.route.and_then(|route| place(prepared, route));
            return Err(Box::new(refused.refusal));
        }
    };
    explained.route = Some(route);
    explained.place = place(prepared, route);
    explained.entry = entry(asked, route, &path);
    explained.git = policy::git_operation(asked.method.as_str(), &path, asked.query.as_deref());
    judge::git(route, &request)?;
    let offer = judge::protocol(&request)?;
    judge::credentials(route, &request)?;
    let endpoint = judge::endpoint(&crate::settings::catalogue(&prepared.settings), route, &request)?;
    judge::mcp(route, offer.as_ref(), &endpoint)?;
    if let Endpoint::Metered { provider, .. } = &endpoint {
        explained.limits = policy.limits(provider, now());
    }
    explained.endpoint = Some(endpoint);
    explained.said = rules::said(asked, prepared, route, &path)?;
    Ok(())
}

/// A host that is an address is judged now; a name when it is dialled.
fn address(asked: &Asked, route: &Route) -> Result<(), Box<Refusal>> {
    // What an upstream proxy is asked for is checked like any address; what `connect_to` names is the operator's word.
    let redirected = route.upstream.as_ref().is_some_and(|upstream| upstream.connect_to.is_some());
    let Some(ip) = asked.authority.host.ip().filter(|_| !redirected) else { return Ok(()) };
    address::check(&[SocketAddr::new(ip, asked.authority.port)], &route.allow_addresses, &[])
        .map_err(|fault| refusal(RefusalCode::AddressBlocked, format!("{}: {fault}.", asked.authority.host)))
}

/// The first entry of `matches` that alone would allow the request, from 1.
fn entry(asked: &Asked, route: &Route, path: &str) -> Option<usize> {
    let authority = &asked.authority;
    let fits = |entry: &hudson_schema::config::Match| {
        let alone = Routes::new(LogLevel::Off, vec![Route { matches: vec![entry.clone()], ..route.clone() }]);
        let method = asked.method.as_str();
        let decision = policy::decide(
            &alone,
            asked.scheme,
            &authority.host,
            authority.port,
            method,
            path,
            &asked.headers,
        );
        matches!(decision, Decision::Allowed(_))
    };
    route.matches.iter().position(fits).map(|index| index + 1)
}

/// Where a route of the policy was written: the presets' routes stand in front of the file's.
fn place(prepared: &Prepared, route: &Route) -> Option<String> {
    let all = &prepared.resolved.policy.routes.routes;
    let mut index = all.iter().position(|other| std::ptr::eq(other, route))?;
    for variant in &prepared.launch.presets {
        let count = presets::routes(variant).ok()?.routes.len();
        if index < count {
            return Some(format!("preset {variant}:{}", route.line));
        }
        index -= count;
    }
    let file = prepared.launch.routes.as_ref().or(prepared.resolved.bottle.routes_path.as_ref())?;
    Some(format!("{}:{}", file.display(), route.line))
}

/// A refusal as the error of a stage.
fn refusal(code: RefusalCode, message: impl Into<String>) -> Box<Refusal> {
    Box::new(Refusal::new(code, message))
}
