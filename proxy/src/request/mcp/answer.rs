//! What an MCP server answers, on its way to the agent: lists without the tools that it is not to know of, in a body or in
//! events; and what an answer says of the call that it is for.
//!
//! Invariants: every other byte of a body is passed on as it came, in clear; which tools are listed is what the routes say
//! when the list comes by, not when it was asked for; what cannot be read does not pass.

use super::super::approval::Permits;
use super::super::rules::End;
use super::super::{Target, whole};
use super::{Origin, Reading, place};
use crate::body::{self, Body, BodyError};
use crate::mcp::{Stream, endpoint, without_hidden};
use crate::policy::judge;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use hudson_meter::StreamDecoder;
use hudson_meter::rpc::{EventEditor, EventFilter, Replies, ReplyScanner};
use hudson_schema::ledger::ExecutionEnd;
use hudson_schema::{Refusal, RefusalCode};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Bytes of an event that is looked at as a whole. The SDKs take no longer ones.
const EVENT: usize = 1 << 20;

/// What was posted, as far as its answer goes.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// A list of tools is asked for.
    pub(super) lists: bool,
    /// A tool is called.
    pub(super) calls: bool,
}

/// Ends what was let through by what its answers say: a result of a tool that says of itself that it is an error is one
/// all the same.
async fn replied(permits: Permits, replies: Replies) {
    match replies {
        Replies { errors: 0, results: 0 } => {
            permits.ended(End::Sent, ExecutionEnd::Unknown, "no answer came on this stream").await;
        }
        Replies { errors: 0, .. } => permits.ended(End::Sent, ExecutionEnd::Executed, "a result").await,
        Replies { .. } => permits.ended(End::UpstreamError, ExecutionEnd::Failed, "a JSON-RPC error").await,
    }
}

/// Ends it by the status alone.
async fn answered(permits: Permits, status: StatusCode) {
    let detail = format!("HTTP {}", status.as_u16());
    let (end, execution) = match status {
        status if status.is_server_error() => (End::UpstreamError, ExecutionEnd::Unknown),
        status if status.is_client_error() => (End::Sent, ExecutionEnd::Failed),
        _ => (End::Sent, ExecutionEnd::Executed),
    };
    permits.ended(end, execution, &detail).await;
}

/// The answer as the agent may have it.
pub(super) async fn relayed(
    reading: Reading<'_>,
    asked: Asked,
    permits: Permits,
    response: Response<Body>,
) -> Result<Response<Body>, Refusal> {
    let (mut parts, body) = response.into_parts();
    let status = parts.status;
    let kind = Kind::of(&parts.headers);
    if status.is_server_error() || body.is_end_stream() {
        answered(permits, status).await;
        return Ok(Response::from_parts(parts, body));
    }
    let permits = match asked.calls && kind != Kind::Other {
        true => Some(permits),
        false => {
            answered(permits, status).await;
            None
        }
    };
    let reads = kind == Kind::Events || asked.lists || permits.is_some();
    if !reads {
        return Ok(Response::from_parts(parts, body));
    }
    let decoder = decoder(reading.origin, &mut parts.headers)?;
    parts.headers.remove(header::CONTENT_LENGTH);
    let listing = Listing::of(reading);
    if kind != Kind::Events && asked.lists {
        let (list, replies) = whole_list(reading.origin, &listing, decoder, body).await?;
        if let Some(permits) = permits {
            replied(permits, replies).await;
        }
        return Ok(Response::from_parts(parts, body::full(list)));
    }
    let eyes = match kind {
        Kind::Events => Eyes::Events(EventFilter::new(EVENT)),
        Kind::Json | Kind::Other => Eyes::Message(ReplyScanner::default()),
    };
    let stream = Stream::new(reading.origin.shared.mcp.clone());
    let watched = Watched {
        inner: body,
        decoder,
        eyes,
        editor: Editor { listing, stream },
        permits,
        settling: None,
        ready: VecDeque::new(),
        ended: false,
    };
    Ok(Response::from_parts(parts, watched.boxed_unsync()))
}

