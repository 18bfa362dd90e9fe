//! Bodies of either side: whole, fed by the test piece by piece, or endless without taking memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// Any body.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The sending end of a body: it knows when nobody reads the other end any more.
pub(super) type Feed = mpsc::Sender<io::Result<Frame<Bytes>>>;

/// No body.
pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of known length.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of unknown length that the test feeds.
pub(super) fn fed() -> (Feed, Body) {
    let (feed, frames) = mpsc::channel(1);
    (feed, Fed(frames).boxed_unsync())
}

/// A body of unknown length in these pieces, and these trailers behind it.
pub(super) fn pieces(pieces: &[&'static str], trailers: Option<HeaderMap>) -> Body {
    let (feed, frames) = mpsc::channel(pieces.len() + 1);
    let data = pieces.iter().map(|piece| Frame::data(Bytes::from_static(piece.as_bytes())));
    for frame in data.chain(trailers.map(Frame::trailers)) {
        feed.try_send(Ok(frame)).expect("there is room for every piece");
    }
    Fed(frames).boxed_unsync()
}

/// A body of known length, many times the same block.
pub(super) fn repeated(block: Bytes, times: u64) -> Body {
    Repeated { block, left: times }.boxed_unsync()
}

/// A piece of a body.
pub(super) fn data(text: &str) -> io::Result<Frame<Bytes>> {
    Ok(Frame::data(Bytes::from(text.to_owned())))
}

struct Fed(mpsc::Receiver<io::Result<Frame<Bytes>>>);

impl hyper::body::Body for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(cx)
    }
}

struct Repeated {
    block: Bytes,
    left: u64,
}

impl hyper::body::Body for Repeated {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.block.clone()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left * self.block.len() as u64)
    }
}
