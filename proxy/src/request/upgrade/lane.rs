//! One direction of a relayed WebSocket: read, passed, written, one piece after the other, so that a side that does not
//! read makes the other wait.
//!
//! Invariant: everything a future here has done is kept in the lane, so that dropping the future at any point and
//! running the lane again loses and repeats nothing; what the gate has not let through is not written.

use super::gate::{Gate, Stop};
use crate::websocket::{Passage, Violation};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// What is read at once, in bytes; as much as a TLS record holds.
const READ: usize = 16 * 1024;

/// One direction.
pub(super) struct Lane<G> {
    pub(super) passage: Passage,
    pub(super) gate: G,
    input: Input,
    /// How much of what may go on was written.
    written: usize,
    /// Whether what was written ends where a frame ends.
    between_frames: bool,
    violation: Option<Violation>,
    /// How the gate ends it.
    stop: Option<Stop>,
    /// Whether the direction has ended.
    pub(super) over: bool,
    /// When a byte was last written.
    written_at: Instant,
}

/// What comes from the sender.
struct Input {
    buffer: Box<[u8]>,
    /// What of the buffer has not been passed.
    unread: std::ops::Range<usize>,
    /// Whether the sender's connection has ended.
    gone: bool,
    /// When a byte last came.
    came: Instant,
}

/// How a direction ended.
#[derive(Debug)]
pub(super) enum LaneEnd {
    /// With a Close frame, which was passed on.
    Closed,
    /// Who sends is gone.
    SenderLost,
    /// Who receives is gone.
    ReceiverLost,
    /// Who sends is gone, after the direction had ended.
    Gone,
    /// With something that must not pass. What came before it was passed on.
    Violated(Violation),
    /// By its gate.
    Stopped(Stop),
}

impl<G: Gate> Lane<G> {
    pub(super) fn new(passage: Passage, gate: G) -> Self {
        let now = Instant::now();
        let buffer = vec![0; READ].into_boxed_slice();
        Self {
            passage,
            gate,
            input: Input { buffer, unread: 0..0, gone: false, came: now },
            written: 0,
            between_frames: true,
            violation: None,
            stop: None,
            over: false,
            written_at: now,
        }
    }

    /// Carries the direction to its end; run again, waits until the sender is gone, and then for ever.
    pub(super) async fn run(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> LaneEnd {
        if !self.over {
            let end = self.carry(from, to).await;
            self.over = true;
            return end;
        }
        // What somebody waits for must not be read away.
        if self.input.gone || self.gate.is_awaited() {
            std::future::pending::<()>().await;
        }
        while self.input.read(from).await {}
        LaneEnd::Gone
    }

    async fn carry(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> LaneEnd {
        loop {
            if self.stop.is_none() {
                self.stop = self.gate.ready(&mut self.passage).await;
            }
            if self.write(to).await.is_err() {
                return LaneEnd::ReceiverLost;
            }
            if let Some(stop) = self.stop.take() {
                return LaneEnd::Stopped(stop);
            }
            if let Some(violation) = self.violation {
                return LaneEnd::Violated(violation);
            }
            if self.passage.is_closed() {
                return LaneEnd::Closed;
            }
            if self.input.unread.is_empty() {
                let more = tokio::select! {
                    biased;
                    () = self.gate.wakes(&self.passage) => continue,
                    more = self.input.read(from) => more,
                };
                if !more {
                    return LaneEnd::SenderLost;
                }
            }
            self.pass();
        }
    }

    /// When a byte last came or went.
    pub(super) fn active(&self) -> Instant {
        self.input.came.max(self.written_at)
    }

    /// Whether a Close frame of ours may follow what was written to the receiver.
    pub(super) fn may_close(&self) -> bool {
        self.between_frames && !self.passage.is_closed()
    }

    /// Whether what was written ends where a frame ends.
    pub(super) fn is_between_frames(&self) -> bool {
        self.between_frames
    }

    /// Reads until the sender closes, or is gone; nothing of it goes on.
    pub(super) async fn drain(&mut self, from: &mut (impl AsyncRead + Unpin)) {
        while self.violation.is_none() && !self.passage.is_closed() {
            if self.input.unread.is_empty() && !self.input.read(from).await {
                return;
            }
            self.pass();
            self.passage.clear_out();
        }
    }

    /// Reads on for the gate alone, until it awaits nothing more.
    pub(super) async fn read_out(&mut self, from: &mut (impl AsyncRead + Unpin)) {
        while self.gate.is_awaited() && self.violation.is_none() && !self.passage.is_closed() {
            self.passage.clear_out();
            if self.gate.ready(&mut self.passage).await.is_some() {
                return;
            }
            if self.input.unread.is_empty() && !self.input.read(from).await {
                return;
            }
            self.pass();
        }
        self.passage.clear_out();
    }

    fn pass(&mut self) {
        let clean = self.between_frames && self.passage.is_between_messages();
        let mut input = self.input.buffer.get(self.input.unread.clone()).unwrap_or_default();
        match self.passage.feed(&mut input) {
            Ok(message) => self.gate.take(&mut self.passage, message, clean),
            Err(violation) => {
                // What came in front of it goes on, and is seen like everything that does.
                self.gate.take(&mut self.passage, None, clean);
                self.violation = Some(violation);
            }
        }
        self.input.unread.start = self.input.unread.end - input.len();
    }

    async fn write(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while let Some(rest) = self.passage.out().get(self.written..).filter(|rest| !rest.is_empty()) {
            let length = to.write(rest).await?;
            if length == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.written += length;
            self.between_frames = false;
            self.written_at = Instant::now();
        }
        if self.written > 0 {
            to.flush().await?;
            self.passage.clear_out();
            self.written = 0;
            // Before a stop stands a whole message of ours, or nothing.
            self.between_frames = self.stop.is_some() || self.passage.is_between_frames();
        }
        Ok(())
    }
}

impl Input {
    async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> bool {
        match from.read(&mut self.buffer).await {
            Ok(0) | Err(_) => {
                self.gone = true;
                false
            }
            Ok(length) => {
                self.unread = 0..length;
                self.came = Instant::now();
                true
            }
        }
    }
}
