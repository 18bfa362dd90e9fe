//! A body that is too large, or goes on too long, to be held back whole: it leaves as it is looked at, and is broken off
//! where something is found.
//!
//! Invariant: a byte leaves only behind the look that saw it, and the value that is found has not left as a whole. How
//! much had gone is said.

use super::super::forward::Ended;
use super::room::Room;
use super::{Outbound, strictest};
use crate::body::BodyError;
use crate::dlp::Judged;
use crate::tasks::Whose;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use hudson_dlp::{Action, Finding, Part, Scanner, Transport, Unscannable};
use hudson_schema::Refusal;
use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that have come are looked at this often at least, where no more of them come.
const PROMPT: Duration = Duration::from_millis(5);

/// Why a body was broken off, for who waits for the answer.
#[derive(Clone, Default)]
pub(in super::super) struct Stopped(Arc<OnceLock<Refusal>>);

impl Stopped {
    /// The refusal, if it was.
    pub(in super::super) fn refusal(&self) -> Option<Refusal> {
        self.0.get().cloned()
    }
}

/// A body that is looked at as it goes.
pub(super) struct Watched {
    outbound: Arc<Outbound>,
    inner: Ended,
    /// What came before it began to stream, until it was looked at.
    before: Option<Before>,
    #[allow(dead_code, reason = "held for its drop")]
    place: OwnedSemaphorePermit,
    /// `None` for one that cannot be read, and passes all the same.
    look: Option<Look>,
    /// Bytes that have not left, each with how much had come in clear behind it.
    held: VecDeque<(Bytes, usize)>,
    /// So much, in clear, may leave.
    decided: usize,
    /// Bytes that have left.
    gone: u64,
    looked: Instant,
    wake: Option<Pin<Box<Sleep>>>,
    trailers: Option<HeaderMap>,
    ended: bool,
    stopped: Stopped,
}

/// The beginning of a body that was held back, and the room that it takes.
pub(super) struct Before {
    pub(super) chunks: VecDeque<Bytes>,
    #[allow(dead_code, reason = "held for its drop")]
    pub(super) room: Room,
}

/// The look at a body.
struct Look {
    transport: Option<Transport>,
    scanner: Scanner,
    /// Bytes that have come, in clear.
    clear: usize,
}

impl Watched {
    pub(super) fn new(
        outbound: Arc<Outbound>,
        inner: Ended,
        transport: Option<Transport>,
        before: Before,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let scanner = outbound.scanner(Part::Body);
        Self {
            outbound,
            inner,
            before: Some(before),
            place,
            look: Some(Look { transport, scanner, clear: 0 }),
            held: VecDeque::new(),
            decided: 0,
            gone: 0,
            looked: Instant::now(),
            wake: None,
            trailers: None,
            ended: false,
            stopped: Stopped::default(),
        }
    }

    pub(super) fn stopped(&self) -> Stopped {
        self.stopped.clone()
    }

    /// The next bytes that may leave.
    fn release(&mut self) -> Option<Bytes> {
        let free = self.look.is_none() || self.ended;
        self.held.front().filter(|(_, clear)| free || *clear <= self.decided)?;
        let (bytes, _) = self.held.pop_front()?;
        self.gone += bytes.len() as u64;
        Some(bytes)
    }

    fn take(&mut self, bytes: Bytes) -> Result<(), BodyError> {
        let looked = self.look.as_mut().map(|look| look.feed(&bytes));
        self.held.push_back((bytes, 0));
        let found = match looked {
            None => return Ok(()),
            Some(Ok(found)) => found,
            Some(Err(fault)) => return self.give_up(&fault),
        };
        if let (Some(look), Some(last)) = (&self.look, self.held.back_mut()) {
            last.1 = look.clear;
            self.decided = self.decided.max(look.scanner.decided());
        }
        self.judge(found)
    }

    /// Looks at what has come although more may follow.
    fn flush(&mut self) -> Result<(), BodyError> {
        self.looked = Instant::now();
        let Some(look) = &mut self.look else { return Ok(()) };
        let found = look.scanner.flush();
        self.decided = look.clear;
        self.judge(found)
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        let finished = self.look.as_mut().map(Look::finish);
        match finished {
            None => {}
            Some(Ok(found)) => self.judge(found)?,
            Some(Err(fault)) => self.give_up(&fault)?,
        }
        if let Some(trailers) = &self.trailers {
            let judged = self.outbound.trailers(trailers);
            self.decide(judged)?;
        }
        self.ended = true;
        Ok(())
    }

