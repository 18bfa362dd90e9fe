//! An answer's body that is looked at while it streams.
//!
//! Invariant: where a finding blocks, a frame goes on only when all that it decodes to was looked at.

use super::look::Look;
use crate::body::{Body, BodyError};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hudson_dlp::{InjectionWatch, Signal};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// How long the first part of an answer is waited for, and how long a stream that pauses is held back.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes that are held back before they are looked at, whatever they decode to.
const HELD: usize = 256 << 10;

/// A body that is looked at.
pub(super) struct Inspected {
    inner: Body,
    look: Look,
    /// Whether a finding ends it.
    blocks: bool,
    held: VecDeque<Held>,
    /// Bytes in them.
    bytes_held: usize,
    /// Ends a stream's pause.
    pause: Option<Pin<Box<Sleep>>>,
    /// Bytes that went on.
    passed: u64,
    /// Nothing more comes.
    ended: bool,
}

/// A frame, and how much has to be looked at before it goes on.
struct Held {
    frame: Result<Frame<Bytes>, BodyError>,
    until: u64,
}

impl Inspected {
    pub(super) fn new(inner: Body, look: Look, blocks: bool) -> Self {
        Self {
            inner,
            look,
            blocks,
            held: VecDeque::new(),
            bytes_held: 0,
            pause: None,
            passed: 0,
            ended: false,
        }
    }

    /// Looks at the first part, as far as it comes within the time; what was found.
    pub(super) async fn begin(&mut self) -> Option<Vec<Signal>> {
        let first = async {
            while !self.ended
                && self.look.came() < InjectionWatch::WINDOW as u64
                && self.look.looked() < u64::MAX
                && self.bytes_held < HELD
            {
                let frame = poll_fn(|cx| Pin::new(&mut self.inner).poll_frame(cx)).await;
                self.take(frame);
            }
        };
        // What has come when the time is over is looked at.
        let _ = tokio::time::timeout(PAUSE, first).await;
        self.look.look();
        let signals = self.look.found()?;
        self.look.about.injection(&signals, self.blocks, 0);
        Some(signals)
    }

    fn take(&mut self, frame: Option<Result<Frame<Bytes>, BodyError>>) {
        match frame {
            Some(Ok(frame)) => {
                match frame.data_ref() {
                    Some(data) => self.look.feed(data),
                    // They are the end, and come with it.
                    None => self.finish(),
                }
                self.hold(Ok(frame));
                // A sized body is not polled again after its last byte.
                if self.inner.is_end_stream() {
                    self.finish();
                }
            }
            Some(Err(error)) => {
                self.look.look();
                self.ended = true;
                self.hold(Err(error));
            }
            None => self.finish(),
        }
    }

    fn finish(&mut self) {
        if !self.ended {
            self.ended = true;
            self.look.finish();
        }
    }

    fn hold(&mut self, frame: Result<Frame<Bytes>, BodyError>) {
        let until = if self.blocks { self.look.came() } else { 0 };
        self.bytes_held += length(&frame);
        self.held.push_back(Held { frame, until });
    }

    /// Tells what was found; where that blocks, nothing goes on from here.
    fn judge(&mut self) {
        let Some(signals) = self.look.found() else { return };
        self.look.about.injection(&signals, self.blocks, self.passed);
        if self.blocks {
            self.held.clear();
            self.bytes_held = 0;
            self.ended = true;
            let error =
                "the answer has signs of instructions to the agent, and its route blocks such answers";
            self.held.push_back(Held { frame: Err(error.into()), until: 0 });
        }
    }
}

/// Bytes of data in a frame.
fn length(frame: &Result<Frame<Bytes>, BodyError>) -> usize {
    frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len)
}

impl http_body::Body for Inspected {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if this.held.front().is_some_and(|held| held.until <= this.look.looked())
                && let Some(Held { frame, .. }) = this.held.pop_front()
            {
                let length = length(&frame);
                this.bytes_held = this.bytes_held.saturating_sub(length);
                this.passed += length as u64;
                return Poll::Ready(Some(frame));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(frame) => {
                    this.take(frame);
                    if this.bytes_held >= HELD {
                        this.look.look();
                    }
                }
                Poll::Pending if this.held.is_empty() => {
                    this.pause = None;
                    return Poll::Pending;
                }
                Poll::Pending => {
                    let pause = this.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(PAUSE)));
                    std::task::ready!(pause.as_mut().poll(cx));
                    this.pause = None;
                    this.look.look();
                }
            }
            this.judge();
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.held.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.inner.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(rest + self.bytes_held as u64),
            None => SizeHint::default(),
        }
    }
}

impl Drop for Inspected {
    fn drop(&mut self) {
        // What went on without being looked at yet is told of, though nobody waits for more.
        if !self.blocks && !self.ended {
            self.look.look();
            self.judge();
        }
    }
}
