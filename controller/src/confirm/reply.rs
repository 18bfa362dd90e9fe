//! An answer, on its way to whichever listener it was asked at.

use crate::control::{self, Body};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

/// An answer in JSON.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Value,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    pub(super) fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body, headers: Vec::new() }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, body)
    }

    /// What went wrong; `error` is a text, as the servers before had it.
    pub(super) fn error(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self::new(status, json!({"error": message.into(), "code": code}))
    }

    pub(super) fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "not_found", "there is no such approval")
    }

    /// The ledger fails: nothing passes.
    pub(super) fn failed(error: &impl std::fmt::Display) -> Self {
        let message = format!("the approvals cannot be read or written, and nothing is approved: {error}");
        Self::error(StatusCode::SERVICE_UNAVAILABLE, "approval_unavailable", message)
    }

    /// The same answer with more in its body.
    pub(super) fn and(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(body) = self.body.as_object_mut() {
            body.insert(name.to_owned(), value.into());
        }
        self
    }

    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        // What is not a header's value is left out; none of those here is.
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// For a listener of the controller's own.
    pub(super) fn response(self) -> Response<Body> {
        let mut response = control::json(self.status, &self.body);
        append(response.headers_mut(), self.headers);
        response
    }

    /// For the proxy.
    pub(super) fn bytes(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(format!("{}\n", self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        append(headers, self.headers);
        response
    }
}

/// Some are there twice.
fn append(to: &mut HeaderMap, headers: Vec<(HeaderName, HeaderValue)>) {
    for (name, value) in headers {
        to.append(name, value);
    }
}
