//! Real credentials, read where the route says and put on as the last thing before a request leaves.
//!
//! Invariant: a credential that cannot be read refuses the request; what the agent sent in its place is removed first;
//! values live in `SecretString` and are compared only to take them out again.

mod sigv4;

use super::Origin;
use crate::secret;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use hudson_schema::config::{Credential, ProxyCredentials, Route};
use hudson_schema::{Refusal, RefusalCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
pub(super) use sigv4::Payload;
use std::time::SystemTime;

/// Headers in which clients send keys. Where a route has credentials, the agent's own go, whichever it puts on: a
/// dummy beside the real key would be an error at the provider, a real one an escape.
const CLIENT_KEYS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// A route's credentials with their values.
pub(super) struct Credentials {
    entries: Vec<(Credential, SecretString)>,
    /// User and password for a corporate proxy that reads the request itself, as it does plain HTTP; in a tunnel
    /// through one, the dialer says who Hudson is.
    proxy: Option<(String, SecretString)>,
}

/// Reads every credential of a route.
///
/// `dialled` is the route by which the host is dialled: where several lead to it, the first. By that one the request goes
/// through a corporate proxy or does not, whichever allowed it; what is meant for the proxy must not go to the host.
pub(super) async fn read(
    origin: &Origin,
    route: &Route,
    dialled: Option<&Route>,
) -> Result<Credentials, Refusal> {
    let fault = |why| {
        let message = format!("The credential for {} cannot be read: {why}.", origin.authority.host);
        Refusal::new(RefusalCode::CredentialUnavailable, message)
    };
    let mut entries = Vec::with_capacity(route.credentials.len());
    for credential in &route.credentials {
        let secret = secret::read(&origin.run, credential.source()).await.map_err(fault)?;
        entries.push((credential.clone(), secret));
    }
    let proxy = match dialled.and_then(Route::forwarding_credentials) {
        Some(ProxyCredentials { username, from }) => {
            Some((username.clone(), secret::read(&origin.run, from).await.map_err(fault)?))
        }
        None => None,
    };
    Ok(Credentials { entries, proxy })
}

impl Credentials {
    /// Removes what the client sent in their place and puts them on; the query that results.
    pub(super) fn put_on(
        &self,
        headers: &mut HeaderMap,
        query: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        if let Some((username, password)) = &self.proxy {
            insert(headers, header::PROXY_AUTHORIZATION.as_str(), &secret::basic(username, password))?;
        }
        if self.entries.is_empty() {
            return Ok(query.map(str::to_owned));
        }
        for name in self.replaced() {
            headers.remove(name);
        }
        let mut query = remaining_query(self.credentials(), query);
        for (credential, secret) in &self.entries {
            let text = secret.expose_secret();
            match credential {
                Credential::Header { name, prefix, .. } => {
                    let text = SecretString::from(format!("{}{text}", prefix.as_deref().unwrap_or_default()));
                    insert(headers, name, &text)?;
                }
                Credential::Query { name, .. } => {
                    let pair = format!("{}={}", encode(name), encode(text));
                    query = Some(query.map_or(pair.clone(), |query| format!("{query}&{pair}")));
                }
                Credential::Basic { username, .. } => {
                    insert(headers, header::AUTHORIZATION.as_str(), &secret::basic(username, secret))?;
                }
                // It is made of all the rest, last of all.
                Credential::AwsSigv4 { .. } => {}
            }
        }
        Ok(query)
    }

    /// Signs the request as it leaves, where a credential is a signature.
    pub(super) fn sign<B>(&self, request: &mut Request<B>, payload: Payload<'_>) -> Result<(), Refusal> {
        for (credential, secret) in &self.entries {
            if let Credential::AwsSigv4 { region, service, .. } = credential {
                let scope = sigv4::Scope { region, service, now: SystemTime::now() };
                sigv4::sign(request, payload, secret, &scope).map_err(unavailable)?;
            }
        }
        Ok(())
    }

    /// Whether a signature needs the whole body before the head is sent.
    pub(super) fn sign_bodies(&self) -> bool {
        self.entries.iter().any(|(credential, _)| {
            matches!(credential, Credential::AwsSigv4 { service, .. } if !sigv4::signs_streams(service))
        })
    }

    /// The headers in which the client's own would stand.
    pub(super) fn replaced(&self) -> Vec<HeaderName> {
        replaced_headers(self.credentials())
    }

    fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.entries.iter().map(|(credential, _)| credential)
    }

    /// Each with its value.
    pub(super) fn entries(&self) -> &[(Credential, SecretString)] {
        &self.entries
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.proxy.is_none()
    }

    /// Every form in which a value leaves, and in which it must not come back.
    pub(super) fn values(&self) -> Vec<SecretString> {
        let mut values = Vec::new();
        for (credential, secret) in &self.entries {
            match credential {
                Credential::Basic { username, .. } => values.push(secret::basic_pair(username, secret)),
                Credential::Query { .. } => values.push(SecretString::from(encode(secret.expose_secret()))),
                Credential::AwsSigv4 { .. } => {
                    // The parts: they are what is used and, the token, what is sent.
                    if let Ok(keys) = sigv4::Keys::read(secret) {
                        values.push(keys.secret);
                        values.extend(keys.token);
                    }
                    continue;
                }
                Credential::Header { .. } => {}
            }
            values.push(secret.clone());
        }
        if let Some((username, password)) = &self.proxy {
            values.push(secret::basic_pair(username, password));
            values.push(password.clone());
        }
        values
    }
}

