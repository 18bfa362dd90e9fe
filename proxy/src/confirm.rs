//! What a run asks people about itself, at `http://_egress.local/confirm`. The answers come from the control plane, which is
//! handed in; this side only reads what is asked, whole and bounded.
//!
//! Invariant: what is asked is asked in the name of the run whose credentials came with it, whatever it says itself.

use crate::body::{self, Body};
use crate::run::Run;
use crate::shared::{BODIES_KIB, Shared};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::json;
use std::sync::Arc;

/// The longest body, in bytes.
const MAX_BODY: usize = 1 << 20;

/// One question of a run.
#[derive(Clone, Debug)]
pub struct Question {
    /// How it is asked.
    pub method: Method,
    /// The path, with its `/` in front.
    pub path: String,
    /// What stands behind the `?`; empty without one.
    pub query: String,
    /// The headers, without the run's credentials.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

/// Answers what runs ask people; handed to the proxy by the control plane.
#[async_trait]
pub trait Confirm: Send + Sync + 'static {
    /// Answers a question in the name of this run. May wait for people; whoever asked may go away meanwhile.
    async fn answer(&self, run: &Arc<Run>, question: Question) -> Response<Bytes>;
}

/// Whether this is a path that the control plane answers.
pub(crate) fn is_asked(path: &str) -> bool {
    path == "/confirm" || path == "/health" || path.starts_with("/confirm/")
}

/// Reads a question and has it answered.
pub(crate) async fn ask<B>(shared: &Shared, run: &Arc<Run>, request: Request<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Some(confirm) = &shared.confirm else {
        return refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "nobody can be asked here: this proxy has no approvals",
        );
    };
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(header::PROXY_AUTHORIZATION);
    let body = match read(shared, body).await {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    let question = Question {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
    };
    confirm.answer(run, question).await.map(body::full)
}

async fn read<B>(shared: &Shared, body: B) -> Result<Bytes, Box<Response<Body>>>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let fail = |status, why: &str| Err(Box::new(refused(status, why)));
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    // The memory is given back before anybody is waited for: what is kept of it is what the ledger keeps.
    let kib = u32::try_from(MAX_BODY / 1024).unwrap_or(u32::MAX).min(BODIES_KIB as u32);
    let reading = async {
        let _room = shared.bodies.acquire_many(kib).await.ok();
        Limited::new(body, MAX_BODY).collect().await
    };
    match tokio::time::timeout(shared.limits.body, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            fail(StatusCode::PAYLOAD_TOO_LARGE, "the body is over 1 MiB")
        }
        Ok(Err(_)) => fail(StatusCode::BAD_REQUEST, "the body broke off"),
        Err(_) => fail(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
    }
}

fn refused(status: StatusCode, why: &str) -> Response<Body> {
    let mut response = Response::new(body::full(format!("{}\n", json!({"error": why}))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_asks_is_handed_on() {
        for asked in ["/confirm", "/confirm/apr_x", "/confirm/apr_x/approve", "/health"] {
            assert!(is_asked(asked), "{asked}");
        }
        for not in ["/", "/confirmed", "/pending", "/respond", "/api/approve/apr_x", "/audit", "/allowlist"] {
            assert!(!is_asked(not), "{not}");
        }
    }
}
