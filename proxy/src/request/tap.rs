//! The tap: the client gets each byte at once, the meter reads a copy.
//!
//! Invariants: a fault of the meter never changes what the client gets; usage is settled before the client sees the
//! end, so that its next request meets the ledger as it then stands; a response whose client left is read on, within
//! limits, so that its final usage is not lost.

mod boundary;

use super::block::until_ended;
use super::retrieval::Read;
use super::settle::Settler;
use super::{Origin, head};
use crate::body::BodyError;
use crate::connect::stopping;
use crate::dlp::sealed::SealedNote;
use crate::shared::Tasks;
use boundary::Boundary;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hudson_meter::{End, Meter, Report, ResponseHead, StreamDecoder, UsageChunkStripper, header_usage};
use hudson_schema::{Format, Provider, Refusal};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// So many frames may come without waiting before it is looked at whether the response is to end.
const LOOK_EVERY: u32 = 16;
/// How long the event under way may take to its end, behind which the client is told why the stream ends.
const EVENT_ENDS_WITHIN: Duration = Duration::from_millis(250);

/// The meter for a response.
pub(super) fn meter(format: Format, parts: &response::Parts) -> Meter {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let head = ResponseHead {
        status: parts.status.as_u16(),
        content_type: text("content-type"),
        content_encoding: text("content-encoding"),
        stated: header_usage(format, text),
    };
    Meter::new(format, &head)
}

/// Who takes what the meter read.
pub(super) enum Account {
    /// The hold of the request that this answers.
    Hold(Settler),
    /// The work that was read.
    Read(Read),
}

impl Account {
    fn origin(&self) -> &Arc<Origin> {
        match self {
            Self::Hold(settler) => &settler.origin,
            Self::Read(read) => &read.origin,
        }
    }

    fn provider(&self) -> Option<&Provider> {
        match self {
            Self::Hold(settler) => settler.provider(),
            Self::Read(read) => Some(&read.provider),
        }
    }

    /// The refusal with which a stream ends that has passed what was granted; a read has nothing that could be cut.
    fn cut(&self, counted: u64) -> Option<Refusal> {
        match self {
            Self::Hold(settler) => Some(settler.cut(counted)),
            Self::Read(_) => None,
        }
    }

    async fn finish(self, status: StatusCode, report: Report) {
        match self {
            Self::Hold(settler) => settler.finish(status, report).await,
            Self::Read(read) => read.finish(status, report).await,
        }
    }
}

/// A metered response's body.
pub(super) struct Tap {
    /// What is still to be read and settled; `None` once settling has begun.
    open: Option<Open>,
    settling: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Where settling goes on when the client leaves in the midst of it.
    tasks: Tasks,
    /// What ends the response before its time: the tunnel's end, or a refusal, which the client is told.
    over: Pin<Box<dyn Future<Output = Option<Refusal>> + Send>>,
    /// Frames that came without waiting since that was looked at.
    ready: u32,
    /// The refusal, and how long the event under way may take to its end.
    ending: Option<(Refusal, Pin<Box<Sleep>>)>,
    /// What the client gets after the settlement.
    last: VecDeque<Result<Frame<Bytes>, BodyError>>,
}

struct Open {
    inner: Incoming,
    meter: Meter,
    note: SealedNote,
    account: Account,
    status: StatusCode,
    /// The live count at which the stream is ended.
    cut_at: Option<u64>,
    /// The format of the event that says why it was ended.
    format: Option<Format>,
    stripper: Option<Stripper>,
    /// Where events begin and end, if such an event can be put in at all.
    boundary: Option<Boundary>,
}

/// Waits for what ends a response before its time; the refusal where the client is told one.
async fn over(origin: Arc<Origin>, called: Option<Provider>) -> Option<Refusal> {
    tokio::select! {
        () = origin.token.cancelled() => None,
        refusal = until_ended(&origin, called.as_ref()) => Some(refusal),
        () = origin.shared.abort.cancelled() => Some(stopping()),
    }
}

/// Takes the forced usage chunk out again, decoding first where the upstream encoded against what it was asked.
struct Stripper {
    decoder: Option<StreamDecoder>,
    clear: Vec<u8>,
    stripper: UsageChunkStripper,
}

