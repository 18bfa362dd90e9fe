//! Which route a request belongs to. An exact host hides every wildcard for the same origin, so that a narrow route
//! for one host is never widened by a broad one; among routes of the same kind the first in the file that matches
//! decides.

use super::path::{ASTERISK, is_ambiguous};
use http::{HeaderMap, header};
use hudson_schema::config::{HeaderMatch, Host, Match, Route, Routes, Scheme};

/// What the routes say to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision<'a> {
    /// This route allows it.
    Allowed(&'a Route),
    /// No route is for the host.
    HostNotAllowed,
    /// Routes are for the host, this one first, but none allows the request.
    NotMatched(&'a Route),
}

/// The routes for an origin in the order they are asked; empty when it is not allowed at all.
pub fn routes_to<'a>(routes: &'a Routes, scheme: Scheme, host: &Host, port: u16) -> Vec<&'a Route> {
    let here = |route: &&Route| route.scheme == scheme && route.port == port && route.host.matches(host);
    let (wildcards, exact): (Vec<_>, Vec<_>) =
        routes.routes.iter().filter(here).partition(|route| route.host.is_wildcard());
    match exact.is_empty() {
        true => wildcards,
        false => exact,
    }
}

/// The route by which the bytes of a tunnel pass without being looked at; `None` when its requests are judged.
pub fn opaque_route<'a>(routes: &'a Routes, host: &Host, port: u16) -> Option<&'a Route> {
    let candidates = routes_to(routes, Scheme::Https, host, port);
    // One that intercepts decides for all: what it asks for could not be kept otherwise.
    candidates.first().copied().filter(|_| candidates.iter().all(|route| !route.intercept))
}

/// The decision on a request. `path` is normalised and without query.
pub fn decide<'a>(
    routes: &'a Routes,
    scheme: Scheme,
    host: &Host,
    port: u16,
    method: &str,
    path: &str,
    headers: &HeaderMap,
) -> Decision<'a> {
    let candidates = routes_to(routes, scheme, host, port);
    let Some(first) = candidates.first() else { return Decision::HostNotAllowed };
    let allows = |route: &&&Route| {
        route.matches.is_empty() || route.matches.iter().any(|entry| fulfilled(entry, method, path, headers))
    };
    match candidates.iter().find(allows) {
        Some(route) => Decision::Allowed(route),
        None => Decision::NotMatched(first),
    }
}

fn fulfilled(entry: &Match, method: &str, path: &str, headers: &HeaderMap) -> bool {
    // It is about the whole host, and an entry is about a part of it.
    if path == ASTERISK {
        return false;
    }
    let path_fits = || !is_ambiguous(path) && entry.paths.iter().any(|condition| condition.matches(path));
    (entry.methods.is_empty() || entry.methods.iter().any(|allowed| allowed == method))
        && (entry.paths.is_empty() || path_fits())
        && entry.headers.iter().all(|condition| header_fits(condition, headers))
}

/// A header sent twice must fit each time: which of the two a server takes is not known. One that `Connection` names
/// stays on the client's connection (RFC 9110 section 7.6.1): the upstream would not see what was asked for here.
fn header_fits(condition: &HeaderMatch, headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(condition.name.as_str()).iter().peekable();
    values.peek().is_some()
        && !of_this_connection(&condition.name, headers)
        && values.all(|value| value.to_str().is_ok_and(|value| condition.test.matches(value.trim())))
}

