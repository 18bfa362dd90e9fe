//! A body on its way out: held back until all of it was looked at, where it ends soon and is not too large; else it streams
//! and is looked at as it goes.
//!
//! Invariant: nothing of a body leaves before it was looked at, and what is held back is bounded in bytes and time.

use super::super::forward::Ended;
use super::Outbound;
use super::room::{self, Room};
use super::stream::{Before, Stopped, Watched};
use crate::body::{self, Body};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use hudson_dlp::{Transport, Unscannable};
use hudson_schema::config::OnUnscannable;
use hudson_schema::{Refusal, RefusalCode};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long the next bytes of a body are waited for whose length nobody has told: longer, and it is one that goes on.
const PAUSE: Duration = Duration::from_millis(100);
/// The same where messages are answered while others are still to come (gRPC).
const PAUSE_OF_CALLS: Duration = Duration::from_millis(5);
/// How long a body of a told length is waited for.
const UPLOAD: Duration = Duration::from_secs(10);
/// Bytes of an encoded body that are decoded before it is looked whether there is room for what came of them.
const PIECE: usize = 16 << 10;

/// A body that may be sent, and what may still end it.
pub(in super::super) struct Gathered {
    pub(in super::super) body: Body,
    pub(in super::super) stopped: Stopped,
}

impl Gathered {
    /// A body that nobody looks at.
    pub(in super::super) fn unseen(body: Ended) -> Self {
        Self { body: body::boxed(body), stopped: Stopped::default() }
    }
}

impl Outbound {
    /// The body as it may be sent. Headers that describe it are changed where it is.
    pub(in super::super) async fn body(
        self: &Arc<Self>,
        headers: &mut HeaderMap,
        mut incoming: Ended,
    ) -> Result<Gathered, Refusal> {
        if incoming.is_end_stream() {
            return Ok(Gathered::unseen(incoming));
        }
        let length = incoming.size_hint().exact();
        let transport = match transport(headers) {
            Ok(transport) => transport,
            Err(fault) => {
                self.unscannable(&fault)?;
                return Ok(Gathered::unseen(incoming));
            }
        };
        let mut room = Room::default();
        match self.gather(headers, &mut incoming, &mut room).await? {
            Held::Whole(sent, trailers) => {
                let data = self.checked(headers, sent, transport, &mut room).await?;
                self.check_trailers(trailers.as_ref()).await?;
                let data = room::kept(data, room);
                // A length that nobody told is not told now: trailers need chunks, and who signs headers knows them.
                let body = match (length, trailers) {
                    (Some(_), None) => body::full(data),
                    (_, trailers) => unsized_body(data, trailers),
                };
                Ok(Gathered { body, stopped: Stopped::default() })
            }
            Held::Begun(chunks) => {
                let place = room::upload(&self.shared, &self.run.allowance).await?;
                let before = Before { chunks, room };
                let watched = Watched::new(self.clone(), incoming, transport, before, place);
                let stopped = watched.stopped();
                Ok(Gathered { body: body::boxed(watched), stopped })
            }
        }
    }

    /// A body that is there as a whole, as it may be sent, whatever it is encoded in.
    pub(in super::super) async fn encoded(
        self: &Arc<Self>,
        headers: &mut HeaderMap,
        sent: Bytes,
    ) -> Result<Bytes, Refusal> {
        match transport(headers) {
            Ok(transport) => self.checked(headers, sent, transport, &mut Room::default()).await,
            Err(fault) => self.unscannable(&fault).map(|()| sent),
        }
    }

    async fn checked(
        self: &Arc<Self>,
        headers: &mut HeaderMap,
        sent: Bytes,
        transport: Option<Transport>,
        room: &mut Room,
    ) -> Result<Bytes, Refusal> {
        let Some(mut transport) = transport else { return self.whole(sent).await };
        let mut clear = BytesMut::new();
        for piece in sent.chunks(PIECE) {
            if let Err(fault) = transport.feed(piece, |bytes| clear.extend_from_slice(bytes)) {
                self.unscannable(&fault)?;
                return Ok(sent);
            }
            if !room.holds(self, sent.len() + clear.len()) {
                return Err(room::crowded());
            }
        }
        if let Err(fault) = transport.finish(|bytes| clear.extend_from_slice(bytes)) {
            self.unscannable(&fault)?;
            return Ok(sent);
        }
        let clear = clear.freeze();
        let checked = self.whole(clear.clone()).await?;
        if checked == clear {
            return Ok(sent);
        }
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
        Ok(checked)
    }

