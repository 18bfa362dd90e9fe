//! A credential that Hudson put on must not come back to the agent: an upstream that echoes requests would hand it
//! over. Here the redactor of `hudson-dlp` is put into a response's body.
//!
//! Invariant: what cannot be searched, because its encoding cannot be read, does not pass.

use crate::body::{Body, BodyError};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::BodyExt;
use hudson_dlp::Redactor;
use hudson_meter::StreamDecoder;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A body whose bytes pass a redactor, decoded first where they are encoded.
pub(super) struct Redacted {
    inner: Body,
    decoder: Option<StreamDecoder>,
    redactor: Redactor,
    /// Trailers that wait for the end of the body.
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl Redacted {
    /// A body that is redacted. An encoding that cannot be read ends the response rather than letting it pass unseen.
    pub(super) fn new(inner: Body, redactor: Redactor, encoding: Option<&str>) -> Result<Self, BodyError> {
        let decoder = encoding.map(StreamDecoder::new).transpose()?;
        Ok(Self { inner, decoder, redactor, trailers: None, ended: false })
    }

    fn pass(&mut self, data: &[u8]) -> Result<Bytes, BodyError> {
        match &mut self.decoder {
            Some(decoder) => {
                let mut clear = Vec::new();
                decoder.decode(data, &mut clear)?;
                Ok(Bytes::from(self.redactor.feed(&clear)))
            }
            None => Ok(Bytes::from(self.redactor.feed(data))),
        }
    }

    fn rest(&mut self) -> Result<Bytes, BodyError> {
        self.ended = true;
        let mut clear = Vec::new();
        if let Some(decoder) = &mut self.decoder {
            decoder.finish(&mut clear)?;
        }
        let mut rest = self.redactor.feed(&clear);
        rest.extend_from_slice(&self.redactor.finish());
        Ok(Bytes::from(rest))
    }
}

impl http_body::Body for Redacted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        while !this.ended {
            let out = match std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    // A sized body is not polled again after its last byte.
                    Ok(data) if this.inner.is_end_stream() => this.pass(&data).and_then(|passed| {
                        let rest = this.rest()?;
                        Ok(Bytes::from([passed, rest].concat()))
                    }),
                    Ok(data) => this.pass(&data),
                    Err(frame) => {
                        this.trailers =
                            frame.into_trailers().ok().map(|trailers| this.redactor.redacted(trailers));
                        this.rest()
                    }
                },
                Some(Err(error)) => Err(error),
                None => this.rest(),
            };
            match out {
                Ok(data) if data.is_empty() => {}
                out => return Poll::Ready(Some(out.map(Frame::data))),
            }
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.trailers.is_none()
    }
}

/// Takes values out of header values.
pub(super) trait RedactHeaders {
    /// The map with every value that holds one replaced.
    fn redacted(&self, headers: HeaderMap) -> HeaderMap;
}

impl RedactHeaders for Redactor {
    fn redacted(&self, mut headers: HeaderMap) -> HeaderMap {
        for value in headers.values_mut().filter(|value| self.finds(value.as_bytes())) {
            *value = HeaderValue::from_static("[redacted]");
        }
        headers
    }
}

/// A body without its last word on size, for responses that are decoded on the way.
pub(super) fn boxed(body: Redacted) -> Body {
    body.boxed_unsync()
}
