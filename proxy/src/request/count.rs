//! The exact input of a request, asked of its provider before the hold is placed (`estimate: {count_tokens: true}`).
//!
//! Invariant: nothing is asked but for a run under a hard budget that no block stands against; the question goes the way
//! of the request itself (same host, connections, checks and credentials) and to nobody else; it is charged to no budget,
//! and the client sees nothing of it; without an answer in time the estimate stands, and an event says so.
//!
//! It is asked for however much is left: that is known in the transaction of the hold alone, and where many come at once
//! each would find room for itself.

use super::credential::{Credentials, Payload};
use super::{Origin, Target, admission, block, forward};
use crate::body::{self, Body};
use crate::event::Event;
use crate::run::RunPolicy;
use crate::tls::Wire;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hudson_meter::request::count::{self, Question};
use hudson_meter::{RequestFacts, RequestHead, decode_body};
use hudson_schema::config::Route;
use hudson_schema::{Format, Provider, Refusal};
use hyper::body::Incoming;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::time::timeout;

/// The largest answer that is read, in bytes: two numbers, as a rule.
const ANSWER: usize = 64 << 10;
/// How often a question is sent whose connection turned out closed before anything of it was written.
const ATTEMPTS: usize = 2;
/// How many counts are remembered, for all runs.
const REMEMBERED: u64 = 4096;
/// How long one is remembered: a provider may change what a model's name stands for.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// The headers of a request that go with its question: who asks, for whom, and in which version of the API.
const KEPT: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::USER_AGENT,
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("anthropic-user-profile-id"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("x-goog-user-project"),
];

/// The counts that providers gave, each by the digest of its whole question. Equal questions that are under way at once
/// wait for one answer.
pub(crate) struct Counts {
    remembered: Cache<[u8; 32], u64>,
}

impl Counts {
    pub(crate) fn new() -> Self {
        let remembered = Cache::builder()
            .max_capacity(REMEMBERED)
            .time_to_live(REMEMBERED_FOR)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { remembered }
    }
}

/// A metered request whose body was read, or a message on a WebSocket that is one.
pub(super) struct Asked<'a> {
    pub(super) route: &'a Route,
    pub(super) provider: &'a Provider,
    pub(super) head: &'a RequestHead<'a>,
    /// Headers that [`head::outbound`](super::head::outbound) has cleaned.
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) facts: &'a RequestFacts,
    pub(super) credentials: &'a Credentials,
}

/// The request's exact input in tokens; `None` where the estimate has to do. A refusal where the request would be refused
/// whatever its input, so that nothing of it leaves.
pub(super) async fn exact(origin: &Origin, asked: Asked<'_>) -> Result<Option<u64>, Refusal> {
    let Asked { route, provider, head, headers, body, facts, credentials } = asked;
    let policy = origin.run.policy();
    let Some(time) = policy.count_tokens else { return Ok(None) };
    if !is_bounded(&policy, provider, route, facts)? {
        return Ok(None);
    }
    let Some(Question { path, query, body }) = count::question(head, body) else { return Ok(None) };
    block(&origin.shared, &origin.run, |_| Some(provider.clone())).await?;
    let question = Outbound {
        origin,
        provider,
        target: Target { method: Method::POST, path, query },
        headers: kept(headers),
        body: Bytes::from(body),
        format: head.format,
        credentials,
        time,
    };
    let counted = match facts.unseen_input.is_empty() {
        true => {
            let key = question.key()?;
            let asking = origin.shared.counts.remembered.try_get_with(key, question.ask());
            asking.await.map_err(|why| String::clone(&why))
        }
        // What the request names may be another thing the next time.
        false => question.ask().await,
    };
    Ok(counted.inspect_err(|why| failed(origin, why)).ok())
}

/// Takes a count in place of the estimate. What stands behind a URL may be another thing when the request itself has it
/// fetched, so that a count of it is believed only where it is more.
pub(super) fn take(facts: &mut RequestFacts, exact: u64) {
    let fetched = facts.unseen_input.iter().any(|field| matches!(*field, "url" | "uri" | "fileUri"));
    facts.input_estimate = if fetched { exact.max(facts.input_estimate) } else { exact };
}

/// Whether a hard limit stands over the request, so that its input decides.
fn is_bounded(
    policy: &RunPolicy,
    provider: &Provider,
    route: &Route,
    facts: &RequestFacts,
) -> Result<bool, Refusal> {
    let hard = admission::is_hard(policy, &policy.limits(provider, super::clock()));
    if hard {
        admission::allowance(route, facts)?;
    }
    Ok(hard)
}

fn kept(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in &KEPT {
        for value in headers.get_all(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    kept.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    kept.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    kept
}

/// A question, ready to leave.
struct Outbound<'a> {
    origin: &'a Origin,
    provider: &'a Provider,
    target: Target,
    headers: HeaderMap,
    body: Bytes,
    format: Format,
    credentials: &'a Credentials,
    /// How long its answer is waited for, dialling included.
    time: Duration,
}

impl Outbound<'_> {
    fn built(&self) -> Result<Request<Body>, Refusal> {
        let Self { origin, target, headers, body, credentials, .. } = self;
        forward::build(origin, target, credentials, headers.clone(), body::full(body.clone()))
    }

    /// All that the answer depends on, and whose it is.
    fn key(&self) -> Result<[u8; 32], Refusal> {
        let request = self.built()?;
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        };
        add(self.origin.run.id.as_str().as_bytes());
        add(request.uri().to_string().as_bytes());
        for (name, value) in request.headers() {
            add(name.as_str().as_bytes());
            add(value.as_bytes());
        }
        add(&self.body);
        Ok(digest.finalize().into())
    }

    async fn ask(&self) -> Result<u64, String> {
        let answer = timeout(self.time, self.answered()).await;
        let answer = answer.map_err(|_| format!("no answer within {:?}", self.time))??;
        count::answer(self.format, &answer).ok_or_else(|| "the answer states no count".to_owned())
    }

    /// The body of the answer, in clear.
    async fn answered(&self) -> Result<Vec<u8>, String> {
        let (parts, incoming) = self.sent().await?.into_parts();
        if parts.status != StatusCode::OK {
            return Err(format!("the answer's status is {}", parts.status.as_u16()));
        }
        let collected = Limited::new(incoming, ANSWER).collect().await;
        let bytes = collected.map_err(|_| "the answer broke off or is too large".to_owned())?.to_bytes();
        let encoding = parts.headers.get(header::CONTENT_ENCODING);
        let encoding = encoding.map_or("identity", |value| value.to_str().unwrap_or("unreadable"));
        decode_body(encoding, &bytes, ANSWER)
            .map_err(|error| format!("the answer cannot be decoded: {error}"))
    }

    async fn sent(&self) -> Result<Response<Incoming>, String> {
        let mut attempt = 1;
        loop {
            let mut request = self.built().map_err(|refusal| refusal.message)?;
            let payload = Payload::Bytes(&self.body);
            self.credentials.sign(&mut request, payload).map_err(|refusal| refusal.message)?;
            match forward::send(self.origin, Some(self.provider), request, Wire::Preferred).await {
                Ok(response) => return Ok(response),
                Err(unsent) if unsent.stale && attempt < ATTEMPTS => attempt += 1,
                Err(unsent) => return Err(unsent.refusal.message),
            }
        }
    }
}

fn failed(origin: &Origin, why: &str) {
    origin.shared.events.emit(Event::CountFailed {
        run: origin.run.id.clone(),
        host: origin.authority.host.to_string(),
        reason: why.to_owned(),
    });
}