    async fn check_trailers(&self, trailers: Option<&HeaderMap>) -> Result<(), Refusal> {
        let Some(trailers) = trailers else { return Ok(()) };
        let judged = self.trailers(trailers);
        match self.act(&judged).await {
            hudson_dlp::Action::Allow | hudson_dlp::Action::Warn => Ok(()),
            _ => Err(self.refusal(&judged)),
        }
    }

    /// A body that cannot be read: refused, or passed with a word.
    pub(super) fn unscannable(&self, fault: &Unscannable) -> Result<(), Refusal> {
        let message =
            format!("DLP cannot look at the body: {fault}; `dlp.on_unscannable: warn` lets it pass.");
        match self.loaded.setup.on_unscannable {
            OnUnscannable::Block => Err(Refusal::new(RefusalCode::BodyUnreadable, message)),
            OnUnscannable::Warn => {
                self.shared.events.emit(crate::Event::DlpUnscannable {
                    run: self.run.id.clone(),
                    bottle: self.run.bottle.clone(),
                    host: self.name.clone(),
                    path: self.path.clone(),
                    reason: fault.to_string(),
                });
                Ok(())
            }
        }
    }

    async fn gather(
        &self,
        headers: &HeaderMap,
        incoming: &mut Ended,
        room: &mut Room,
    ) -> Result<Held, Refusal> {
        let length = incoming.size_hint().exact();
        let limit = self.loaded.setup.buffer_limit;
        let mut chunks = VecDeque::new();
        if length.is_some_and(|length| length > limit as u64) {
            return Ok(Held::Begun(chunks));
        }
        let pause = if is_call(headers) { PAUSE_OF_CALLS } else { PAUSE };
        let upload = Instant::now() + UPLOAD;
        let mut size = 0;
        loop {
            let until = if length.is_some() { upload } else { Instant::now() + pause };
            let frame = match timeout_at(until, incoming.frame()).await {
                Ok(frame) => frame,
                Err(_) => return Ok(Held::Begun(chunks)),
            };
            match frame {
                None => return Ok(Held::Whole(joined(chunks, size), None)),
                Some(Err(error)) => {
                    let message = format!("The body broke off: {error}.");
                    return Err(Refusal::new(RefusalCode::MalformedRequest, message));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        size += data.len();
                        chunks.push_back(data);
                        // As it came, and in one piece.
                        if size > limit || !room.holds(self, 2 * size) {
                            return Ok(Held::Begun(chunks));
                        }
                    }
                    Err(frame) => {
                        return Ok(Held::Whole(joined(chunks, size), frame.into_trailers().ok()));
                    }
                },
            }
            if incoming.is_end_stream() {
                return Ok(Held::Whole(joined(chunks, size), None));
            }
        }
    }
}

/// What has come of a body.
enum Held {
    /// All of it, and its trailers.
    Whole(Bytes, Option<HeaderMap>),
    /// The beginning of one that goes on.
    Begun(VecDeque<Bytes>),
}

/// A body whose length only its end tells.
fn unsized_body(data: Bytes, trailers: Option<HeaderMap>) -> Body {
    let data = (!data.is_empty()).then(|| Frame::data(data));
    let frames = data.into_iter().chain(trailers.map(Frame::trailers)).map(Ok);
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

fn joined(mut chunks: VecDeque<Bytes>, size: usize) -> Bytes {
    if chunks.len() == 1 {
        return chunks.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(size);
    chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
    whole.freeze()
}

/// What undoes a body's encodings, where it has any.
fn transport(headers: &HeaderMap) -> Result<Option<Transport>, Unscannable> {
    let encodings: Vec<&str> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .map(HeaderValue::to_str)
        .collect::<Result<_, _>>()
        .map_err(|_| Unscannable::Encoding)?;
    match encodings.is_empty() {
        true => Ok(None),
        false => Transport::new(&encodings.join(", ")).map(Some),
    }
}

fn is_call(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc") || kind.starts_with(b"application/connect"))
}
