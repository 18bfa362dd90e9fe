//! Who comes, and whether they may: before anything else is looked at.
//!
//! Invariants: a page that a browser shows reaches nothing here, by whatever name it comes; whoever presents wrong
//! credentials is nobody, not somebody with fewer rights; a bottle's credentials decide nothing.

use super::reply::Reply;
use crate::approvals::desk::{Asker, Desk};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use hudson_proxy::identity::Presented;
use hudson_schema::config::{Authority, Host};
use std::net::SocketAddr;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who comes.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Someone whose token decides, by its name.
    Operator(String),
    /// A bottle.
    Bottle(Asker),
    /// Somebody who does not say.
    Nobody,
}

/// Refuses what no program on this host would send that was told to.
pub(super) fn check<B>(request: &Request<B>, bound: SocketAddr) -> Result<(), Reply> {
    let headers = request.headers();
    if !is_own_host(request, bound) {
        let message = format!(
            "the Host of this service is 127.0.0.1:{0}, localhost:{0} or [::1]:{0}, and nothing else",
            bound.port()
        );
        return Err(Reply::error(StatusCode::MISDIRECTED_REQUEST, "unknown_host", message));
    }
    if headers.contains_key(header::ORIGIN) {
        return Err(forbidden("web pages are not answered: a request with an Origin is refused"));
    }
    let led_here = |value: &http::HeaderValue| value.as_bytes() != b"none";
    if headers.get_all(SEC_FETCH_SITE).iter().any(led_here) {
        return Err(forbidden("web pages are not answered: this came from a browser"));
    }
    if request.method() == Method::POST && !is_json(headers) {
        let message = "the Content-Type of a POST is application/json here";
        return Err(Reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", message));
    }
    Ok(())
}

/// Who the credentials say it is. Wrong ones are refused, not left out.
pub(super) async fn identify(desk: &Desk, headers: &HeaderMap) -> Result<Caller, Reply> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(Caller::Nobody),
        (Some(value), None) => value.to_str().unwrap_or_default(),
        (Some(_), Some(_)) => return Err(unknown("there are two Authorization headers")),
    };
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        return match desk.current().tokens.owner(rest.trim()) {
            Some(name) => Ok(Caller::Operator(name.to_owned())),
            None => {
                Err(unknown("this token decides nothing here (`approvals.approvers.tokens` in settings.yml)"))
            }
        };
    }
    let wrong = || unknown("the bottle's credentials are wrong, or of a run that has ended");
    let presented = Presented::read_in(headers, &header::AUTHORIZATION).ok_or_else(wrong)?;
    let found = desk.ledger().run_fetch(&presented.run).await.map_err(|error| Reply::failed(&error))?;
    match found {
        Some(run) if run.finished_at.is_none() && presented.matches(&run.credential_hash) => {
            Ok(Caller::Bottle(Asker { run: run.id, bottle: run.bottle }))
        }
        _ => Err(wrong()),
    }
}

impl Caller {
    /// The bottle that asks.
    pub(super) fn asks(&self) -> Result<&Asker, Reply> {
        match self {
            Self::Bottle(asker) => Ok(asker),
            Self::Operator(_) => {
                Err(forbidden("a deciding token asks nothing: nobody decides what they ask for"))
            }
            Self::Nobody => Err(unknown(
                "asking takes a bottle's credentials: those of its proxy URL, in Authorization: Basic",
            )),
        }
    }

    /// The operator who decides, and the name that is written down.
    pub(super) fn decides(&self, desk: &Desk) -> Result<String, Reply> {
        match self {
            Self::Operator(name) => Ok(format!("token:{name}")),
            Self::Bottle(_) => {
                Err(forbidden("a bottle decides nothing, and sees what it asked for itself alone"))
            }
            Self::Nobody if desk.current().tokens.is_empty() => Err(unknown(
                "deciding takes an operator's token, and settings.yml has none in `approvals.approvers.tokens`; \
                 `hudson approvals approve ID` needs none",
            )),
            Self::Nobody => Err(unknown("deciding takes an operator's token, in Authorization: Bearer")),
        }
    }
}

