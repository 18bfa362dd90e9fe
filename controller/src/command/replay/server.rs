//! The server: TLS with HTTP/1.1 or HTTP/2, or plain HTTP/1.1 as an Ollama on one's own machine speaks it; one recording an
//! answer.

use super::body;
use super::choice::{Asked, Recordings};
use super::manifest::Recording;
use super::stream::{self, Body};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Names the recording that is wanted.
const ID: HeaderName = HeaderName::from_static("x-hudson-replay");
/// The longest request body that is read, in bytes.
const MAX_BODY: usize = 64 << 20;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The first byte of a TLS connection; that of an HTTP/1.1 request is a letter.
const TLS_HANDSHAKE: u8 = 22;

/// What is served.
pub(super) struct Server {
    pub(super) recordings: Recordings,
    /// Between two events of a stream.
    pub(super) gap: Duration,
}

/// Serves connections for as long as the process lives.
pub(super) async fn serve(listener: TcpListener, acceptor: TlsAcceptor, server: Arc<Server>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (acceptor, server) = (acceptor.clone(), server.clone());
                tokio::spawn(connection(stream, acceptor, server));
            }
            // Out of file descriptors, most likely: some come back when connections end.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, server: Arc<Server>) {
    // Each event leaves at once, as it did at the provider.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let server = server.clone();
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    let mut first = [0];
    match tokio::time::timeout(HANDSHAKE, stream.peek(&mut first)).await {
        Ok(Ok(1..)) if first == [TLS_HANDSHAKE] => {}
        Ok(Ok(1..)) => {
            return drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        }
        _ => return,
    }
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    // A client that breaks off has nobody to be told.
    match http2 {
        true => drop(
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await,
        ),
        false => drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await),
    }
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, incoming) = request.into_parts();
        if parts.headers.contains_key(header::UPGRADE) {
            return refusal(
                StatusCode::UPGRADE_REQUIRED,
                &json!({"error": "recordings are served over plain HTTP"}),
            );
        }
        let sent = match Limited::new(incoming, MAX_BODY).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) => return refusal(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
        };
        let host = host(&parts);
        let asked = Asked {
            method: parts.method.as_str(),
            host: &host,
            target: parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
            body: &sent,
            id: parts.headers.get(ID).and_then(|id| id.to_str().ok()),
        };
        match self.recordings.choose(&asked) {
            Some(recording) => self.played(recording).await,
            None => refusal(
                StatusCode::NOT_FOUND,
                &json!({
                    "error": format!("no recording answers {} https://{host}{}", asked.method, asked.target),
                    "recordings": self.recordings.listed(&host),
                }),
            ),
        }
    }

    async fn played(&self, recording: &Recording) -> Response<Body> {
        let body = match tokio::fs::read(&recording.body).await {
            Ok(body) => Bytes::from(body),
            Err(error) => {
                let error = format!("{}: cannot be read: {error}", recording.body.display());
                return refusal(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": error}));
            }
        };
        let encoded = !recording.content_encoding.is_empty();
        let pieces = body::pieces(&body, &recording.framing, encoded);
        let pieces = pieces.into_iter().map(|piece| body.slice_ref(piece)).collect();
        let mut response = Response::new(stream::paced(pieces, self.gap));
        *response.status_mut() = StatusCode::from_u16(recording.status).unwrap_or_default();
        let headers = response.headers_mut();
        insert(headers, header::CONTENT_TYPE, &recording.content_type);
        insert(headers, header::CONTENT_ENCODING, &recording.content_encoding);
        insert(headers, ID, &recording.id);
        response
    }
}

/// The host asked for, without a port.
fn host(parts: &http::request::Parts) -> String {
    let named = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let authority = parts.uri.authority().cloned().or_else(|| named.parse().ok());
    authority.map(|authority: http::uri::Authority| authority.host().to_owned()).unwrap_or_default()
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Some(value) = HeaderValue::from_str(value).ok().filter(|value| !value.is_empty()) {
        headers.insert(name, value);
    }
}

fn refusal(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(stream::whole(format!("{value}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
