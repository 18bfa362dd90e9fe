//! The API of the control socket: from a request to the endpoint that answers it. What it answers is what the command of
//! the same name prints with `--json`.
//!
//! Invariants: a path, a method, a parameter or a field that is not known is refused, and nothing is done; no error
//! repeats what a body says where that may be a credential.

mod endpoints;
mod openapi;

use super::super::Context;
use super::super::dashboard::{Reader, hear, origin};
use super::Listens;
use super::watch::Watch;
use crate::control::{self, Answerer, Body, Identity};
use crate::dashboard::Snapshot;
use crate::exit::{self, Exit};
use crate::instance::{Instance, now};
use crate::process::Process;
use anyhow::Result;
use bytes::Bytes;
use endpoints::{ENDPOINTS, Endpoint};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hudson_schema::config::ConfigError;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(5);

/// What the API speaks for.
pub(super) struct Api {
    pub(super) role: &'static str,
    pub(super) process: Process,
    pub(super) instance: Option<Arc<Instance>>,
    pub(super) watch: Arc<Watch>,
    pub(super) listens: Listens,
    /// Reads for every dashboard, one after the other.
    reader: Mutex<Reader>,
    /// Ends streams of events.
    pub(super) end: CancellationToken,
}

/// What is asked of an endpoint.
struct Asked {
    /// What stands in the path where the endpoint has a name in braces.
    parameter: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Api {
    pub(super) fn new(
        role: &'static str,
        process: Process,
        instance: Option<Arc<Instance>>,
        watch: Arc<Watch>,
        listens: Listens,
        end: CancellationToken,
    ) -> Self {
        let context =
            Context { home: process.home.clone(), json: true, ledger: Some(process.ledger.clone()) };
        let reader = Mutex::new(Reader::new(Arc::new(context), hear(&process.events)));
        Self { role, process, instance, watch, listens, reader, end }
    }

    /// What a dashboard shows.
    async fn snapshot(&self) -> Result<Snapshot> {
        self.reader.lock().await.read(origin(self.role), self.watch.fault()).await
    }

    /// What it says of itself.
    fn identity(&self) -> Identity {
        Identity {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            role: self.role.to_owned(),
            addresses: self.instance.as_ref().map(|instance| instance.addresses.clone()).unwrap_or_default(),
            metrics: self.listens.metrics,
            confirm: self.listens.approvals.confirm,
            admin: self.listens.approvals.admin,
            configuration_fault: self.watch.fault(),
            dlp: self.instance.as_ref().and_then(|instance| Some(instance.runs.seen()?.at(now()))),
        }
    }

    /// What commands work with.
    fn context(&self) -> Context {
        Context { home: self.process.home.clone(), json: true, ledger: Some(self.process.ledger.clone()) }
    }
}

impl Answerer for Api {
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move {
            match find(request.method(), request.uri().path()) {
                Ok((endpoint, parameter)) => match read(request, parameter).await {
                    Ok(asked) => (endpoint.call)(self, asked).await.unwrap_or_else(|error| told(&error)),
                    Err(refused) => refused,
                },
                Err(refused) => *refused,
            }
        })
    }
}

/// The endpoint of a path, and what stands in its braces.
fn find(method: &Method, path: &str) -> Result<(&'static Endpoint, String), Box<Response<Body>>> {
    let of_path: Vec<_> =
        ENDPOINTS.iter().filter_map(|endpoint| Some((endpoint, parameter(endpoint.path, path)?))).collect();
    if of_path.is_empty() {
        let message = format!("there is nothing at {path}; GET /v1/openapi.json lists what there is");
        return Err(Box::new(control::error(StatusCode::NOT_FOUND, "not_found", &message)));
    }
    let allowed: Vec<_> = of_path.iter().map(|(endpoint, _)| endpoint.method).collect();
    match of_path.into_iter().find(|(endpoint, _)| method.as_str() == endpoint.method) {
        Some(found) => Ok(found),
        None => {
            let allowed = allowed.join(", ");
            let message = format!("{path} takes {allowed}");
            let mut refused = control::error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &message);
            if let Ok(allowed) = HeaderValue::from_str(&allowed) {
                refused.headers_mut().insert(header::ALLOW, allowed);
            }
            Err(Box::new(refused))
        }
    }
}

