//! The request that is asked about, read from the command line as the proxy reads it from the wire.

use crate::exit::Exit;
use anyhow::Result;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use hudson_schema::config::{Authority, Scheme};

/// A request's head.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    /// As given, not yet normalised.
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
}

impl Asked {
    /// Reads method, URL and headers; whatever is no request at all is an error of usage.
    pub(super) fn parse(method: &str, url: &str, headers: &[String]) -> Result<Self> {
        let method: Method = method
            .parse()
            .map_err(|_| Exit::usage(format!("{method:?} is not an HTTP method, such as GET or POST")))?;
        let wrong = |why: &str| {
            Exit::usage(format!("{url:?} is not a URL such as https://api.example.com/v1: {why}"))
        };
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| wrong(&error.to_string()))?;
        let scheme = match uri.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            _ => return Err(wrong("it has to begin with https:// or http://").into()),
        };
        let host = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let authority =
            Authority::parse_or(host, scheme.port()).map_err(|fault| wrong(&fault.to_string()))?;
        let mut map = HeaderMap::new();
        for text in headers {
            let (name, value) = header(text)?;
            map.append(name, value);
        }
        let path = if uri.path().is_empty() { "/" } else { uri.path() };
        let (path, query) = (path.to_owned(), uri.query().map(str::to_owned));
        Ok(Self { method, scheme, authority, path, query, headers: map })
    }

    /// The origin, with its port.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}:{}", self.scheme.name(), self.authority.host, self.authority.port)
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue)> {
    let parsed = text.split_once(':').and_then(|(name, value)| {
        Some((name.trim().parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?))
    });
    // The value may be a credential: it is not repeated.
    let name = text.split(':').next().unwrap_or_default();
    parsed.ok_or_else(|| Exit::usage(format!("--header {name:?}… is not `name: value`")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_the_proxy_reads_it() {
        let asked =
            Asked::parse("POST", "https://API.example.com/v1/x?a=1#f", &["X-A: b".to_owned()]).unwrap();
        assert_eq!(asked.origin(), "https://api.example.com:443");
        assert_eq!((asked.path.as_str(), asked.query.as_deref()), ("/v1/x", Some("a=1")));
        assert_eq!(asked.headers.get("x-a").unwrap(), "b");
        assert_eq!(Asked::parse("GET", "http://a.test:8080", &[]).unwrap().path, "/");
    }

    #[test]
    fn what_is_no_request_is_an_error_of_usage() {
        for (method, url, header) in [
            ("G ET", "https://a.test/", "a: b"),
            ("GET", "a.test/x", "a: b"),
            ("GET", "ftp://a.test/", "a: b"),
            ("GET", "https://", "a: b"),
            ("GET", "https://a.test/", "no colon"),
        ] {
            let error = Asked::parse(method, url, &[header.to_owned()]).unwrap_err();
            assert_eq!(crate::exit::code_of(&error), crate::exit::USAGE, "{method} {url} {header}");
        }
        let error = Asked::parse("GET", "https://a.test/", &["bad name: s3cret".to_owned()]).unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
    }
}
