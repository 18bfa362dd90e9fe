//! Whether a connection is alive: what passes over a client's socket is noted, and time-outs look at the note.
//!
//! Invariant: noting costs one relaxed store per system call and no look at the clock; a connection over which no byte
//! passed in either direction for the limit is ended, whatever is spoken on it and whoever of the two is silent.

use hyper::rt::{Sleep, Timer};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How finely silence is measured: it is noticed at most this part of the limit late.
const LOOKS: u32 = 8;

/// What passed over one socket, counted in system calls that moved bytes; the counts wrap.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    reads: AtomicU32,
    writes: AtomicU32,
}

/// A socket whose activity is noted.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

/// Gives hyper's head time-out the meaning that it has here: from the first byte of a head to its last.
///
/// hyper starts it when it begins to wait for a request, so that it would end connections between two requests too;
/// those are for the idle time-out. The first byte is one that is read after that: half a head that came together with
/// the request before it is left to the idle time-out as well.
#[derive(Clone, Debug)]
pub(crate) struct HeadTimer {
    activity: Arc<Activity>,
}

impl Activity {
    /// Completes when no byte has passed for `limit`, or up to an eighth of it later.
    pub(crate) async fn silence(&self, limit: Duration) {
        let look = (limit / LOOKS).max(Duration::from_millis(1));
        let mut seen = self.passed();
        let mut silent = 0;
        while silent < LOOKS {
            tokio::time::sleep(look).await;
            let passed = self.passed();
            silent = if passed == seen { silent + 1 } else { 0 };
            seen = passed;
        }
    }

    fn passed(&self) -> (u32, u32) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    /// One task at a time reads, and one writes: a plain addition loses nothing.
    fn note(count: &AtomicU32) {
        count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S) -> (Self, Arc<Activity>) {
        let activity = Arc::<Activity>::default();
        (Self { stream, activity: activity.clone() }, activity)
    }

    fn wrote(&self, written: &io::Result<usize>) {
        if written.as_ref().is_ok_and(|written| *written > 0) {
            Activity::note(&self.activity.writes);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buf));
        if buf.filled().len() > before {
            Activity::note(&this.activity.reads);
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf));
        this.wrote(&written);
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs));
        this.wrote(&written);
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl HeadTimer {
    pub(crate) fn new(activity: Arc<Activity>) -> Self {
        Self { activity }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let reads = self.activity.reads.load(Ordering::Relaxed);
        Box::pin(HeadSleep { activity: self.activity.clone(), reads, duration, running: None })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

/// Sleeps for a time that begins with the first byte read after it was made. hyper polls it whenever it has read.
struct HeadSleep {
    activity: Arc<Activity>,
    reads: u32,
    duration: Duration,
    running: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.running.is_none() && this.activity.reads.load(Ordering::Relaxed) != this.reads {
            this.running = Some(Box::pin(tokio::time::sleep(this.duration)));
        }
        match &mut this.running {
            Some(running) => running.as_mut().poll(cx),
            // The read that follows wakes the task.
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    const LIMIT: Duration = Duration::from_secs(8);

    #[tokio::test(start_paused = true)]
    async fn silence_is_no_byte_in_either_direction() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut near, activity) = Watched::new(near);
        let start = tokio::time::Instant::now();
        let talk = async {
            let mut byte = [0];
            for _ in 0..3 {
                tokio::time::sleep(LIMIT - Duration::from_secs(2)).await;
                near.write_all(b"x").await.unwrap();
                far.read_exact(&mut byte).await.unwrap();
                tokio::time::sleep(LIMIT - Duration::from_secs(2)).await;
                far.write_all(b"x").await.unwrap();
                near.read_exact(&mut byte).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = activity.silence(LIMIT) => {}
            () = talk => {}
        }
        let talked = (LIMIT - Duration::from_secs(2)) * 6;
        let ended = start.elapsed();
        assert!((talked + LIMIT..=talked + LIMIT * 9 / 8).contains(&ended), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut near, activity) = Watched::new(near);
        let mut sleep = HeadTimer::new(activity).sleep(LIMIT);
        assert!(timeout(LIMIT * 100, sleep.as_mut()).await.is_err(), "idle is no slow head");
        far.write_all(b"G").await.unwrap();
        near.read_u8().await.unwrap();
        assert!(timeout(LIMIT - Duration::from_secs(1), sleep.as_mut()).await.is_err());
        assert!(timeout(Duration::from_secs(2), sleep).await.is_ok());
    }
}
