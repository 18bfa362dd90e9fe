//! The last stage before a request leaves, once all else about it is known: what a person has to decide.
//!
//! Invariant: what people are asked about is what would leave: the head and the body as DLP has left them.

use super::approval::{ByRule, Manner, Permits, of_host, of_rule, permit};
use super::rules::{Ruling, Sent};
use super::{Origin, Outbound, Target, first_route};
use crate::approval::Question;
use crate::policy::address;
use crate::run::RunPolicy;
use http::HeaderMap;
use hudson_schema::config::{
    ApprovalMode, Authority, Host, HostPattern, OnMatch, RollbackOn, Route, UnknownHosts,
};
use hudson_schema::{Refusal, RefusalCode};
use std::net::SocketAddr;
use std::sync::Arc;

/// What stands between a request and its way out.
pub(super) struct Gate<'a> {
    origin: &'a Arc<Origin>,
    /// By which it was judged.
    policy: &'a Arc<RunPolicy>,
    route: &'a Route,
    target: &'a Target,
    /// What the rules of its route have said so far, where it has any.
    ruling: Option<Ruling>,
    /// Whether its host is on no route.
    unrouted: bool,
}

impl<'a> Gate<'a> {
    /// The gate of a request on this route.
    pub(super) fn of(
        origin: &'a Arc<Origin>,
        policy: &'a Arc<RunPolicy>,
        route: &'a Route,
        target: &'a Target,
        ruling: Option<Ruling>,
    ) -> Self {
        let Authority { host, port } = &origin.authority;
        let unrouted = first_route(&policy.routes, origin.scheme, host, *port).is_none();
        Self { origin, policy, route, target, ruling, unrouted }
    }

    /// Whether the body has to be read as a whole before anything of the request leaves.
    pub(super) fn reads_body(&self) -> bool {
        self.unrouted || self.ruling.as_ref().is_some_and(Ruling::needs_body)
    }

    /// Has the rules judge the body, where it could decide.
    pub(super) async fn read(&mut self, headers: &HeaderMap, sent: Sent<'_>) -> Result<(), Refusal> {
        match &mut self.ruling {
            Some(ruling) => ruling.read(headers, sent).await,
            None => Ok(()),
        }
    }

    /// Lets it pass, as the last thing before it leaves. `body` is as it would leave; `None` where it was not read.
    pub(super) async fn pass(
        self,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        outbound: Option<&Arc<Outbound>>,
    ) -> Result<Permits, Refusal> {
        let mut permits = outbound.map(|outbound| outbound.take_permits()).unwrap_or_default();
        let Self { origin, policy, route, target, ruling, unrouted } = self;
        let size = body.map_or(0, <[u8]>::len);
        if unrouted {
            let question = of_host(origin, route, target, headers, body)?;
            let manner = Manner { mode: ApprovalMode::Retry, size, back_on_error: false };
            permits.push(ask(origin, policy, question, manner, None).await?);
            permits.open(origin.run.open(origin.scheme, &origin.authority));
        }
        let Some(mut ruling) = ruling else { return Ok(permits) };
        if let Some(rule) = ruling.approval() {
            let findings = outbound.map(|outbound| outbound.findings()).unwrap_or_default();
            let question =
                of_rule(origin, &ByRule { route, rule, target, headers, body, findings: &findings })?;
            let back_on_error = rule.rollback_on.contains(&RollbackOn::UpstreamError);
            let manner = Manner { mode: rule.mode, size, back_on_error };
            permits.push(ask(origin, policy, question, manner, rule.on_deny.as_deref()).await?);
        }
        match ruling.reserve().await {
            Ok(reserved) => permits.count(reserved),
            Err(refusal) => {
                permits.give_back().await;
                return Err(refusal);
            }
        }
        Ok(permits)
    }
}

/// Has people decide about one question; the refusal where they do not let it pass.
pub(super) async fn ask(
    origin: &Arc<Origin>,
    policy: &Arc<RunPolicy>,
    question: Question,
    manner: Manner,
    on_deny: Option<&str>,
) -> Result<super::approval::Permit, Refusal> {
    let question = Arc::new(question);
    // Boxed: most requests ask nobody, and need no room for it.
    Box::pin(permit(origin, policy, &question, manner))
        .await
        .map_err(|not_permitted| not_permitted.refusal(origin, &question, on_deny))
}

/// The route of a host that is on none, where people are asked about such hosts: without credentials, and without
/// anything that a person could not have seen. `None` where nobody is asked.
pub(super) fn unrouted(origin: &Origin, refusal: &Refusal) -> Option<Route> {
    let asked = origin.shared.desk.setup().is_some_and(|setup| setup.unknown_hosts == UnknownHosts::Ask);
    if !asked || refusal.code != RefusalCode::HostNotAllowed || !may_be_asked(&origin.authority) {
        return None;
    }
    let mut route = Route::new(HostPattern::Exact(origin.authority.host.clone()));
    route.scheme = origin.scheme;
    route.port = origin.authority.port;
    // What is found in a request to a stranger is not for a second question.
    route.outbound_on_match = OnMatch::Block;
    Some(route)
}

/// Whether people are asked about a host at all: not where every answer would be refused when it is dialled. A name is
/// not resolved before somebody has said yes to it: whoever serves it would read it.
fn may_be_asked(Authority { host, port }: &Authority) -> bool {
    match host {
        Host::Ip(ip) => address::check(&[SocketAddr::new(*ip, *port)], &[], &[]).is_ok(),
        Host::Name(name) => name != "localhost" && !name.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_about_addresses_that_are_refused_anyway() {
        for (text, asked) in [
            ("example.com:443", true),
            ("93.184.215.14:443", true),
            ("127.0.0.1:443", false),
            ("[::1]:443", false),
            ("10.1.2.3:80", false),
            ("169.254.169.254:80", false),
            ("localhost:80", false),
            ("a.localhost:80", false),
        ] {
            assert_eq!(may_be_asked(&Authority::parse(text).unwrap()), asked, "{text}");
        }
    }
}
