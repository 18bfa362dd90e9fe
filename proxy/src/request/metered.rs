//! A request to a metered endpoint: read whole, estimated or counted, admitted with a hold, made readable, sent, and its
//! response tapped.
//!
//! Invariant: the hold is a row in the ledger before the first byte leaves, and from then on every way out of this
//! module ends in a settlement or, where provably nothing was sent, in a release.

use super::admission::{self, Admitted};
use super::approval::Permits;
use super::count::{self, Asked};
use super::credential::{Credentials, Payload};
use super::forward::{self, Unsent};
use super::gate::Gate;
use super::rules::Sent;
use super::settle::Settler;
use super::tap::{self, Account, Tap};
use super::{Origin, Outbound as Dlp, Target, head, whole};
use crate::body::{self, Body};
use crate::tasks::Whose;
use crate::tls::Wire;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use hudson_meter::request as facts;
use hudson_meter::{DecodeError, RequestHead, Rewrite, StreamDecoder, decode_body};
use hudson_schema::config::Route;
use hudson_schema::{Format, Provider, Refusal, RefusalCode};
use hyper::body::Incoming;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How often a request is sent whose connection turned out closed before anything of it was written.
const ATTEMPTS: usize = 2;
/// What is left under the tightest limit beyond this request's hold, in charged tokens (`budget_header`).
const REMAINING: HeaderName = HeaderName::from_static("x-hudson-budget-remaining");

/// What is asked, as it was judged so far.
pub(super) struct Judged<'a> {
    pub(super) route: &'a Route,
    pub(super) target: &'a Target,
    /// What is looked for in it.
    pub(super) outbound: Option<Arc<Dlp>>,
    /// What its rules and people say.
    pub(super) gate: Gate<'a>,
}

/// Admits, sends and meters one request.
pub(super) async fn exchange(
    origin: &Arc<Origin>,
    Judged { route, target, outbound, mut gate }: Judged<'_>,
    credentials: Credentials,
    provider: Provider,
    format: Format,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (mut parts, incoming) = request.into_parts();
    let room = whole::room(origin, &incoming).await?;
    let mut sent = readable(origin, &parts.headers, whole::read(origin, incoming).await?)?;
    if let Some(outbound) = &outbound {
        sent = outbound.whole(sent).await?;
    }
    gate.read(&parts.headers, Sent::Clear(&sent)).await?;
    let host = origin.authority.host.to_string();
    let kind =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let catalogue = origin.shared.catalogue.load_full();
    let asked = RequestHead {
        format,
        host: &host,
        path: &target.path,
        query: target.query.as_deref(),
        content_type: kind.as_deref(),
        socket: false,
        models: catalogue.models(&provider),
    };
    let mut facts = facts::read(&asked, &sent)
        .map_err(|error| Refusal::new(RefusalCode::MalformedRequest, format!("{error}.")))?;
    head::outbound(&mut parts.headers);
    // In clear, as it was read.
    parts.headers.remove(header::CONTENT_ENCODING);
    // Before the provider is asked for its count, which shows it the request, and before the hold, which waits for nobody.
    let permits = gate.pass(&parts.headers, Some(&sent), outbound.as_ref()).await?;
    let question = Asked {
        route,
        provider: &provider,
        head: &asked,
        headers: &parts.headers,
        body: &sent,
        facts: &facts,
        credentials: &credentials,
    };
    // What is refused here is given back by its drop, or at once.
    if let Some(exact) = count::exact(origin, question).await? {
        count::take(&mut facts, exact);
    }
    let admitted = match admission::admit(origin, route, provider.clone(), format, &facts).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            permits.give_back().await;
            return Err(refusal);
        }
    };
    let Admitted { settler, hard, output_cap, cut_at, remaining } = admitted;
    let change = Rewrite { output_cap, include_usage: facts.stream };
    let body = match facts::rewrite(&asked, &facts, &sent, &change) {
        Ok(body) => Bytes::from(body),
        Err(error) => {
            settler.release().await;
            return Err(Refusal::new(RefusalCode::MalformedRequest, format!("{error}.")));
        }
    };
    // Usage that the client did not ask for is taken out of the stream again, which needs it in clear; so does the
    // error event with which a stream under a hard budget may have to be ended.
    let strip = format == Format::OpenaiChat && facts.stream && facts.include_usage != Some(true);
    head::readable_encodings(&mut parts.headers, strip || (hard && facts.stream));
    // The body that is sent is another, without trailers.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::TRAILER);
    let outbound = Outbound {
        origin: origin.clone(),
        target: target.clone(),
        credentials,
        headers: parts.headers,
        body,
        format,
        strip,
        cut_at,
        remaining,
    };
    // From here on a task of its own: a client that leaves does not end what it has set going, and what the provider
    // charges for is read to its end.
    let (answer, answered) = oneshot::channel();
    let whose = Arc::new(Whose { run: Some(origin.run.id.clone()), host: Some(host) });
    origin.shared.tasks.spawn_for(whose, async move {
        let response = outbound.send(settler, permits).await;
        drop(room);
        // Without a client the response is dropped here, and its tap reads on.
        let _ = answer.send(response);
    });
    answered
        .await
        .unwrap_or_else(|_| Err(Refusal::new(RefusalCode::UpstreamUnreachable, "The exchange was ended.")))
}