impl Tap {
    pub(super) fn new(inner: Incoming, meter: Meter, account: Account, status: StatusCode) -> Self {
        let shared = &account.origin().shared;
        let tasks = shared.tasks.clone();
        let over = Box::pin(over(account.origin().clone(), account.provider().cloned()));
        let open = Open {
            inner,
            meter,
            note: SealedNote::default(),
            account,
            status,
            cut_at: None,
            format: None,
            stripper: None,
            boundary: None,
        };
        let (settling, last) = (None, VecDeque::new());
        Self { open: Some(open), settling, tasks, over, ready: 0, ending: None, last }
    }

    /// Ends the stream at this live count, with the format's own error event where it has one and the body is in clear.
    pub(super) fn cut(mut self, at: Option<u64>, format: Format, headers: &HeaderMap) -> Self {
        if let Some(open) = &mut self.open {
            open.cut_at = at;
            open.format = Some(format);
            open.boundary = Boundary::of(headers);
        }
        self
    }

    /// Takes the usage chunk out that the client did not ask for.
    pub(super) fn strip(mut self, strip: bool, encoding: Option<&str>) -> Self {
        if let Some(open) = self.open.as_mut().filter(|_| strip) {
            let decoder = encoding.map(StreamDecoder::new).and_then(Result::ok);
            open.stripper =
                Some(Stripper { decoder, clear: Vec::new(), stripper: UsageChunkStripper::new() });
        }
        self
    }

    /// Begins to settle; what is in `last` follows when that is done.
    fn settle(&mut self, end: End) {
        if let Some(open) = self.open.take() {
            self.settling = Some(Box::pin(open.settle(end)));
        }
    }

    /// Handles one frame of the upstream; `None` to read on.
    fn frame(&mut self, frame: Frame<Bytes>) -> Option<Result<Frame<Bytes>, BodyError>> {
        let open = self.open.as_mut()?;
        let data = match frame.into_data() {
            Ok(data) => data,
            // They are the end, and come with it: behind the settlement.
            Err(trailers) => {
                self.finish(Bytes::new());
                self.last.push_back(Ok(head::trailers(trailers, &[])));
                return None;
            }
        };
        open.feed(&data);
        if let Some(refusal) = open.passed_cut() {
            self.cut_off(&data, &refusal);
            return None;
        }
        if let Some(boundary) = &mut open.boundary {
            boundary.pass(&data);
        }
        let out = match &mut open.stripper {
            Some(stripper) => match stripper.feed(&data) {
                Ok(out) => out,
                Err(error) => return Some(Err(error)),
            },
            None => data,
        };
        // A sized body is not polled again after its last byte: this is its end.
        if open.inner.is_end_stream() {
            self.finish(out);
            return None;
        }
        (!out.is_empty()).then(|| Ok(Frame::data(out)))
    }

    /// Ends the stream: with the format's error event behind the event that was under way, or with an error where there
    /// is no such event or its end is not at hand.
    fn cut_off(&mut self, data: &Bytes, refusal: &Refusal) {
        let Some(open) = &mut self.open else { return };
        let rest = open.boundary.as_ref().and_then(|boundary| match boundary.is_at() {
            true => Some(Bytes::new()),
            false => boundary.end_in(data).map(|end| data.slice(..end)),
        });
        let rest = rest.map(|rest| match &mut open.stripper {
            Some(stripper) => stripper.feed(&rest),
            None => Ok(rest),
        });
        let event = open.format.and_then(|format| refusal.stream_event(format));
        match (event, rest) {
            (Some(event), Some(Ok(rest))) => {
                let held = open.stripper.take().map(Stripper::finish);
                for data in [Some(rest), held].into_iter().flatten().filter(|data| !data.is_empty()) {
                    self.last.push_back(Ok(Frame::data(data)));
                }
                self.last.push_back(Ok(Frame::data(Bytes::from(event))));
            }
            _ => self.last.push_back(Err(refusal.message.clone().into())),
        }
        self.settle(End::Interrupted);
    }