/// What an answer is, as its head says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Events,
    Json,
    Other,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Self {
        let kinds: Vec<String> = headers
            .get_all(header::CONTENT_TYPE)
            .iter()
            .map(|kind| String::from_utf8_lossy(kind.as_bytes()).trim_start().to_ascii_lowercase())
            .collect();
        // Where several are there, a client may take any of them.
        if kinds.iter().any(|kind| kind.starts_with("text/event-stream")) {
            return Self::Events;
        }
        match kinds.iter().any(|kind| kind.starts_with("application/json")) {
            true => Self::Json,
            false => Self::Other,
        }
    }
}

/// What undoes the encoding of an answer, whose header is taken off.
fn decoder(origin: &Origin, headers: &mut HeaderMap) -> Result<Option<StreamDecoder>, Refusal> {
    let encodings: Vec<&str> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .map(|encoding| encoding.to_str().unwrap_or("unreadable"))
        .collect();
    if encodings.is_empty() {
        return Ok(None);
    }
    let decoder = StreamDecoder::new(&encodings.join(", ")).map_err(|error| {
        let host = &origin.authority.host;
        Refusal::new(RefusalCode::BodyUnreadable, format!("{host}: the answer cannot be read: {error}."))
    })?;
    headers.remove(header::CONTENT_ENCODING);
    Ok(Some(decoder))
}

/// An answer that is read as a whole, since it may be a list; and what it says of what was asked.
async fn whole_list(
    origin: &Origin,
    listing: &Listing,
    decoder: Option<StreamDecoder>,
    mut body: Body,
) -> Result<(Bytes, Replies), Refusal> {
    let limit = origin.shared.limits.body_bytes;
    let host = &origin.authority.host;
    let broken = |why: String| {
        Refusal::new(RefusalCode::UpstreamUnreachable, format!("{host}: the list of tools broke off: {why}."))
    };
    let too_large = || {
        let message = format!("{host}: the list of tools is over {limit} bytes.");
        Refusal::new(RefusalCode::BodyTooLarge, message)
    };
    let _room = whole::room_for(origin, limit).await?;
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len().saturating_add(data.len()) > limit {
            return Err(too_large());
        }
        read.extend_from_slice(&data);
    }
    let read = read.freeze();
    let clear = match decoder {
        None => read,
        Some(mut decoder) => {
            let mut clear = Vec::new();
            let decoded = decoder.decode(&read, &mut clear).and_then(|()| decoder.finish(&mut clear));
            decoded.map_err(|error| broken(error.to_string()))?;
            if clear.len() > limit {
                return Err(too_large());
            }
            clear.into()
        }
    };
    let mut replies = ReplyScanner::default();
    replies.feed(&clear);
    let seen = without_hidden(&clear, listing.shows()).map(Bytes::from);
    Ok((seen.unwrap_or(clear), replies.replies()))
}

/// What the routes let the agent know of a server's tools, whenever it is asked.
struct Listing {
    origin: Arc<Origin>,
    target: Target,
    headers: HeaderMap,
}

impl Listing {
    fn of(Reading { origin, judged, said }: Reading<'_>) -> Self {
        Self { origin: origin.clone(), target: judged.target.clone(), headers: said.clone() }
    }

    /// Says of a tool whether it is shown. Where the request would not be let through any more, none is.
    fn shows(&self) -> impl Fn(&str) -> bool {
        let policy = self.origin.run.policy();
        let asked = self.target.asked(&self.origin, &self.headers);
        let route = judge::route(&policy.routes, &asked).ok();
        let mcp = route.map(|route| route.mcp.clone());
        move |tool| match &mcp {
            Some(Some(mcp)) => mcp.shows(tool),
            Some(None) => true,
            None => false,
        }
    }
}

/// Looks at the events of a stream.
struct Editor {
    listing: Listing,
    stream: Stream,
}

