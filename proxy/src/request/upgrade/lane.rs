//! One direction of a relayed WebSocket: read, passed, written, one piece after the other, so that a side that does not
//! read makes the other wait.
//!
//! Invariant: everything a future here has done is kept in the lane, so that dropping the future at any point and
//! running the lane again loses and repeats nothing.

use crate::websocket::{Passage, Violation};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// What is read at once, in bytes; as much as a TLS record holds.
const READ: usize = 16 * 1024;

/// One direction.
pub(super) struct Lane {
    pub(super) passage: Passage,
    buffer: Box<[u8]>,
    /// What of the buffer has not been passed.
    unread: std::ops::Range<usize>,
    /// How much of what may go on was written.
    written: usize,
    /// Whether what was written ends where a frame ends.
    between_frames: bool,
    violation: Option<Violation>,
    /// Whether the direction has ended.
    pub(super) over: bool,
    /// Whether the sender's connection has.
    gone: bool,
    /// When a byte last came or went.
    pub(super) active: Instant,
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
}

impl Lane {
    pub(super) fn new(passage: Passage) -> Self {
        Self {
            passage,
            buffer: vec![0; READ].into_boxed_slice(),
            unread: 0..0,
            written: 0,
            between_frames: true,
            violation: None,
            over: false,
            gone: false,
            active: Instant::now(),
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
        if self.gone {
            std::future::pending::<()>().await;
        }
        while self.read(from).await {}
        LaneEnd::Gone
    }

    async fn carry(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> LaneEnd {
        loop {
            if self.write(to).await.is_err() {
                return LaneEnd::ReceiverLost;
            }
            if let Some(violation) = self.violation {
                return LaneEnd::Violated(violation);
            }
            if self.passage.is_closed() {
                return LaneEnd::Closed;
            }
            if self.unread.is_empty() && !self.read(from).await {
                return LaneEnd::SenderLost;
            }
            self.pass();
        }
    }

    /// Whether a Close frame of ours may follow what was written to the receiver.
    pub(super) fn may_close(&self) -> bool {
        self.between_frames && !self.passage.is_closed()
    }

    /// Reads until the sender closes, or is gone; nothing of it goes on.
    pub(super) async fn drain(&mut self, from: &mut (impl AsyncRead + Unpin)) {
        while self.violation.is_none() && !self.passage.is_closed() {
            if self.unread.is_empty() && !self.read(from).await {
                return;
            }
            self.pass();
            self.passage.clear_out();
        }
    }

    async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> bool {
        match from.read(&mut self.buffer).await {
            Ok(0) | Err(_) => {
                self.gone = true;
                false
            }
            Ok(length) => {
                self.unread = 0..length;
                self.active = Instant::now();
                true
            }
        }
    }

    fn pass(&mut self) {
        let mut input = self.buffer.get(self.unread.clone()).unwrap_or_default();
        match self.passage.feed(&mut input) {
            Ok(None) => {}
            // No route judges messages: what comes whole goes on as it came.
            Ok(Some(message)) => self.passage.admit(&message.payload),
            Err(violation) => self.violation = Some(violation),
        }
        self.unread.start = self.unread.end - input.len();
    }

    async fn write(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while let Some(rest) = self.passage.out().get(self.written..).filter(|rest| !rest.is_empty()) {
            let length = to.write(rest).await?;
            if length == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.written += length;
            self.between_frames = false;
            self.active = Instant::now();
        }
        if self.written > 0 {
            to.flush().await?;
            self.passage.clear_out();
            self.written = 0;
            self.between_frames = self.passage.is_between_frames();
        }
        Ok(())
    }
}
