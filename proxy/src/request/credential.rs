//! Real credentials, read where the route says and put on as the last thing before a request leaves.
//!
//! Invariant: a credential that cannot be read refuses the request; what the agent sent in its place is removed first;
//! values live in `SecretString` and are compared only to take them out again.

use super::Origin;
use crate::run::LaunchSecret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use hudson_schema::config::{Credential, Route, Source};
use hudson_schema::{Refusal, RefusalCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// The longest a credential command may take.
const COMMAND_TIME: Duration = Duration::from_secs(10);
/// The most a credential file or command may give, in bytes.
const MAX_VALUE: usize = 64 * 1024;

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
}

/// Reads every credential of a route.
pub(super) async fn read(origin: &Origin, route: &Route) -> Result<Credentials, Refusal> {
    let mut entries = Vec::with_capacity(route.credentials.len());
    for credential in &route.credentials {
        match value(origin, credential.source()).await {
            Ok(secret) => entries.push((credential.clone(), secret)),
            Err(why) => {
                let message = format!("The credential for {} cannot be read: {why}.", origin.authority.host);
                return Err(Refusal::new(RefusalCode::CredentialUnavailable, message));
            }
        }
    }
    Ok(Credentials { entries })
}

impl Credentials {
    /// Removes what the client sent in their place and puts them on; the query that results.
    pub(super) fn put_on(
        &self,
        headers: &mut HeaderMap,
        query: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        if self.entries.is_empty() {
            return Ok(query.map(str::to_owned));
        }
        for name in &CLIENT_KEYS {
            headers.remove(name);
        }
        let mut query = query.map(str::to_owned);
        for (credential, _) in &self.entries {
            match credential {
                Credential::Header { name, .. } => {
                    headers.remove(name.as_str());
                }
                Credential::Query { name, .. } => query = without(query.as_deref(), name),
                Credential::Basic { .. } | Credential::AwsSigv4 { .. } => {}
            }
        }
        for (credential, secret) in &self.entries {
            let secret = secret.expose_secret();
            match credential {
                Credential::Header { name, prefix, .. } => {
                    let text =
                        SecretString::from(format!("{}{secret}", prefix.as_deref().unwrap_or_default()));
                    insert(headers, name, &text)?;
                }
                Credential::Query { name, .. } => {
                    let pair = format!("{}={}", encode(name), encode(secret));
                    query = Some(query.map_or(pair.clone(), |query| format!("{query}&{pair}")));
                }
                Credential::Basic { username, .. } => {
                    let pair = SecretString::from(format!("{username}:{secret}"));
                    let text = SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret())));
                    insert(headers, header::AUTHORIZATION.as_str(), &text)?;
                }
                Credential::AwsSigv4 { .. } => {
                    return Err(unavailable("aws_sigv4 is not available in this version"));
                }
            }
        }
        Ok(query)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every form in which a value leaves, and in which it must not come back.
    pub(super) fn values(&self) -> Vec<SecretString> {
        let mut values = Vec::new();
        for (credential, secret) in &self.entries {
            match credential {
                Credential::Basic { username, .. } => {
                    let pair = SecretString::from(format!("{username}:{}", secret.expose_secret()));
                    values.push(SecretString::from(STANDARD.encode(pair.expose_secret())));
                }
                Credential::Query { .. } => values.push(SecretString::from(encode(secret.expose_secret()))),
                Credential::Header { .. } | Credential::AwsSigv4 { .. } => {}
            }
            values.push(secret.clone());
        }
        values
    }
}

async fn value(origin: &Origin, source: &Source) -> Result<SecretString, String> {
    let secret = match source {
        Source::Env(name) => match origin.run.secrets.get(name) {
            Some(LaunchSecret::Value(secret)) => secret.clone(),
            Some(LaunchSecret::JsonFile { path, keys }) => member(&file(path).await?, path, keys)?,
            None => match std::env::var(name) {
                Ok(value) => SecretString::from(value),
                Err(_) => return Err(format!("the variable {name} is not set")),
            },
        },
        Source::File(path) => file(path).await?,
        Source::Command(argv) => command(argv).await?,
    };
    let trimmed = secret.expose_secret().trim_end_matches(['\r', '\n']);
    match trimmed.is_empty() {
        true => Err(match source {
            Source::Env(name) => format!("the variable {name} is empty"),
            Source::File(path) => format!("{} is empty", path.display()),
            Source::Command(_) => "the command printed nothing".to_owned(),
        }),
        false => Ok(SecretString::from(trimmed.to_owned())),
    }
}

async fn file(path: &Path) -> Result<SecretString, String> {
    let bytes = tokio::fs::read(path).await.map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.len() > MAX_VALUE {
        return Err(format!("{} is larger than {MAX_VALUE} bytes", path.display()));
    }
    String::from_utf8(bytes).map(SecretString::from).map_err(|_| format!("{} is not UTF-8", path.display()))
}

/// A text member of a JSON file.
fn member(text: &SecretString, path: &Path, keys: &[String]) -> Result<SecretString, String> {
    // serde_json's words could quote the file: only where it failed is told.
    let root: serde_json::Value = serde_json::from_str(text.expose_secret())
        .map_err(|error| format!("{} is not JSON at line {}", path.display(), error.line()))?;
    keys.iter()
        .try_fold(&root, |value, key| value.get(key))
        .and_then(serde_json::Value::as_str)
        .map(|secret| SecretString::from(secret.to_owned()))
        .ok_or_else(|| format!("{} has no text at {}; log in again", path.display(), keys.join(".")))
}

async fn command(argv: &[String]) -> Result<SecretString, String> {
    let (program, arguments) = argv.split_first().ok_or_else(|| "the command is empty".to_owned())?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(COMMAND_TIME, command.output())
        .await
        .map_err(|_| format!("{program} took longer than {COMMAND_TIME:?}"))?
        .map_err(|error| format!("{program}: {error}"))?;
    // What it printed may hold the secret, also when it failed: only its status is told.
    if !output.status.success() {
        return Err(format!("{program} ended with {}", output.status));
    }
    if output.stdout.len() > MAX_VALUE {
        return Err(format!("{program} printed more than {MAX_VALUE} bytes"));
    }
    String::from_utf8(output.stdout)
        .map(SecretString::from)
        .map_err(|_| format!("{program} printed no UTF-8"))
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

    fn credentials(entries: Vec<Credential>) -> Credentials {
        Credentials {
            entries: entries
                .into_iter()
                .map(|entry| (entry, SecretString::from("s3cret".to_owned())))
                .collect(),
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