impl EventEditor for Editor {
    fn edit(&mut self, name: &[u8], data: &[u8]) -> Option<Vec<u8>> {
        if name == b"endpoint" {
            self.endpoint(data);
        }
        without_hidden(data, self.listing.shows())
    }
}

impl Editor {
    /// The stream of the older transport says where its client posts to.
    fn endpoint(&mut self, data: &[u8]) {
        let Listing { origin, target, .. } = &self.listing;
        let Ok(told) = std::str::from_utf8(data) else { return };
        if let Some(endpoint) = endpoint(origin.scheme, &origin.named, &target.path, told) {
            self.stream.named(place(origin, endpoint));
        }
    }
}

/// How a body is looked at.
enum Eyes {
    Events(EventFilter),
    Message(ReplyScanner),
}

impl Eyes {
    fn feed(&mut self, clear: &[u8], editor: &mut Editor) -> Result<Vec<u8>, BodyError> {
        match self {
            Self::Events(filter) => {
                let mut out = Vec::with_capacity(clear.len());
                filter.feed(clear, &mut out, editor)?;
                Ok(out)
            }
            Self::Message(scanner) => {
                scanner.feed(clear);
                Ok(clear.to_vec())
            }
        }
    }

    fn finish(&mut self, editor: &mut Editor) -> Vec<u8> {
        let mut out = Vec::new();
        if let Self::Events(filter) = self {
            filter.finish(&mut out, editor);
        }
        out
    }

    fn replies(&self) -> Replies {
        match self {
            Self::Events(filter) => filter.replies(),
            Self::Message(scanner) => scanner.replies(),
        }
    }

    /// Whether an event of Hudson's own can be put in.
    fn takes_events(&self) -> bool {
        matches!(self, Self::Events(filter) if filter.is_between())
    }
}

/// An answer's body that is looked at as it goes by.
struct Watched {
    inner: Body,
    decoder: Option<StreamDecoder>,
    eyes: Eyes,
    editor: Editor,
    /// Until the calls are answered.
    permits: Option<Permits>,
    settling: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What goes on once nothing is being settled: who has read an answer may ask again at once.
    ready: VecDeque<Frame<Bytes>>,
    ended: bool,
}

impl Watched {
    fn take(&mut self, data: &[u8]) -> Result<(), BodyError> {
        let out = match &mut self.decoder {
            Some(decoder) => {
                let mut clear = Vec::new();
                decoder.decode(data, &mut clear)?;
                self.eyes.feed(&clear, &mut self.editor)?
            }
            None => self.eyes.feed(data, &mut self.editor)?,
        };
        self.goes_on(out);
        let replies = self.eyes.replies();
        if replies != Replies::default()
            && let Some(permits) = self.permits.take()
        {
            self.settling = Some(Box::pin(replied(permits, replies)));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), BodyError> {
        self.ended = true;
        if let Some(decoder) = &mut self.decoder {
            let mut clear = Vec::new();
            decoder.finish(&mut clear)?;
            let out = self.eyes.feed(&clear, &mut self.editor)?;
            self.goes_on(out);
        }
        let out = self.eyes.finish(&mut self.editor);
        self.goes_on(out);
        if let Some(permits) = self.permits.take() {
            self.settling = Some(Box::pin(replied(permits, self.eyes.replies())));
        }
        Ok(())
    }

    fn goes_on(&mut self, out: Vec<u8>) {
        if !out.is_empty() {
            self.ready.push_back(Frame::data(out.into()));
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(settling) = &mut this.settling {
                ready!(settling.as_mut().poll(cx));
                this.settling = None;
            }
            if let Some(frame) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            if this.eyes.takes_events()
                && let Poll::Ready(Some(event)) = this.editor.stream.told.poll_recv(cx)
            {
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            let taken = match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.take(&data),
                    Err(trailers) => {
                        let ended = this.end();
                        this.ready.push_back(trailers);
                        ended
                    }
                },
                Some(Err(error)) => Err(error),
                None => this.end(),
            };
            if let Err(error) = taken {
                this.ended = true;
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.ready.is_empty() && self.settling.is_none()
    }
}