/// What stands in a path's braces; nothing where it has none. `None` when it is another path.
fn parameter(template: &str, path: &str) -> Option<String> {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let mut found = String::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(found),
            (Some(name), Some(value)) if name.starts_with('{') && !value.is_empty() => {
                value.clone_into(&mut found);
            }
            (Some(name), Some(value)) if name == value => {}
            _ => return None,
        }
    }
}

async fn read(request: Request<Incoming>, parameter: String) -> Result<Asked, Response<Body>> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let body = control::read_body(body, BODY_WITHIN)
        .await
        .map_err(|fault| control::error(fault.status(), fault.code(), &fault.to_string()))?;
    Ok(Asked { parameter, query, headers: parts.headers, body })
}

/// An error as an answer.
fn told(error: &anyhow::Error) -> Response<Body> {
    let (status, code) = match exit::code_of(error) {
        _ if error.chain().any(|cause| cause.is::<ConfigError>()) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "configuration_fault")
        }
        exit::USAGE => (StatusCode::BAD_REQUEST, "invalid"),
        exit::NOT_FOUND => (StatusCode::NOT_FOUND, "not_found"),
        exit::CONFLICT => (StatusCode::CONFLICT, "conflict"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
    };
    control::error(status, code, &format!("{error:#}"))
}

impl Asked {
    /// The parameter in the path, read.
    fn named<T>(&self) -> Result<T>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        self.parameter.parse().map_err(|error| Exit::usage(format!("{:?}: {error}", self.parameter)).into())
    }

    /// The query, read.
    fn query<T: DeserializeOwned>(&self) -> Result<T> {
        serde_urlencoded::from_str(&self.query)
            .map_err(|error| Exit::usage(format!("the query: {error}")).into())
    }

    /// The body, read. None is an empty object.
    fn body<T: DeserializeOwned>(&self) -> Result<T> {
        self.parsed().map_err(|error| Exit::usage(format!("the body: {error}")).into())
    }

    /// A body that has credentials: serde_json's words could quote one, so that only the place is told.
    fn body_unquoted<T: DeserializeOwned>(&self) -> Result<T> {
        self.parsed().map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Exit::usage(format!("the body is not one of this version, at line {line}, column {column}"))
                .into()
        })
    }

    fn parsed<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        serde_json::from_slice(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_whole_or_not_at_all() {
        let found = |method: Method, path: &str| {
            find(&method, path).map(|(endpoint, parameter)| (endpoint.path, parameter)).map_err(|refused| {
                let allow =
                    refused.headers().get(header::ALLOW).map(|allow| allow.to_str().unwrap().to_owned());
                (refused.status().as_u16(), allow)
            })
        };
        let ok = |path, parameter: &str| Ok((path, parameter.to_owned()));
        assert_eq!(found(Method::GET, "/v1/bottles"), ok("/v1/bottles", ""));
        assert_eq!(found(Method::GET, "/v1/bottles/ci"), ok("/v1/bottles/{name}", "ci"));
        assert_eq!(found(Method::POST, "/v1/bottles/ci/kill"), ok("/v1/bottles/{name}/kill", "ci"));
        for path in [
            "/",
            "/v1",
            "/v1/bottles/",
            "/v1/bottles/ci/",
            "/v1/bottles//kill",
            "/v2/bottles",
            "/v1/bottles/a/b",
        ] {
            assert_eq!(found(Method::GET, path), Err((404, None)), "{path}");
        }
        assert_eq!(found(Method::DELETE, "/v1/budgets"), Err((405, Some("GET, POST".to_owned()))));
        assert_eq!(found(Method::GET, "/v1/bottles/ci/kill"), Err((405, Some("POST".to_owned()))));
    }
}
