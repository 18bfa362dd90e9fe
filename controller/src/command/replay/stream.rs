//! A body as a stream of pieces, with a pause between two of them.

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A body that is there at once.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body that comes piece by piece, `gap` apart.
pub(super) fn paced(pieces: VecDeque<Bytes>, gap: Duration) -> Body {
    let frames = stream::unfold((pieces, true), move |(mut pieces, first)| async move {
        let piece = pieces.pop_front()?;
        if !first && !gap.is_zero() {
            tokio::time::sleep(gap).await;
        }
        Some((Ok(Frame::data(piece)), (pieces, false)))
    });
    StreamBody::new(frames).boxed_unsync()
}
