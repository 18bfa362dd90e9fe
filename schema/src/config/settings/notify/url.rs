//! URLs of the operator's: where notifications go, and where services are.

use crate::config::Scheme;
use crate::config::host::{Authority, Host};
use std::str::FromStr;

/// A webhook's URL, taken apart.
#[derive(Clone, Eq, PartialEq)]
pub struct WebhookUrl {
    /// With TLS or without.
    pub scheme: Scheme,
    /// The host and its port.
    pub authority: Authority,
    /// The path and the query, as they are sent.
    pub path: String,
}

impl WebhookUrl {
    /// The base of a service, to which paths are appended. A token is sent there: without TLS it goes to this very host
    /// alone.
    pub fn base(text: &str) -> Result<Self, &'static str> {
        let url: Self = text.parse()?;
        if url.path.contains('?') {
            return Err("the base of a service has no query");
        }
        let here = match &url.authority.host {
            Host::Ip(address) => address.is_loopback(),
            Host::Name(name) => name == "localhost",
        };
        match url.scheme == Scheme::Https || here {
            true => Ok(url),
            false => {
                Err("without TLS a secret could be read on the way; expected a URL that begins with https://")
            }
        }
    }

    /// The same with this behind the path.
    pub fn below(&self, path: &str) -> Self {
        let path = format!("{}{path}", self.path.trim_end_matches('/'));
        Self { path, ..self.clone() }
    }

    /// As it is written.
    pub fn text(&self) -> String {
        format!("{}://{}{}", self.scheme.name(), self.named(), self.path)
    }

    /// The host, and its port where that is not the usual one.
    pub fn named(&self) -> String {
        match self.authority.port == self.scheme.port() {
            true => self.authority.host.to_string(),
            false => self.authority.to_string(),
        }
    }
}

impl FromStr for WebhookUrl {
    type Err = &'static str;

    /// The text is in no error: it may be a secret.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, default_port, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://"))
        {
            (Some(rest), _) => (Scheme::Https, 443, rest),
            (None, Some(rest)) => (Scheme::Http, 80, rest),
            (None, None) => return Err("expected a URL that begins with https:// or http://"),
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
            return Err("a URL has no spaces, no fragment, and what is not ASCII percent-encoded");
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("a URL with a user name or a password is not taken; the signature says who sends");
        }
        let authority = Authority::parse_or(authority, default_port)
            .map_err(|_| "expected a URL with the name or the address of a host")?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { scheme, authority, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_in_no_error() {
        for (text, scheme, authority, path) in [
            ("https://a.test", Scheme::Https, "a.test:443", "/"),
            ("http://127.0.0.1:8080/a/b?c=d%20e", Scheme::Http, "127.0.0.1:8080", "/a/b?c=d%20e"),
            ("https://[::1]?x", Scheme::Https, "[::1]:443", "/?x"),
        ] {
            let Ok(url) = text.parse::<WebhookUrl>() else { panic!("{text}") };
            assert_eq!(
                (url.scheme, url.authority.to_string().as_str(), url.path.as_str()),
                (scheme, authority, path)
            );
        }
        for text in [
            "hunter2",
            "ftp://hunter2",
            "https://",
            "https:///hunter2",
            "https://u:hunter2@a.test",
            "https://a.test/#hunter2",
            "https://a.test/hunter2\r\nx: y",
            "https://a.test:0/hunter2",
            "https://a b/hunter2",
        ] {
            let Err(error) = text.parse::<WebhookUrl>() else { panic!("{text}") };
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
