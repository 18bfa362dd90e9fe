//! What holds of hosts, paths and routes, whatever the text.

use http::HeaderMap;
use hudson_proxy::policy::{Decision, decide, normalise_path};
use hudson_schema::config::{Authority, Host, HostPattern, PathMatch, Route, parse_routes};
use percent_encoding::percent_decode_str;
use std::path::Path;

/// A host, an authority and a host pattern that can be read are read again as themselves from what they are written as.
pub fn authority(text: &str) {
    for authority in [Authority::parse(text), Authority::parse_or(text, 443)].into_iter().flatten() {
        assert_eq!(Authority::parse(&authority.to_string()), Ok(authority.clone()));
        assert!(!text.contains(['@', '/', '%', '\\']) && text.is_ascii(), "{text:?} reads as {authority}");
    }
    if let Ok(host) = Host::parse(text) {
        assert_eq!(Host::parse(&host.to_string()), Ok(host.clone()));
        assert!(HostPattern::Exact(host.clone()).matches(&host));
    }
    if let Ok(pattern) = text.parse::<HostPattern>() {
        assert_eq!(pattern.to_string().parse(), Ok(pattern));
    }
}

/// A normalised path normalises to itself, and however leniently a server decodes it, no step up appears.
pub fn path(raw: &str) {
    let Ok(normal) = normalise_path(raw) else { return };
    assert_eq!(normalise_path(&normal).as_ref(), Ok(&normal));
    assert!(PathMatch::Exact(normal.clone()).matches(&normal));
    let mut lenient = normal.clone().into_bytes();
    for _ in 0..4 {
        let steps = lenient.split(|byte| b"/\\;\0".contains(byte));
        assert!(!steps.into_iter().any(|step| matches!(step, b"." | b"..")), "{raw:?} is sent as {normal:?}");
        lenient = percent_decode_str(&String::from_utf8_lossy(&lenient)).collect();
    }
}

/// A text `METHOD AUTHORITY/PATH`, header lines, an empty line and routes: the route that decides names the host, and
/// routes to other hosts change nothing.
pub fn routes(text: &str) {
    let Some((request, file)) = text.split_once("\n\n") else { return };
    let Ok(routes) = parse_routes(Path::new("routes.yaml"), file) else { return };
    let mut lines = request.lines();
    let Some((method, url)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    let (authority, path) = url.split_at(url.find('/').unwrap_or(url.len()));
    let Ok(Authority { host, port }) = Authority::parse_or(authority, 443) else { return };
    let Ok(path) = normalise_path(path) else { return };
    let headers = headers(lines);
    let scheme = routes.routes.first().map(|route| route.scheme).unwrap_or_default();
    let here = |route: &Route| route.host.matches(&host) && route.port == port && route.scheme == scheme;
    let decision = decide(&routes, scheme, &host, port, method, &path, &headers);
    match decision {
        Decision::Allowed(route) | Decision::NotMatched(route) => assert!(here(route), "{route:?} decides"),
        Decision::HostNotAllowed => assert!(!routes.routes.iter().any(here)),
    }
    let mut own = routes.clone();
    own.routes.retain(here);
    assert_eq!(decide(&own, scheme, &host, port, method, &path, &headers), decision);
}

fn headers<'a>(lines: impl Iterator<Item = &'a str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            headers.append(name, value);
        }
    }
    headers
}