    fn give_up(&mut self, fault: &Unscannable) -> Result<(), BodyError> {
        self.look = None;
        match self.outbound.unscannable(fault) {
            Ok(()) => Ok(()),
            Err(refusal) => Err(self.stop(refusal)),
        }
    }

    fn judge(&mut self, found: Vec<Finding>) -> Result<(), BodyError> {
        let judged = self.outbound.judge(found);
        self.decide(judged)
    }

    fn decide(&mut self, judged: Vec<Judged>) -> Result<(), BodyError> {
        if judged.is_empty() {
            return Ok(());
        }
        let action = strictest(&judged);
        let refusal = self.outbound.refusal(&judged);
        let outbound = self.outbound.clone();
        let whose = Whose { run: Some(outbound.run.id.clone()), host: Some(outbound.name.clone()) };
        // A canary's order waits for the ledger, which this cannot.
        self.outbound.shared.tasks.spawn_for(Arc::new(whose), async move {
            outbound.act(&judged).await;
        });
        match action {
            Action::Allow | Action::Warn => Ok(()),
            Action::Redact | Action::Supervise | Action::Block => Err(self.stop(refusal)),
        }
    }

    /// Breaks it off.
    fn stop(&mut self, refusal: Refusal) -> BodyError {
        let message = format!("{} {} bytes of the body had left before.", refusal.message, self.gone);
        let refusal = Refusal::new(refusal.code, message);
        self.held.clear();
        // Who waits for an answer reports it; where the answer has begun, nobody does.
        if self.stopped.0.set(refusal.clone()).is_ok() && Arc::strong_count(&self.stopped.0) == 1 {
            self.outbound.report(&refusal);
        }
        refusal.message.into()
    }
}

impl Look {
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Finding>, Unscannable> {
        let Self { transport, scanner, clear } = self;
        let mut found = Vec::new();
        let mut take = |bytes: &[u8]| {
            *clear += bytes.len();
            found.extend(scanner.feed(bytes));
        };
        match transport {
            Some(transport) => transport.feed(bytes, take)?,
            None => take(bytes),
        }
        Ok(found)
    }

    fn finish(&mut self) -> Result<Vec<Finding>, Unscannable> {
        let Self { transport, scanner, .. } = self;
        let mut found = Vec::new();
        if let Some(transport) = transport {
            transport.finish(|bytes| found.extend(scanner.feed(bytes)))?;
        }
        found.extend(scanner.finish());
        Ok(found)
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
        let step = loop {
            if let Some(bytes) = this.release() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if this.ended {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            if let Some(before) = &mut this.before {
                let Some(bytes) = before.chunks.pop_front() else {
                    this.before = None;
                    continue;
                };
                match this.take(bytes) {
                    Ok(()) => continue,
                    Err(error) => break Err(error),
                }
            }
            let stepped = match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.take(data),
                    Err(frame) => {
                        this.trailers = frame.into_trailers().ok();
                        this.finish()
                    }
                },
                Poll::Ready(Some(Err(error))) => Err(error),
                Poll::Ready(None) => this.finish(),
                Poll::Pending if this.held.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    let due = this.looked + PROMPT;
                    if Instant::now() < due {
                        let wake = this.wake.get_or_insert_with(|| Box::pin(sleep_until(due)));
                        if wake.deadline() != due {
                            wake.as_mut().reset(due);
                        }
                        ready!(wake.as_mut().poll(cx));
                    }
                    this.flush()
                }
            };
            if let Err(error) = stepped {
                break Err(error);
            }
        };
        Poll::Ready(Some(step))
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.held.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // What was taken out of it already has to be counted in.
        let mut hint = SizeHint::new();
        let before = self.before.iter().flat_map(|before| &before.chunks);
        let inside = before.chain(self.held.iter().map(|(bytes, _)| bytes));
        let inside: u64 = inside.map(|bytes| bytes.len() as u64).sum();
        let inner = self.inner.size_hint();
        hint.set_lower(inner.lower() + inside);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + inside);
        }
        hint
    }
}