/// The headers of a client that do not leave where these credentials are put on.
pub(super) fn replaced_headers<'a>(credentials: impl Iterator<Item = &'a Credential>) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for credential in credentials {
        if names.is_empty() {
            names.extend(CLIENT_KEYS);
        }
        match credential {
            Credential::Header { name, .. } => names.extend(HeaderName::from_bytes(name.as_bytes())),
            Credential::AwsSigv4 { .. } => names.extend(sigv4::HEADERS),
            Credential::Query { .. } | Credential::Basic { .. } => {}
        }
    }
    names
}

/// What of a client's query leaves where these credentials are put on.
pub(super) fn remaining_query<'a>(
    credentials: impl Iterator<Item = &'a Credential>,
    query: Option<&str>,
) -> Option<String> {
    let mut query = query.map(str::to_owned);
    for credential in credentials {
        match credential {
            Credential::Query { name, .. } => query = without(query.as_deref(), name),
            Credential::AwsSigv4 { .. } => {
                for name in sigv4::PARAMETERS {
                    query = without(query.as_deref(), name);
                }
            }
            Credential::Header { .. } | Credential::Basic { .. } => {}
        }
    }
    query
}

/// The secrets that a credential's value is made of.
pub(crate) fn parts(credential: &Credential, value: &SecretString) -> Vec<SecretString> {
    match (credential, sigv4::Keys::read(value)) {
        (Credential::AwsSigv4 { .. }, Ok(keys)) => std::iter::once(keys.secret).chain(keys.token).collect(),
        _ => vec![value.clone()],
    }
}

fn insert(headers: &mut HeaderMap, name: &str, text: &SecretString) -> Result<(), Refusal> {
    let name: HeaderName = name.parse().map_err(|_| unavailable("its header name is not valid"))?;
    let mut value = HeaderValue::from_str(text.expose_secret())
        .map_err(|_| unavailable("its value cannot stand in a header"))?;
    // Keeps it out of debug output and of HPACK's table.
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

fn unavailable(why: &str) -> Refusal {
    Refusal::new(RefusalCode::CredentialUnavailable, format!("The credential cannot be put on: {why}."))
}

/// The query without every parameter of that name, however it is encoded.
fn without(query: Option<&str>, name: &str) -> Option<String> {
    let kept: Vec<&str> = query?
        .split('&')
        .filter(|pair| {
            let key = pair.split('=').next().unwrap_or_default().replace('+', " ");
            percent_decode_str(&key).decode_utf8_lossy() != name
        })
        .collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::config::Source;

    fn credentials(entries: Vec<Credential>) -> Credentials {
        Credentials {
            entries: entries
                .into_iter()
                .map(|entry| (entry, SecretString::from("s3cret".to_owned())))
                .collect(),
            proxy: None,
        }
    }

    #[test]
    fn what_the_agent_sent_in_their_place_is_gone() {
        let from = Source::Env("K".to_owned());
        let both = credentials(vec![
            Credential::Header { name: "x-key".to_owned(), prefix: None, from: from.clone() },
            Credential::Query { name: "key".to_owned(), from: from.clone() },
        ]);
        let mut headers = HeaderMap::new();
        for name in ["authorization", "x-api-key", "x-key", "accept"] {
            headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static("agent"));
        }
        let query = both.put_on(&mut headers, Some("a=1&key=x&%6bey=y&b=2")).unwrap();
        assert_eq!(query.as_deref(), Some("a=1&b=2&key=s3cret"));
        assert_eq!(headers.len(), 2);
        assert_eq!(headers.get("x-key").unwrap(), "s3cret");
        assert!(headers.get("x-key").unwrap().is_sensitive());

        let basic = credentials(vec![Credential::Basic { username: "ci".to_owned(), from }]);
        let mut headers = HeaderMap::new();
        basic.put_on(&mut headers, None).unwrap();
        assert_eq!(headers.get("authorization").unwrap(), "Basic Y2k6czNjcmV0");
    }
}
