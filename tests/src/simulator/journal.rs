//! The journal: what arrived at the simulator, what it said, and which credentials it saw (never their values).

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::script::Usage;

/// Headers whose values the journal keeps only as a [`fingerprint`].
const SECRET_HEADERS: [&str; 5] =
    ["authorization", "x-api-key", "x-goog-api-key", "cookie", "chatgpt-account-id"];

/// One request and its answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Entry {
    /// Position in the journal, from 0.
    pub sequence: usize,
    /// Request method.
    pub method: String,
    /// Host as the client named it, without a port.
    pub host: String,
    /// Path and query; a `key` in the query appears as its fingerprint.
    pub path: String,
    /// Protocol version as `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Status of the answer.
    pub status: u16,
    /// Request headers in order; secret ones as fingerprints.
    pub headers: Vec<(String, String)>,
    /// Length of the request's body as it arrived.
    pub request_bytes: usize,
    /// The model that was asked for.
    pub model: Option<String>,
    /// Was the answer a stream?
    pub stream: bool,
    /// The numbers that the answer tells, when it tells any.
    pub usage: Option<Usage>,
    /// The model's text in the answer.
    pub text: Option<String>,
    /// What tells this answer from every other: the last part of the id that it states.
    pub answer_id: Option<String>,
    /// Events of a stream handed to the connection.
    pub sent_events: usize,
    /// Bytes of the answer's body handed to the connection.
    pub sent_bytes: usize,
    /// Was the whole answer handed over?
    pub complete: bool,
    /// The request's body after its content coding, when bodies are kept.
    #[serde(skip)]
    pub request_body: Vec<u8>,
    /// The answer's body as sent, when bodies are kept.
    #[serde(skip)]
    pub sent: Vec<u8>,
}

impl Entry {
    /// A request header by lower-case name; several values are joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Did this request carry `value` in the credential header `name`?
    pub fn carries(&self, name: &str, value: &str) -> bool {
        self.header(name).is_some_and(|seen| seen == fingerprint(value))
    }

    /// Is it a call that a provider bills?
    pub fn is_metered_call(&self) -> bool {
        self.usage.is_some()
    }

    /// Path without the query.
    pub fn path_only(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// The request's JSON body.
    pub fn request_json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.request_body).unwrap_or_default()
    }
}

/// A value's stand-in in the journal: equal values have equal ones, and nobody can turn it back.
pub fn fingerprint(value: &str) -> String {
    let digest = Sha256::digest(value.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Everything that arrived, in order.
#[derive(Debug)]
pub struct Journal {
    enabled: bool,
    keep_bodies: bool,
    entries: Mutex<Vec<Entry>>,
}

impl Journal {
    pub(super) fn new(enabled: bool, keep_bodies: bool) -> Self {
        Self { enabled, keep_bodies, entries: Mutex::default() }
    }

    /// A copy of all entries.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().expect("no holder panics").clone()
    }

    /// The calls that a provider bills.
    pub fn metered_calls(&self) -> Vec<Entry> {
        self.entries().into_iter().filter(Entry::is_metered_call).collect()
    }

    /// Waits until `found` holds for the entries; false when it does not within `limit`.
    pub fn wait_until(&self, limit: Duration, found: impl Fn(&[Entry]) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if found(&self.entries.lock().expect("no holder panics")) {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Records the arrival of a request and returns where its answer goes.
    pub(super) fn arrived(&self, parts: &http::request::Parts) -> Option<usize> {
        if !self.enabled {
            return None;
        }
        let secret = |name: &str| SECRET_HEADERS.contains(&name);
        let headers = parts.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), if secret(name.as_str()) { fingerprint(&value) } else { value })
        });
        let mut entries = self.entries.lock().expect("no holder panics");
        let sequence = entries.len();
        entries.push(Entry {
            sequence,
            method: parts.method.to_string(),
            host: super::router::host_of(parts),
            path: hide_key(parts.uri.path_and_query().map_or("/", |p| p.as_str())),
            version: format!("{:?}", parts.version),
            headers: headers.collect(),
            ..Entry::default()
        });
        Some(sequence)
    }

    /// Changes one entry.
    pub(super) fn update(&self, entry: Option<usize>, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = entry else { return };
        if let Some(entry) = self.entries.lock().expect("no holder panics").get_mut(entry) {
            change(entry);
        }
    }

    /// Records bytes of an answer that the connection has taken.
    pub(super) fn sent(&self, entry: Option<usize>, bytes: &[u8]) {
        self.update(entry, |entry| {
            entry.sent_bytes += bytes.len();
            if self.keep_bodies {
                entry.sent.extend_from_slice(bytes);
            }
        });
    }

    /// Records a request's body.
    pub(super) fn body(&self, entry: Option<usize>, wire_length: usize, decoded: &[u8]) {
        self.update(entry, |entry| {
            entry.request_bytes = wire_length;
            if self.keep_bodies {
                entry.request_body = decoded.to_vec();
            }
        });
    }
}

fn hide_key(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let hidden: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some(("key", value)) => format!("key={}", fingerprint(value)),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", hidden.join("&"))
}
