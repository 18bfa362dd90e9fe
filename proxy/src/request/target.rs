//! What a request asks for, read once: method, normalised path and query, and the authority it names, which has to be
//! the tunnel's.

use super::Origin;
use http::{HeaderMap, Method, Request, Uri, header};
use hudson_schema::config::Authority;
use hudson_schema::{Refusal, RefusalCode};
use hyper::body::Incoming;

use crate::policy::{self, ASTERISK, judge::Asked};

/// A request's target, checked.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The method; never CONNECT.
    pub(crate) method: Method,
    /// The path, normalised; `*` in a question about the host as a whole.
    pub(crate) path: String,
    /// The query as sent, without `?`.
    pub(crate) query: Option<String>,
}

/// Reads and checks a request's target.
pub(super) fn read(origin: &Origin, request: &Request<Incoming>) -> Result<Target, Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::new(RefusalCode::ProtocolNotAllowed, "CONNECT inside a tunnel is not allowed."));
    }
    framing(request.headers())?;
    authority(origin, request)?;
    let uri = request.uri();
    let path = match uri.path() {
        ASTERISK if request.method() == Method::OPTIONS => ASTERISK.to_owned(),
        ASTERISK => {
            return Err(Refusal::new(RefusalCode::MalformedRequest, "Only OPTIONS can ask about `*`."));
        }
        // Empty where the target is an authority, which only CONNECT has (RFC 9112 section 3.2.3).
        raw => policy::normalise_path(raw).map_err(|fault| {
            Refusal::new(RefusalCode::MalformedRequest, format!("The path is ambiguous: {fault}."))
        })?,
    };
    Ok(Target { method: request.method().clone(), path, query: uri.query().map(str::to_owned) })
}

impl Target {
    /// What is judged.
    pub(super) fn asked<'a>(&'a self, origin: &'a Origin, headers: &'a HeaderMap) -> Asked<'a> {
        Asked {
            scheme: origin.scheme,
            authority: &origin.authority,
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers,
        }
    }

    /// The absolute URI that is sent.
    pub(super) fn uri(&self, origin: &Origin, query: Option<&str>) -> Result<Uri, Refusal> {
        if self.path == ASTERISK && query.is_some() {
            return Err(Refusal::new(RefusalCode::MalformedRequest, "`OPTIONS *` cannot carry a query."));
        }
        let path_and_query = match query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        };
        Uri::builder()
            .scheme(origin.scheme.name())
            .authority(origin.named.as_str())
            .path_and_query(path_and_query)
            .build()
            .map_err(|error| {
                Refusal::new(RefusalCode::MalformedRequest, format!("The target cannot be sent on: {error}."))
            })
    }
}

/// A transfer coding beside `chunked` would stay in a body whose header stays on this connection (RFC 9112 section 6.1).
fn framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked =
        codings.next().is_none_or(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"));
    match chunked && codings.next().is_none() {
        true => Ok(()),
        false => Err(Refusal::new(
            RefusalCode::MalformedRequest,
            "`Transfer-Encoding` may say `chunked`, once, and nothing else.",
        )),
    }
}

/// Every authority a request names must be the origin's: the URI's (`:scheme` and `:authority` on HTTP/2) and each Host.
fn authority(origin: &Origin, request: &Request<Incoming>) -> Result<(), Refusal> {
    let own = origin.scheme.name();
    if let Some(named) = request.uri().scheme_str().filter(|named| !named.eq_ignore_ascii_case(own)) {
        return Err(Refusal::new(
            RefusalCode::AuthorityMismatch,
            format!("The connection is for {own}, but the request names the scheme {named:?}."),
        ));
    }
    let mismatch = |named: &str| {
        let Authority { host, port } = &origin.authority;
        Refusal::new(
            RefusalCode::AuthorityMismatch,
            format!("The connection is to {host}:{port}, but the request names {named:?}."),
        )
    };
    // Nearly every request names it as we do; any other way of writing it is read first.
    let same = |text: &str| {
        text == origin.named
            || Authority::parse_or(text, origin.scheme.port()).is_ok_and(|named| named == origin.authority)
    };
    let in_uri = request.uri().authority().map(http::uri::Authority::as_str);
    if let Some(named) = in_uri.filter(|named| !same(named)) {
        return Err(mismatch(named));
    }
    let hosts: Vec<_> = request.headers().get_all(header::HOST).iter().collect();
    if hosts.len() > 1 || (hosts.is_empty() && in_uri.is_none()) {
        return Err(Refusal::new(
            RefusalCode::MalformedRequest,
            "The request needs exactly one Host header.",
        ));
    }
    for host in hosts {
        let text = host.to_str().unwrap_or_default();
        if !same(text) {
            return Err(mismatch(text));
        }
    }
    Ok(())
}