    /// Whether something ends the response before its time; then it does.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.ready = 0;
        if self.ending.is_none() {
            let Poll::Ready(over) = self.over.as_mut().poll(cx) else { return false };
            let Some(refusal) = over else {
                self.last.push_back(Err("the tunnel was ended".into()));
                self.settle(End::Interrupted);
                return true;
            };
            self.ending = Some((refusal, Box::pin(tokio::time::sleep(EVENT_ENDS_WITHIN))));
        }
        let Some((refusal, due)) = &mut self.ending else { return false };
        let whole = self.open.as_ref().and_then(|open| open.boundary.as_ref()).is_none_or(Boundary::is_at);
        if !whole && due.as_mut().poll(cx).is_pending() {
            // From here on each frame may be the last.
            self.ready = LOOK_EVERY;
            return false;
        }
        let refusal = refusal.clone();
        self.cut_off(&Bytes::new(), &refusal);
        true
    }

    fn finish(&mut self, out: Bytes) {
        let rest = self.open.as_mut().and_then(|open| open.stripper.take()).map(Stripper::finish);
        for data in [Some(out), rest].into_iter().flatten().filter(|data| !data.is_empty()) {
            self.last.push_back(Ok(Frame::data(data)));
        }
        self.settle(End::Complete);
    }
}

impl Body for Tap {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(settling) = &mut this.settling {
                std::task::ready!(settling.as_mut().poll(cx));
                this.settling = None;
            }
            if this.open.is_none() {
                return Poll::Ready(this.last.pop_front());
            }
            if this.ready >= LOOK_EVERY && this.is_over(cx) {
                continue;
            }
            let Some(open) = &mut this.open else { continue };
            let polled = Pin::new(&mut open.inner).poll_frame(cx);
            let Poll::Ready(polled) = polled else {
                match this.is_over(cx) {
                    true => continue,
                    false => return Poll::Pending,
                }
            };
            this.ready += 1;
            match polled {
                Some(Ok(frame)) => {
                    if let Some(frame) = this.frame(frame) {
                        return Poll::Ready(Some(frame));
                    }
                }
                Some(Err(error)) => {
                    this.last.push_back(Err(error.into()));
                    this.settle(End::Interrupted);
                }
                None => this.finish(Bytes::new()),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.open.is_none() && self.settling.is_none() && self.last.is_empty()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let Some(settling) = self.settling.take() {
            self.tasks.spawn(settling);
        }
        let Some(open) = self.open.take() else { return };
        let shared = open.account.origin().shared.clone();
        // The slot is claimed before anything is read, so that the cap holds.
        let slot = shared.detached.clone().try_acquire_owned().ok();
        let limit = shared.limits.detached_time;
        let (abort, origin) = (shared.abort.clone(), open.account.origin().clone());
        let called = open.account.provider().cloned();
        shared.tasks.spawn(async move {
            let mut open = open;
            let mut end = End::Interrupted;
            if slot.is_some() {
                tokio::select! {
                    read = tokio::time::timeout(limit, open.drain()) => end = read.unwrap_or(End::Interrupted),
                    _ = until_ended(&origin, called.as_ref()) => {}
                    () = abort.cancelled() => {}
                }
            }
            open.settle(end).await;
        });
    }
}

impl Open {
    fn feed(&mut self, data: &[u8]) {
        let Self { meter, note, account, .. } = self;
        let sealed = &account.origin().shared.sealed;
        meter.feed_seen(data, |clear| note.feed(clear, sealed));
    }

    async fn settle(mut self, end: End) {
        self.note.end(&self.account.origin().shared.sealed);
        let report = self.meter.finish(end);
        self.account.finish(self.status, report).await;
    }

    /// Reads to the end without a client.
    async fn drain(&mut self) -> End {
        while let Some(frame) = self.inner.frame().await {
            match frame {
                Ok(frame) => {
                    if let Some(data) = frame.data_ref() {
                        self.feed(data);
                    }
                    if self.passed_cut().is_some() {
                        return End::Interrupted;
                    }
                }
                Err(_) => return End::Interrupted,
            }
        }
        End::Complete
    }

    /// The refusal to end with, once the live count is past the cut.
    fn passed_cut(&self) -> Option<Refusal> {
        let at = self.cut_at?;
        let counted = self.meter.live_output();
        if counted <= at {
            return None;
        }
        self.account.cut(counted)
    }
}

impl Stripper {
    fn feed(&mut self, data: &[u8]) -> Result<Bytes, BodyError> {
        let mut out = Vec::with_capacity(data.len());
        match &mut self.decoder {
            Some(decoder) => {
                self.clear.clear();
                decoder.decode(data, &mut self.clear)?;
                self.stripper.feed(&self.clear, &mut out);
            }
            None => self.stripper.feed(data, &mut out),
        }
        Ok(Bytes::from(out))
    }

    fn finish(self) -> Bytes {
        let mut out = Vec::new();
        self.stripper.finish(&mut out);
        Bytes::from(out)
    }
}
