//! What an approval of a request is bound to: everything of it that the upstream acts on, as it would leave, but for
//! what Hudson puts on itself and what changes at each attempt.
//!
//! Invariant: two requests that an upstream could treat differently are bound to different things, unless they differ
//! in nothing but headers of the list below.

use super::{NotCanonical, canonical};
use http::{HeaderMap, HeaderName, Method, header};
use hudson_schema::config::{Authority, Bind, Scheme};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Headers that change at each attempt of the same request, or say how it came: their values are not bound.
const VOLATILE: [&str; 25] = [
    "accept-encoding",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "b3",
    "baggage",
    "connection",
    "content-length",
    "date",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "sec-websocket-key",
    "te",
    "trailer",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
    "x-amzn-trace-id",
    "x-correlation-id",
    "x-request-id",
    "x-stainless-retry-count",
];
/// How the names of others begin.
const VOLATILE_FAMILIES: [&str; 3] = ["x-b3-", "x-datadog-", "sentry-"];

/// A request as it would leave, before credentials.
#[derive(Clone, Copy)]
pub struct Bound<'a> {
    /// The method.
    pub method: &'a Method,
    /// How the upstream is spoken to.
    pub scheme: Scheme,
    /// Whom it goes to.
    pub authority: &'a Authority,
    /// The path, normalised.
    pub path: &'a str,
    /// The query, without `?`.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// Those of them that are the agent's own keys, in whose place Hudson puts others.
    pub replaced: &'a [HeaderName],
    /// The body; `None` where it was not read, which binds to nothing but the endpoint.
    pub body: Option<&'a [u8]>,
    /// The digests of what DLP has found in it.
    pub findings: &'a BTreeSet<String>,
}

/// Why nothing can be approved of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotBound {
    /// It can be read in two ways.
    #[error("its JSON has the same key twice, so that what would be approved is not certain")]
    TwoReadings,
    /// It was to be bound as a whole, and was not read.
    #[error("its body was not read")]
    Unread,
}

impl Bound<'_> {
    /// The parts that are bound, by name.
    pub fn parts(&self, bind: Bind) -> Result<Vec<(&'static str, Vec<u8>)>, NotBound> {
        let Authority { host, port } = self.authority;
        let mut parts = vec![
            ("method", self.method.as_str().as_bytes().to_vec()),
            ("scheme", self.scheme.name().as_bytes().to_vec()),
            ("host", host.to_string().into_bytes()),
            ("port", port.to_string().into_bytes()),
            ("path", self.path.as_bytes().to_vec()),
        ];
        match bind {
            Bind::Endpoint => {}
            Bind::Finding => {
                parts.push(("findings", packed(self.findings.iter().map(String::as_bytes))));
            }
            Bind::Request => {
                // No query is another than an empty one.
                let query = self.query.map(|query| format!("?{query}")).unwrap_or_default();
                parts.push(("query", query.into_bytes()));
                parts.push(("headers", self.packed_headers()));
                let (kind, body) = self.body_form()?;
                parts.push(("body is", kind.to_vec()));
                parts.push(("body", body));
            }
        }
        Ok(parts)
    }

    fn packed_headers(&self) -> Vec<u8> {
        let is_bound = |name: &&HeaderName| !is_volatile(name.as_str()) && !self.replaced.contains(name);
        let names: BTreeSet<&str> = self.headers.keys().filter(is_bound).map(HeaderName::as_str).collect();
        // The values of one name in their order, which counts.
        let pairs = names.into_iter().flat_map(|name| {
            let values = self.headers.get_all(name).iter();
            values.flat_map(move |value| [name.as_bytes(), value.as_bytes()])
        });
        packed(pairs)
    }

    /// JSON in its canonical form where it says that it is JSON, and anything else as the bytes it is.
    fn body_form(&self) -> Result<(&'static [u8], Vec<u8>), NotBound> {
        let body = self.body.ok_or(NotBound::Unread)?;
        if body.is_empty() {
            return Ok((b"nothing", Vec::new()));
        }
        if is_json(self.headers) {
            match canonical(body) {
                Ok(form) => return Ok((b"json", Sha256::digest(form).to_vec())),
                Err(NotCanonical::DuplicateKey) => return Err(NotBound::TwoReadings),
                Err(NotCanonical::NotJson) => {}
            }
        }
        Ok((b"bytes", Sha256::digest(body).to_vec()))
    }
}

/// Whether a body in clear says that it is JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return false };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let (_, subtype) = kind.split_once('/').unwrap_or_default();
    let is_json = subtype.eq_ignore_ascii_case("json") || subtype.to_ascii_lowercase().ends_with("+json");
    is_json && !headers.contains_key(header::CONTENT_ENCODING)
}

