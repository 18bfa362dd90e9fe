//! HTTP/1.1 on a connection whose peer was looked at: bounds, time-outs, and answers in JSON.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use serde::Serialize;
use serde_json::json as object;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The longest body of a request, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// The longest head, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// The most headers.
const MAX_HEADERS: usize = 64;
/// From the first wait for a head to its end.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Answers requests.
pub trait Answerer: Send + Sync + 'static {
    /// Answers one.
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>>;
}

/// Serves one connection until it or `end` comes to its end.
pub async fn serve<S>(stream: S, answerer: Arc<dyn Answerer>, end: CancellationToken)
where
    S: Read + Write + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let answerer = answerer.clone();
        async move { Ok::<_, Infallible>(answerer.answer(request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(stream, service);
    tokio::pin!(serving);
    tokio::select! {
        // Who breaks off has nobody to be told.
        _ = serving.as_mut() => {}
        () = end.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

/// Why a body is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BodyFault {
    /// It is too long.
    #[error("the body is longer than {MAX_BODY} bytes")]
    Long,
    /// It broke off.
    #[error("the body cannot be read")]
    Broken,
    /// It did not come.
    #[error("the body took longer than {0:?}")]
    Late(Duration),
}

impl BodyFault {
    /// What is answered.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Long => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Late(_) => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The same in a word.
    pub fn code(self) -> &'static str {
        match self {
            Self::Long => "body_too_large",
            Self::Broken => "invalid",
            Self::Late(_) => "timed_out",
        }
    }
}

/// A request's body, whole, of at most [`MAX_BODY`].
pub async fn read_body(body: Incoming, within: Duration) -> Result<Bytes, BodyFault> {
    match tokio::time::timeout(within, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyFault::Long),
        Ok(Err(_)) => Err(BodyFault::Broken),
        Err(_) => Err(BodyFault::Late(within)),
    }
}

/// A JSON answer.
pub fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response<Body> {
    match serde_json::to_string(value) {
        Ok(text) => self::text(status, "application/json", text + "\n"),
        Err(fault) => error(StatusCode::INTERNAL_SERVER_ERROR, "failed", &fault.to_string()),
    }
}

/// What went wrong.
pub fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let text = object!({"error": {"code": code, "message": message}}).to_string();
    self::text(status, "application/json", text + "\n")
}

/// A text of this type.
pub fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Full::from(text).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
