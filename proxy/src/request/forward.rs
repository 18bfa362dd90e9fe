//! Sending a request on and relaying what comes back, untouched but for hygiene and credentials.

use super::approval::Permits;
use super::block::until_ended;
use super::credential::{Credentials, Payload};
use super::echo::{self, RedactHeaders, Redacted};
use super::gate::Gate;
use super::outbound::Gathered;
use super::rules::{End, Sent};
use super::{Origin, Outbound, Target, dial_refusal, head, upstream, whole};
use crate::body::{self, Body};
use crate::connect::stopping;
use crate::tls::Wire;
use crate::upstream::{dial_fault, is_unsent};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header, response};
use http_body::{Body as _, Frame, SizeHint};
use hudson_dlp::Redactor;
use hudson_schema::config::Authority;
use hudson_schema::{Provider, Refusal, RefusalCode};
use hyper::body::Incoming;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a request is waited for without looking for anything that might end it.
const PROMPT: Duration = Duration::from_millis(50);
/// A body of this many bytes pays for a connection of its own.
const LARGE: u64 = 1 << 20;

/// Relays a request that is not metered: both bodies stream, unless all of its own has to be known before it leaves.
pub(super) async fn relay(
    origin: &Arc<Origin>,
    target: &Target,
    credentials: Credentials,
    outbound: Option<Arc<Outbound>>,
    gate: Gate<'_>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (mut parts, incoming) = request.into_parts();
    head::outbound(&mut parts.headers);
    if !credentials.is_empty() {
        // What comes back is searched for the credential, which needs it in clear.
        head::readable_encodings(&mut parts.headers, true);
    }
    if credentials.sign_bodies() || gate.reads_body() {
        return relay_read(origin, target, credentials, outbound, gate, (parts.headers, incoming)).await;
    }
    let wire = wire(origin, parts.version, incoming.size_hint().lower()).await;
    let body = Ended::new(incoming, credentials.replaced(), origin.clone());
    let Gathered { body, stopped } = match &outbound {
        Some(outbound) => outbound.body(&mut parts.headers, body).await?,
        None => Gathered::unseen(body),
    };
    let permits = gate.pass(&parts.headers, None, outbound.as_ref()).await?;
    let mut sent = build(origin, target, &credentials, parts.headers, body)?;
    credentials.sign(&mut sent, Payload::Stream)?;
    let answer = send_permitted(origin, None, sent, wire, permits).await;
    let response = answer.map_err(|unsent| stopped.refusal().unwrap_or(unsent.refusal))?;
    respond(origin, &credentials, response)
}

/// The same where the body is read whole first: the head carries a signature of it, or somebody looks at it: a rule, or a person.
async fn relay_read(
    origin: &Arc<Origin>,
    target: &Target,
    credentials: Credentials,
    outbound: Option<Arc<Outbound>>,
    mut gate: Gate<'_>,
    (mut headers, incoming): (HeaderMap, Incoming),
) -> Result<Response<Body>, Refusal> {
    let _room = whole::room(origin, &incoming).await?;
    let mut sent = whole::read(origin, incoming).await?;
    if let Some(outbound) = &outbound {
        sent = outbound.encoded(&mut headers, sent).await?;
    }
    gate.read(&headers, Sent::Encoded(&sent)).await?;
    let permits = gate.pass(&headers, Some(&sent), outbound.as_ref()).await?;
    // Its trailers are not part of what is signed or judged.
    headers.remove(header::TRAILER);
    headers.remove(header::CONTENT_LENGTH);
    let mut outbound = build(origin, target, &credentials, headers, body::full(sent.clone()))?;
    credentials.sign(&mut outbound, Payload::Bytes(&sent))?;
    let answer = send_permitted(origin, None, outbound, Wire::Preferred, permits).await;
    respond(origin, &credentials, answer.map_err(|unsent| unsent.refusal)?)
}

/// Relays a response that is not metered.
pub(super) fn respond(
    origin: &Arc<Origin>,
    credentials: &Credentials,
    response: Response<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (mut parts, incoming) = response.into_parts();
    head::inbound(&mut parts.headers);
    let body = body::boxed(Ended::new(incoming, Vec::new(), origin.clone()));
    redacted(origin, credentials, parts, body)
}