fn is_volatile(name: &str) -> bool {
    VOLATILE.contains(&name) || VOLATILE_FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Texts one after the other, each with its length in front.
fn packed<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut packed = Vec::new();
    for text in texts {
        packed.extend((text.len() as u64).to_be_bytes());
        packed.extend(text);
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Parts = Result<Vec<(&'static str, Vec<u8>)>, NotBound>;

    struct Case {
        method: Method,
        scheme: Scheme,
        authority: Authority,
        path: &'static str,
        query: Option<&'static str>,
        headers: Vec<(&'static str, &'static str)>,
        body: &'static str,
        findings: BTreeSet<String>,
    }

    impl Case {
        fn new() -> Self {
            Self {
                method: Method::POST,
                scheme: Scheme::Https,
                authority: Authority::parse("api.example.com:443").unwrap(),
                path: "/charges",
                query: Some("a=1&b=2"),
                headers: vec![("content-type", "application/json"), ("accept", "*/*")],
                body: r#"{"amount": 5, "to": "a"}"#,
                findings: BTreeSet::new(),
            }
        }

        fn bound(&self, bind: Bind) -> Parts {
            let mut headers = HeaderMap::new();
            for (name, value) in &self.headers {
                headers.append(HeaderName::from_static(name), value.parse().unwrap());
            }
            let bound = Bound {
                method: &self.method,
                scheme: self.scheme,
                authority: &self.authority,
                path: self.path,
                query: self.query,
                headers: &headers,
                replaced: &[header::AUTHORIZATION],
                body: Some(self.body.as_bytes()),
                findings: &self.findings,
            };
            bound.parts(bind)
        }
    }

    fn changed(change: impl FnOnce(&mut Case)) -> Case {
        let mut case = Case::new();
        change(&mut case);
        case
    }

    #[test]
    fn one_byte_of_what_the_upstream_acts_on_is_another_request() {
        let changes: Vec<Case> = vec![
            changed(|case| case.method = Method::PUT),
            changed(|case| case.scheme = Scheme::Http),
            changed(|case| case.authority = Authority::parse("api.example.con:443").unwrap()),
            changed(|case| case.authority.port = 444),
            changed(|case| case.path = "/charge"),
            changed(|case| case.query = Some("b=2&a=1")),
            changed(|case| case.query = None),
            changed(|case| case.query = Some("")),
            changed(|case| case.headers[1].1 = "*/ *"),
            changed(|case| case.headers.push(("accept", "*/*"))),
            changed(|case| case.headers.push(("x-http-method-override", "DELETE"))),
            changed(|case| case.headers.push(("content-encoding", "gzip"))),
            changed(|case| case.headers[0].1 = "text/plain"),
            changed(|case| case.body = r#"{"amount": 6, "to": "a"}"#),
            changed(|case| case.body = r#"{"amount": 5.0, "to": "a"}"#),
            changed(|case| case.body = r#"{"amount": "5", "to": "a"}"#),
            changed(|case| case.body = r#"{"amount": 5, "to": "a"} x"#),
            changed(|case| case.body = ""),
        ];
        let mut seen = vec![Case::new().bound(Bind::Request).unwrap()];
        for (place, case) in changes.iter().enumerate() {
            let parts = case.bound(Bind::Request).unwrap();
            assert!(!seen.contains(&parts), "change {place} is not bound");
            seen.push(parts);
        }
    }

    #[test]
    fn what_changes_at_each_attempt_is_no_other_request() {
        let one = Case::new().bound(Bind::Request);
        let changes = [
            changed(|case| case.body = "{\"to\":\"\\u0061\",\n\"amount\":5}"),
            changed(|case| {
                case.headers.extend([
                    ("date", "today"),
                    ("traceparent", "00-1"),
                    ("idempotency-key", "2"),
                    ("user-agent", "curl"),
                    ("x-request-id", "3"),
                    ("content-length", "22"),
                    ("x-stainless-retry-count", "1"),
                    ("x-b3-traceid", "4"),
                    ("sec-websocket-key", "5"),
                    // Hudson puts its own in its place.
                    ("authorization", "Bearer agent"),
                ]);
            }),
        ];
        assert!(changes.iter().all(|case| case.bound(Bind::Request) == one));
    }

    #[test]
    fn json_that_can_be_read_in_two_ways_is_not_approved() {
        let twice = changed(|case| case.body = r#"{"amount": 5, "amount": 50000}"#);
        assert_eq!(twice.bound(Bind::Request), Err(NotBound::TwoReadings));
        let vendor = changed(|case| {
            case.headers[0].1 = "application/vnd.example+json; charset=utf-8";
            case.body = r#"{"a": 1, "\u0061": 2}"#;
        });
        assert_eq!(vendor.bound(Bind::Request), Err(NotBound::TwoReadings));
        // Which of two types a server goes by is not known: the bytes are what is bound.
        let types = changed(|case| case.headers.push(("content-type", "text/plain")));
        assert!(types.bound(Bind::Request).unwrap().contains(&("body is", b"bytes".to_vec())));
    }

    #[test]
    fn an_endpoint_and_a_finding_bind_no_more_than_they_say() {
        let grown = changed(|case| case.body = "anything else");
        assert_eq!(grown.bound(Bind::Endpoint), Case::new().bound(Bind::Endpoint));
        assert_ne!(grown.bound(Bind::Finding), grown.bound(Bind::Endpoint));
        let found = changed(|case| case.findings = BTreeSet::from(["f1".to_owned()]));
        assert_ne!(found.bound(Bind::Finding), Case::new().bound(Bind::Finding));
        assert_eq!(found.bound(Bind::Request), Case::new().bound(Bind::Request));
    }

    proptest! {
        #[test]
        fn texts_do_not_run_into_each_other(one: Vec<Vec<u8>>, other: Vec<Vec<u8>>) {
            let pack = |texts: &[Vec<u8>]| packed(texts.iter().map(Vec::as_slice));
            prop_assert_eq!(pack(&one) == pack(&other), one == other);
        }
    }
}