fn forbidden(message: &str) -> Reply {
    Reply::error(StatusCode::FORBIDDEN, "forbidden", message)
}

fn unknown(message: &str) -> Reply {
    Reply::error(StatusCode::UNAUTHORIZED, "identity_required", message)
        .with(header::WWW_AUTHENTICATE, "Basic realm=\"hudson\", charset=\"UTF-8\"")
        .with(header::WWW_AUTHENTICATE, "Bearer realm=\"hudson\"")
}

/// Whether whoever asks knows where it asks. A browser that was led here names the host of the page that did it.
fn is_own_host<B>(request: &Request<B>, bound: SocketAddr) -> bool {
    let mut named = request.headers().get_all(header::HOST).iter();
    let (Some(host), None, None) = (named.next(), named.next(), request.uri().authority()) else {
        return false;
    };
    let host = host.to_str().ok().and_then(|host| Authority::parse_or(host, 80).ok());
    host.is_some_and(|Authority { host, port, .. }| {
        let is_here = match &host {
            Host::Ip(ip) => {
                let ip = ip.to_canonical();
                ip == bound.ip().to_canonical()
                    || ["127.0.0.1", "::1"].iter().any(|own| own.parse() == Ok(ip))
            }
            Host::Name(name) => name == "localhost",
        };
        is_here && port == bound.port()
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let kind = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: &str = "127.0.0.1:6000";

    fn status(method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let request = Request::builder().method(method).uri(uri);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        check(&request.body(()).unwrap(), BOUND.parse().unwrap())
            .map_or_else(|reply| reply.status.as_u16(), |()| 200)
    }

    #[test]
    fn only_programs_that_know_where_they_are_get_in() {
        let json = ("content-type", "application/json");
        for host in ["127.0.0.1:6000", "localhost:6000", "LOCALHOST:6000", "[::1]:6000"] {
            assert_eq!(status("POST", "/confirm", &[("host", host), json]), 200, "{host}");
        }
        for host in [
            "evil.example:6000",
            "127.0.0.1",
            "127.0.0.1:6001",
            "localhost:80",
            "127.0.0.1.evil.example:6000",
            "localhost.evil.example:6000",
            "0.0.0.0:6000",
            "192.168.1.2:6000",
            "",
        ] {
            assert_eq!(status("POST", "/confirm", &[("host", host), json]), 421, "{host}");
        }
        let host = ("host", BOUND);
        assert_eq!(status("POST", "/confirm", &[json]), 421, "no host");
        assert_eq!(status("POST", "/confirm", &[host, host, json]), 421, "two hosts");
        assert_eq!(status("POST", "http://evil.example/confirm", &[host, json]), 421, "absolute form");
        for origin in ["null", "http://127.0.0.1:6000", "https://evil.example"] {
            assert_eq!(status("POST", "/confirm", &[host, json, ("origin", origin)]), 403, "{origin}");
            assert_eq!(status("GET", "/health", &[host, ("origin", origin)]), 403, "{origin}");
        }
        for (site, expected) in [("cross-site", 403), ("same-site", 403), ("same-origin", 403), ("none", 200)]
        {
            assert_eq!(
                status("POST", "/confirm", &[host, json, ("sec-fetch-site", site)]),
                expected,
                "{site}"
            );
        }
        for (kind, expected) in [
            ("application/json; charset=utf-8", 200),
            ("Application/JSON", 200),
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
            ("application/jsonp", 415),
            ("", 415),
        ] {
            assert_eq!(status("POST", "/confirm", &[host, ("content-type", kind)]), expected, "{kind}");
        }
        assert_eq!(status("POST", "/confirm", &[host]), 415);
        assert_eq!(status("POST", "/confirm", &[host, json, json]), 415);
        assert_eq!(status("GET", "/health", &[host]), 200);
    }
}