/// What a request is sent over. HTTP/2 gathers the events of a burst, so it is preferred; a large body goes faster over
/// HTTP/1.1, as it came.
async fn wire(origin: &Arc<Origin>, version: Version, length: u64) -> Wire {
    match length >= LARGE && version == Version::HTTP_11 {
        true => {
            let Authority { host, port } = &origin.authority;
            upstream(&origin.shared, &origin.run).wire_for_upload(origin.scheme, host, *port).await
        }
        false => Wire::Preferred,
    }
}

/// A response in which the credentials that were put on do not come back.
pub(super) fn redacted(
    origin: &Origin,
    credentials: &Credentials,
    mut parts: response::Parts,
    body: Body,
) -> Result<Response<Body>, Refusal> {
    let Some(redactor) = Redactor::new(credentials.values()) else {
        return Ok(Response::from_parts(parts, body));
    };
    parts.headers = redactor.redacted(parts.headers);
    let encoding = parts.headers.remove(header::CONTENT_ENCODING);
    if encoding.is_some() {
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    let encoding = encoding.as_ref().map(|value| value.to_str().unwrap_or("unreadable"));
    let redacted = Redacted::new(body, redactor, encoding).map_err(|error| {
        Refusal::new(
            RefusalCode::BodyUnreadable,
            format!(
                "{}: the response cannot be searched for the credential: {error}.",
                origin.authority.host
            ),
        )
    })?;
    Ok(Response::from_parts(parts, echo::boxed(redacted)))
}

/// The request as it leaves: checked target, headers that [`head::outbound`] has cleaned, credentials on.
pub(super) fn build(
    origin: &Origin,
    target: &Target,
    credentials: &Credentials,
    mut headers: HeaderMap,
    body: Body,
) -> Result<Request<Body>, Refusal> {
    let unsized_body = !body.is_end_stream() && body.size_hint().exact().is_none();
    if unsized_body && !headers.contains_key(header::CONTENT_LENGTH) {
        // hyper would take such a body off a GET; where the upstream speaks HTTP/2 it removes the header.
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let query = credentials.put_on(&mut headers, target.query.as_deref())?;
    let mut request = Request::new(body);
    *request.method_mut() = target.method.clone();
    *request.uri_mut() = target.uri(origin, query.as_deref())?;
    // The pool speaks what the connection speaks; HTTP/2 in the request would insist on it.
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    Ok(request)
}

/// A request that got no response.
pub(super) struct Unsent {
    /// What to answer.
    pub(super) refusal: Refusal,
    /// Whether no byte of it can have reached the upstream.
    pub(super) provably: bool,
    /// Whether it was the connection that was too old, so that another one helps.
    pub(super) stale: bool,
}

/// The same, and says what has come of it to what was counted and to what people have let through.
pub(super) async fn send_permitted(
    origin: &Origin,
    called: Option<&Provider>,
    request: Request<Body>,
    wire: Wire,
    mut permits: Permits,
) -> Result<Response<Incoming>, Unsent> {
    permits.sending();
    let answer = send(origin, called, request, wire).await;
    permits.answered(&answer).await;
    answer
}

/// Sends a request and waits for the head of its response. A block that stops the provider `called` may end that.
pub(super) async fn send(
    origin: &Origin,
    called: Option<&Provider>,
    request: Request<Body>,
    wire: Wire,
) -> Result<Response<Incoming>, Unsent> {
    let mut sending = pin!(sent(origin, request, wire));
    // Most answers come at once: only a longer wait is worth watching for what would end it.
    if let Ok(result) = timeout(PROMPT, sending.as_mut()).await {
        return result;
    }
    let limit = origin.shared.limits.response;
    let unsent = |refusal| Err(Unsent { refusal, provably: false, stale: false });
    tokio::select! {
        result = sending => result,
        () = sleep(limit.saturating_sub(PROMPT)) => unsent(Refusal::new(
            RefusalCode::UpstreamTimeout,
            format!("{}: no response within {limit:?}.", origin.authority.host),
        )),
        () = origin.token.cancelled() => {
            unsent(Refusal::new(RefusalCode::BottleCutOff, "This tunnel was ended."))
        }
        refusal = until_ended(origin, called) => unsent(refusal),
        () = origin.shared.abort.cancelled() => unsent(stopping()),
    }
}

/// What an answer, or that there is none, says of a request.
pub(super) fn end_of(answer: &Result<Response<Incoming>, Unsent>) -> End {
    match answer {
        Ok(response) if response.status().is_server_error() => End::UpstreamError,
        Ok(_) => End::Sent,
        Err(Unsent { provably: true, .. }) => End::NotSent,
        Err(Unsent { refusal, .. }) => match refusal.code {
            RefusalCode::UpstreamTimeout | RefusalCode::UpstreamUnreachable => End::UpstreamError,
            // It was ended here.
            _ => End::Sent,
        },
    }
}

async fn sent(origin: &Origin, request: Request<Body>, wire: Wire) -> Result<Response<Incoming>, Unsent> {
    let client = upstream(&origin.shared, &origin.run);
    let host = &origin.authority.host;
    let upgrades = request.headers().contains_key(header::UPGRADE);
    match client.send(request, wire).await {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS && !upgrades => {
            let message = format!("{host}: it switched protocols without being asked to.");
            let refusal = Refusal::new(RefusalCode::UpstreamUnreachable, message);
            Err(Unsent { refusal, provably: false, stale: false })
        }
        Ok(mut response) => {
            // Each hop answers in its own version (RFC 9110 section 6.2): after an upstream's HTTP/1.0 the end of a
            // body could be told by nothing but the end of the client's connection.
            *response.version_mut() = Version::HTTP_11;
            Ok(response)
        }
        Err(error) => match dial_fault(&error) {
            Some(fault) => Err(Unsent { refusal: dial_refusal(fault), provably: true, stale: false }),
            None => Err(Unsent {
                refusal: Refusal::new(
                    RefusalCode::UpstreamUnreachable,
                    format!("{host}: the connection broke before a response came: {}.", chain(&error)),
                ),
                provably: is_unsent(&error),
                stale: is_unsent(&error),
            }),
        },
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A body on its way in either direction, which ends, with an error, when its tunnel is ended or a block ends what is in
/// flight. Its trailers are cleaned as its headers were.
pub(super) struct Ended {
    inner: Incoming,
    /// What must not come behind the body either: headers that the route's credentials replace.
    unwanted: Vec<HeaderName>,
    /// Why it ends. Made when there is something to wait for: most bodies are there at once.
    ended: Option<Pin<Box<dyn Future<Output = String> + Send>>>,
    /// Frames that came without waiting.
    ready: u32,
    /// Keeps what counts the request in the registry, too.
    origin: Arc<Origin>,
}

/// So many frames may come without waiting before the token is looked at.
const LOOK_EVERY: u32 = 16;

impl Ended {
    fn new(inner: Incoming, unwanted: Vec<HeaderName>, origin: Arc<Origin>) -> Self {
        Self { inner, unwanted, ended: None, ready: 0, origin }
    }

    fn ended(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        let Self { ended, origin, .. } = self;
        let ended = ended.get_or_insert_with(|| {
            let origin = origin.clone();
            Box::pin(async move {
                tokio::select! {
                    () = origin.token.cancelled() => "the tunnel was ended".to_owned(),
                    refusal = until_ended(&origin, None) => refusal.message,
                }
            })
        });
        ended.as_mut().poll(cx)
    }
}

impl http_body::Body for Ended {
    type Data = Bytes;
    type Error = body::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        self.ready = if polled.is_ready() { self.ready + 1 } else { LOOK_EVERY };
        if self.ready >= LOOK_EVERY {
            self.ready = 0;
            if let Poll::Ready(why) = self.ended(cx) {
                return Poll::Ready(Some(Err(why.into())));
            }
        }
        polled.map_ok(|frame| head::trailers(frame, &self.unwanted)).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