/// An admitted request, ready to leave.
struct Outbound {
    origin: Arc<Origin>,
    target: Target,
    credentials: Credentials,
    headers: HeaderMap,
    body: Bytes,
    format: Format,
    strip: bool,
    cut_at: Option<u64>,
    remaining: Option<u64>,
}

impl Outbound {
    /// Sends it; what comes back is tapped.
    async fn send(self, settler: Settler, mut permits: Permits) -> Result<Response<Body>, Refusal> {
        for attempt in 1..=ATTEMPTS {
            let Self { origin, target, credentials, .. } = &self;
            let body = body::full(self.body.clone());
            let built = forward::build(origin, target, credentials, self.headers.clone(), body);
            let signed = built.and_then(|mut request| {
                credentials.sign(&mut request, Payload::Bytes(&self.body))?;
                Ok(request)
            });
            let request = match signed {
                Ok(request) => request,
                Err(refusal) => {
                    settler.release().await;
                    return Err(refusal);
                }
            };
            permits.sending();
            let answer = forward::send(origin, settler.provider(), request, Wire::Preferred).await;
            if !matches!(answer, Err(Unsent { stale: true, .. }) if attempt < ATTEMPTS) {
                permits.answered(&answer).await;
                return self.answered(answer, settler).await;
            }
        }
        // Not reached: the last attempt returns.
        permits.give_back().await;
        settler.release().await;
        Err(Refusal::new(RefusalCode::UpstreamUnreachable, "The request could not be sent."))
    }

    async fn answered(
        &self,
        answer: Result<Response<Incoming>, Unsent>,
        settler: Settler,
    ) -> Result<Response<Body>, Refusal> {
        match answer {
            Ok(response) => self.tapped(response, settler),
            Err(Unsent { refusal, provably: true, .. }) => {
                settler.release().await;
                Err(refusal)
            }
            Err(Unsent { refusal, .. }) => {
                settler.lost("no response came").await;
                Err(refusal)
            }
        }
    }

    fn tapped(&self, response: Response<Incoming>, settler: Settler) -> Result<Response<Body>, Refusal> {
        let (mut parts, incoming) = response.into_parts();
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let encoding = text("content-encoding").map(str::to_owned);
        let events =
            text("content-type").is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"));
        // What cannot be decoded passes as it is: an extra chunk is better than a broken stream.
        let decodable = encoding.as_deref().is_none_or(|encoding| StreamDecoder::new(encoding).is_ok());
        let strip = self.strip && events && decodable && parts.status.is_success();
        let meter = tap::meter(self.format, &parts);
        let tap = Tap::new(incoming, meter, Account::Hold(settler), parts.status)
            .cut(self.cut_at, self.format, &parts.headers)
            .strip(strip, encoding.as_deref());
        head::inbound(&mut parts.headers);
        if strip {
            parts.headers.remove(header::CONTENT_LENGTH);
            parts.headers.remove(header::CONTENT_ENCODING);
        }
        if let Some(tokens) = self.remaining {
            parts.headers.insert(REMAINING, HeaderValue::from(tokens));
        }
        forward::redacted(&self.origin, &self.credentials, parts, body::boxed(tap))
    }
}

/// The body in clear, whatever it was encoded in.
pub(super) fn readable(origin: &Origin, headers: &HeaderMap, body: Bytes) -> Result<Bytes, Refusal> {
    let mut encodings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        encodings.push(
            value.to_str().map_err(|_| {
                Refusal::new(RefusalCode::BodyUnreadable, "Content-Encoding is not readable.")
            })?,
        );
    }
    if encodings.is_empty() {
        return Ok(body);
    }
    let limit = origin.shared.limits.body_bytes;
    decode_body(&encodings.join(", "), &body, limit).map(Bytes::from).map_err(|error| {
        let code = match error {
            DecodeError::TooLarge => RefusalCode::BodyTooLarge,
            _ => RefusalCode::BodyUnreadable,
        };
        Refusal::new(code, format!("{error}."))
    })
}
