//! The tap: the client gets each byte at once, the meter reads a copy.
//!
//! Invariants: a fault of the meter never changes what the client gets; usage is settled before the client sees the
//! end, so that its next request meets the ledger as it then stands; a response whose client left is read on, within
//! limits, so that its final usage is not lost.

use super::head;
use super::settle::Settler;
use crate::body::BodyError;
use crate::connect::stopping;
use crate::event::Event;
use crate::shared::Tasks;
use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hudson_meter::{End, Meter, StreamDecoder, UsageChunkStripper};
use hudson_schema::{Format, Refusal, RefusalCode};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// How an event ends.
const EMPTY_LINES: [&[u8]; 3] = [b"\n\n", b"\r\r", b"\r\n\r\n"];

/// A metered response's body.
pub(super) struct Tap {
    /// What is still to be read and settled; `None` once settling has begun.
    open: Option<Open>,
    settling: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Where settling goes on when the client leaves in the midst of it.
    tasks: Tasks,
    /// The tunnel's end is the response's end.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The proxy's end is too, but the client is told.
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    /// What the client gets after the settlement.
    last: VecDeque<Result<Frame<Bytes>, BodyError>>,
}

struct Open {
    inner: Incoming,
    meter: Meter,
    settler: Settler,
    status: StatusCode,
    /// The live count at which the stream is ended, and the format of the event that says so.
    cut: Option<(u64, Option<Format>)>,
    stripper: Option<Stripper>,
    boundary: Boundary,
}

/// Where the stream stands between events: an event ends with an empty line (WHATWG HTML, server-sent events).
#[derive(Default)]
struct Boundary {
    /// The last bytes, at most three: what an empty line may begin in.
    tail: Vec<u8>,
    begun: bool,
}

/// Takes the forced usage chunk out again, decoding first where the upstream encoded against what it was asked.
struct Stripper {
    decoder: Option<StreamDecoder>,
    clear: Vec<u8>,
    stripper: UsageChunkStripper,
}

impl Tap {
    pub(super) fn new(inner: Incoming, meter: Meter, settler: Settler, status: StatusCode) -> Self {
        let shared = &settler.origin.shared;
        let tasks = shared.tasks.clone();
        let stopping = Box::pin(shared.abort.clone().cancelled_owned());
        let ended = Box::pin(settler.origin.token.clone().cancelled_owned());
        let open =
            Open { inner, meter, settler, status, cut: None, stripper: None, boundary: Boundary::default() };
        Self { open: Some(open), settling: None, tasks, ended, stopping, last: VecDeque::new() }
    }

    /// Ends the stream at this live count, with the format's own error event where it has one.
    pub(super) fn cut(mut self, at: Option<u64>, format: Option<Format>) -> Self {
        if let Some(open) = &mut self.open {
            open.cut = at.map(|at| (at, format));
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
        open.meter.feed(&data);
        if let Some(refusal) = open.passed_cut() {
            self.cut_off(&data, &refusal);
            return None;
        }
        open.boundary.pass(&data);
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
        let rest = match open.boundary.is_at() {
            true => Some(Bytes::new()),
            false => open.boundary.end_in(data).map(|end| data.slice(..end)),
        };
        let rest = rest.map(|rest| match &mut open.stripper {
            Some(stripper) => stripper.feed(&rest),
            None => Ok(rest),
        });
        let event = open.cut.and_then(|(_, format)| refusal.stream_event(format?));
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
            let Some(open) = &mut this.open else { return Poll::Ready(this.last.pop_front()) };
            if this.ended.as_mut().poll(cx).is_ready() {
                this.last.push_back(Err("the tunnel was ended".into()));
                this.settle(End::Interrupted);
                continue;
            }
            if this.stopping.as_mut().poll(cx).is_ready() {
                this.cut_off(&Bytes::new(), &stopping());
                continue;
            }
            match std::task::ready!(Pin::new(&mut open.inner).poll_frame(cx)) {
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
        let shared = open.settler.origin.shared.clone();
        // The slot is claimed before anything is read, so that the cap holds.
        let slot = shared.detached.clone().try_acquire_owned().ok();
        let limit = shared.limits.detached_time;
        let abort = shared.abort.clone();
        shared.tasks.spawn(async move {
            let mut open = open;
            let mut end = End::Interrupted;
            if slot.is_some() {
                tokio::select! {
                    read = tokio::time::timeout(limit, open.drain()) => end = read.unwrap_or(End::Interrupted),
                    () = abort.cancelled() => {}
                }
            }
            open.settle(end).await;
        });
    }
}

impl Open {
    async fn settle(self, end: End) {
        let report = self.meter.finish(end);
        self.settler.finish(self.status, report).await;
    }

    /// Reads to the end without a client.
    async fn drain(&mut self) -> End {
        while let Some(frame) = self.inner.frame().await {
            match frame {
                Ok(frame) => {
                    if let Some(data) = frame.data_ref() {
                        self.meter.feed(data);
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
        let (at, _) = self.cut?;
        let counted = self.meter.live_output();
        if counted <= at {
            return None;
        }
        let granted = self.settler.granted();
        let origin = &self.settler.origin;
        origin.shared.events.emit(Event::StreamCut {
            run: origin.run.id.clone(),
            host: origin.authority.host.to_string(),
            granted,
            counted,
        });
        Some(Refusal::new(
            RefusalCode::BudgetExhausted,
            format!(
                "The token budget is spent: this response passed the {granted} output tokens that were left for it."
            ),
        ))
    }
}

impl Boundary {
    fn pass(&mut self, data: &[u8]) {
        self.begun |= !data.is_empty();
        self.tail.extend_from_slice(data.get(data.len().saturating_sub(4)..).unwrap_or_default());
        let surplus = self.tail.len().saturating_sub(4);
        self.tail.drain(..surplus);
    }

    /// Whether no event is under way.
    fn is_at(&self) -> bool {
        !self.begun || EMPTY_LINES.iter().any(|end| self.tail.ends_with(end))
    }

    /// Where in `data` the event under way ends, if it does.
    fn end_in(&self, data: &[u8]) -> Option<usize> {
        let seen = [self.tail.as_slice(), data].concat();
        (self.tail.len() + 1..=seen.len())
            .find(|end| {
                seen.get(..*end).is_some_and(|seen| EMPTY_LINES.iter().any(|line| seen.ends_with(line)))
            })
            .map(|end| end - self.tail.len())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_event_under_way_is_found_at_every_split() {
        for (event, more) in
            [("data: {}\n\n", "data: x"), ("data: {}\r\n\r\n", "data"), ("data: {}\r\r", "d")]
        {
            let text = format!("{event}{more}");
            for at in 1..event.len() {
                let mut boundary = Boundary::default();
                assert!(boundary.is_at(), "nothing has begun");
                boundary.pass(&text.as_bytes()[..at]);
                assert!(!boundary.is_at());
                assert_eq!(
                    boundary.end_in(&text.as_bytes()[at..]),
                    Some(event.len() - at),
                    "{event:?} at {at}"
                );
            }
            let mut boundary = Boundary::default();
            boundary.pass(event.as_bytes());
            assert!(boundary.is_at());
        }
        let mut boundary = Boundary::default();
        boundary.pass(b"data: {");
        assert_eq!(boundary.end_in(b"\"a\":1"), None);
    }
}
