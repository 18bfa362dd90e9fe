//! What an upstream answers, looked at on its way to the agent: for instructions in it, where the route's `dlp` says so, and
//! for secrets.
//!
//! Invariants: an answer's bytes are never rewritten. Where a finding blocks, no byte goes on that was not looked at. A
//! provider's metered answers never come here: the conversation comes back in them.

mod body;
mod kind;
mod look;

use super::{LOGGED_PATH, Origin, Target};
use crate::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body::Body as _;
use hudson_dlp::{Detectors, InjectionWatch, Signal, Transport};
use hudson_schema::config::{self, InboundDetector, InboundOnMatch, Route};
use hudson_schema::{Refusal, RefusalCode};
use kind::Kind;
use look::{About, Look};
use std::sync::Arc;

/// The signs in an answer that is given on all the same.
const INJECTION: HeaderName = HeaderName::from_static("x-hudson-injection");

/// The answer, as it may go on: annotated, or watched while it streams; the refusal where it is blocked.
pub(super) async fn inspected(
    origin: &Arc<Origin>,
    route: &Route,
    target: &Target,
    secrets: Option<Arc<Detectors>>,
    response: Response<Body>,
) -> Result<Response<Body>, Refusal> {
    let (mut parts, body) = response.into_parts();
    let watch = looks_for_injections(route).then(InjectionWatch::new);
    let kind = Kind::of(&parts.headers);
    if body.is_end_stream() || kind == Kind::Opaque || (watch.is_none() && secrets.is_none()) {
        return Ok(Response::from_parts(parts, body));
    }
    let about = About::new(origin, target);
    let transport = match Transport::new(&encoding(&parts.headers)) {
        Ok(transport) => transport,
        Err(error) => {
            about.unread(&error);
            return Ok(Response::from_parts(parts, body));
        }
    };
    let blocks = watch.is_some() && route.dlp.inbound_on_match == InboundOnMatch::Block;
    let look = Look::new(about, transport, kind == Kind::Unknown, watch, secrets);
    let mut body = body::Inspected::new(body, look, blocks);
    // Events are waited for by somebody who looks at them one by one: their head goes on at once.
    let signals = match kind == Kind::Events && !blocks {
        true => None,
        false => body.begin().await,
    };
    if let Some(signals) = signals {
        let names = names(&signals);
        match blocks {
            true => return Err(refusal(origin, route, target, &names)),
            false => drop(HeaderValue::from_str(&names).map(|value| parts.headers.insert(INJECTION, value))),
        }
    }
    Ok(Response::from_parts(parts, crate::body::boxed(body)))
}

fn looks_for_injections(route: &Route) -> bool {
    match &route.dlp.inbound {
        config::Detectors::Default => true,
        config::Detectors::Off => false,
        config::Detectors::Only(detectors) => detectors.contains(&InboundDetector::NaiveInjectionDetection),
    }
}

fn encoding(headers: &HeaderMap) -> String {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let values: Vec<&str> = values.map(|value| value.to_str().unwrap_or("unreadable")).collect();
    values.join(", ")
}

fn names(signals: &[Signal]) -> String {
    signals.iter().map(|signal| signal.name()).collect::<Vec<_>>().join(", ")
}

fn refusal(origin: &Origin, route: &Route, target: &Target, names: &str) -> Refusal {
    let host = &origin.authority.host;
    let path: String = target.path.chars().take(LOGGED_PATH).collect();
    let line = match route.line {
        0 => String::new(),
        line => format!(" (line {line})"),
    };
    Refusal::new(
        RefusalCode::InjectionBlocked,
        format!(
            "{host}{path}: the answer has signs of instructions to the agent ({names}), and the route to {}{line} says \
             `inbound_on_match: block`.",
            route.host
        ),
    )
}
