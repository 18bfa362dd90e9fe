//! What DLP does on the route that decided: what is looked for in what leaves and in what comes back, and what a match
//! does.

use super::decide::Explained;
use crate::launch::Prepared;
use hudson_schema::config::{Detectors, InboundDetector, InboundOnMatch, OnMatch, OutboundDetector, Route};
use serde_json::{Value, json};

/// For programs; nothing where no route decided, or nothing inside of it is looked at.
pub(super) fn object(prepared: &Prepared, explained: &Explained<'_>) -> Option<Value> {
    let route = looked_at(explained)?;
    Some(json!({
        "route": explained.place,
        "outbound": {"detectors": outbound(route), "on_match": on_match(route.outbound_on_match).0},
        "inbound": {"detectors": inbound(route), "on_match": inbound_on_match(route).0},
        "canaries": canaries(prepared),
    }))
}

/// For people: lines with their names.
pub(super) fn words(prepared: &Prepared, explained: &Explained<'_>) -> Vec<(&'static str, String)> {
    let Some(route) = looked_at(explained) else { return Vec::new() };
    let by = explained.place.as_deref().map(|place| format!(" ({place})")).unwrap_or_default();
    let mut out = match outbound(route) {
        none if none.is_empty() => format!("nothing is looked for in what leaves{by}"),
        detectors => {
            let does = on_match(route.outbound_on_match);
            format!("{} in what leaves: {}, {}{by}", detectors.join(", "), does.0, does.1)
        }
    };
    if canaries(prepared) {
        out += "; canaries are blocked on every route";
    }
    let back = match inbound(route) {
        none if none.is_empty() => format!("nothing is looked for in what comes back{by}"),
        detectors => {
            let does = inbound_on_match(route);
            format!("{} in what comes back: {}, {}{by}", detectors.join(", "), does.0, does.1)
        }
    };
    vec![("dlp", out), ("dlp inbound", back)]
}

/// The route, where what is inside of it is looked at.
fn looked_at<'a>(explained: &Explained<'a>) -> Option<&'a Route> {
    explained.route.filter(|route| route.intercept)
}

/// Whether there is a file of canaries.
fn canaries(prepared: &Prepared) -> bool {
    prepared.settings.dlp.canary_file.is_some()
}

fn outbound(route: &Route) -> Vec<&'static str> {
    let name = |detector: &OutboundDetector| match detector {
        OutboundDetector::TokenPatterns => "token_patterns",
        OutboundDetector::KnownSecrets => "known_secrets",
        OutboundDetector::Entropy => "entropy",
    };
    match &route.dlp.outbound {
        Detectors::Off => Vec::new(),
        Detectors::Default => {
            [OutboundDetector::TokenPatterns, OutboundDetector::KnownSecrets].iter().map(name).collect()
        }
        Detectors::Only(chosen) => chosen.iter().map(name).collect(),
    }
}

fn inbound(route: &Route) -> Vec<&'static str> {
    let name = |detector: &InboundDetector| match detector {
        InboundDetector::NaiveInjectionDetection => "naive_injection_detection",
    };
    match &route.dlp.inbound {
        Detectors::Off => Vec::new(),
        Detectors::Default => vec![name(&InboundDetector::NaiveInjectionDetection)],
        Detectors::Only(chosen) => chosen.iter().map(name).collect(),
    }
}

fn on_match(chosen: OnMatch) -> (&'static str, &'static str) {
    match chosen {
        OnMatch::Block => ("block", "the request is refused"),
        OnMatch::Redact => ("redact", "the value is taken out and the rest is sent"),
        OnMatch::Supervise => ("supervise", "a person decides, and it is refused where nobody can"),
        OnMatch::Warn => ("warn", "it is sent and told"),
    }
}

fn inbound_on_match(route: &Route) -> (&'static str, &'static str) {
    match route.dlp.inbound_on_match {
        InboundOnMatch::Annotate => ("annotate", "the answer says so in a header"),
        InboundOnMatch::Block => ("block", "the answer is kept from the agent"),
    }
}