pub(super) fn of_this_connection(name: &str, headers: &HeaderMap) -> bool {
    let named = |value: &http::HeaderValue| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|word| word.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    };
    headers.get_all(header::CONNECTION).iter().any(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::config::parse_routes;
    use std::path::Path;

    fn routes(text: &str) -> Routes {
        parse_routes(Path::new("routes.yaml"), text).unwrap()
    }

    /// The line of the route that allows, 0 when none is for the host, minus the line when none matches.
    fn line(routes: &Routes, method: &str, url: &str, headers: &[(&'static str, &'static str)]) -> i64 {
        let (scheme, rest) = url.split_once("://").unwrap();
        let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
        let (authority, path) = rest.split_at(rest.find('/').unwrap());
        let authority = hudson_schema::config::Authority::parse_or(authority, scheme.port()).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        match decide(routes, scheme, &authority.host, authority.port, method, path, &map) {
            Decision::Allowed(route) => route.line as i64,
            Decision::HostNotAllowed => 0,
            Decision::NotMatched(route) => -(route.line as i64),
        }
    }

    #[test]
    fn without_routes_nothing_is_allowed() {
        assert_eq!(line(&Routes::default(), "GET", "https://example.com/", &[]), 0);
    }

    #[test]
    fn a_tunnel_is_opaque_only_where_every_route_to_the_host_says_so() {
        let routes = routes(concat!(
            "routes:\n  - host: pinned.example.com\n    intercept: false\n",
            "  - host: '*.example.com'\n    intercept: false\n  - host: seen.example.com\n",
        ));
        let line = |host: &str, port| {
            opaque_route(&routes, &Host::parse(host).unwrap(), port).map(|route| route.line)
        };
        assert_eq!(line("pinned.example.com", 443), Some(2));
        assert_eq!(line("other.example.com", 443), Some(4));
        assert_eq!(line("seen.example.com", 443), None);
        assert_eq!(line("pinned.example.com", 8443), None);
        assert_eq!(line("example.org", 443), None);
    }

    #[test]
    fn host_scheme_and_port_have_to_be_the_routes() {
        let routes = routes(
            "routes:\n  - host: api.example.com\n  - host: plain.example.com\n    scheme: http\n    port: 8080\n  - host: '::1'\n",
        );
        for (url, expected) in [
            ("https://api.example.com/", 2),
            ("https://API.example.com.:443/", 2),
            ("https://api.example.com:8443/", 0),
            ("http://api.example.com/", 0),
            ("https://xapi.example.com/", 0),
            ("https://api.example.com.evil.org/", 0),
            ("http://plain.example.com:8080/", 3),
            ("http://plain.example.com/", 0),
            ("https://[::1]/", 6),
        ] {
            assert_eq!(line(&routes, "GET", url, &[]), expected, "{url}");
        }
    }

    #[test]
    fn an_exact_host_hides_wildcards() {
        let routes = routes(
            "routes:\n  - host: '*.example.com'\n  - host: admin.example.com\n    matches: [{methods: [get]}]\n  - host: admin.example.com\n    matches: [{methods: [PUT]}]\n",
        );
        assert_eq!(line(&routes, "POST", "https://www.example.com/", &[]), 2);
        assert_eq!(line(&routes, "GET", "https://admin.example.com/", &[]), 3);
        assert_eq!(line(&routes, "PUT", "https://admin.example.com/", &[]), 5);
        assert_eq!(line(&routes, "POST", "https://admin.example.com/", &[]), -3);
        assert_eq!(
            line(&routes, "get", "https://admin.example.com/", &[]),
            -3,
            "methods are case-sensitive on the wire"
        );
    }

    #[test]
    fn entries_are_or_and_conditions_are_and() {
        let routes = routes(concat!(
            "routes:\n",
            "  - host: a.example.com\n",
            "    matches:\n",
            "      - paths: [{type: prefix, value: /v1}, {type: exact, value: /health}]\n",
            "        methods: [POST, GET]\n",
            "        headers: [{name: X-Version, type: exact, value: '1'}, {name: x-kind, type: regex, value: 'a|b'}]\n",
            "      - paths: [{type: regex, value: '/files/[0-9]+'}]\n",
        ));
        let both = [("x-version", "1"), ("x-kind", "b")];
        for (method, path, headers, allowed) in [
            ("POST", "/v1/x", &both[..], true),
            ("GET", "/health", &both[..], true),
            ("DELETE", "/v1/x", &both[..], false),
            ("POST", "/v1beta", &both[..], false),
            ("POST", "/v1/x", &both[..1], false),
            ("POST", "/v1/x", &[("x-version", "1"), ("x-kind", "ab")][..], false),
            ("POST", "/v1/x", &[("x-version", "1"), ("x-kind", "a"), ("x-kind", "c")][..], false),
            ("POST", "/v1/x", &[both[0], both[1], ("connection", "close, X-Kind")][..], false),
            ("POST", "/v1/x", &[both[0], both[1], ("connection", "close, x-kin")][..], true),
            ("DELETE", "/files/12", &[][..], true),
            ("DELETE", "/files/12/x", &[][..], false),
        ] {
            let url = format!("https://a.example.com{path}");
            assert_eq!(line(&routes, method, &url, headers) > 0, allowed, "{method} {path} {headers:?}");
        }
    }

    #[test]
    fn an_ambiguous_path_passes_only_where_every_path_does() {
        let routes = routes(
            "routes:\n  - host: open.example.com\n  - host: shut.example.com\n    matches: [{paths: [{value: /}]}]\n",
        );
        assert_eq!(line(&routes, "GET", "https://open.example.com/@types%2Fnode", &[]), 2);
        assert_eq!(line(&routes, "GET", "https://shut.example.com/@types%2Fnode", &[]), -3);
    }
}
