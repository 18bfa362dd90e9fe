//! A client inside the tunnel: hyper over TLS, in the version it is told to speak.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, request};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::HOST;
use super::body::Body;
use super::scene::{Version, in_time};
use crate::raw::Agent;

/// One connection, one version.
pub(super) struct Client {
    sender: Sender,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

impl Client {
    /// A client of the origin that offers one version alone.
    pub(super) async fn connect(agent: &Agent, version: Version) -> Self {
        let alpn = version.alpn();
        let tls = tls(agent, &[alpn]).await.expect("TLS is taken");
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(alpn), "{version} is not offered");
        Self::over(tls, version).await
    }

    /// Speaks a version over TLS that is there already.
    pub(super) async fn over(tls: TlsStream<TcpStream>, version: Version) -> Self {
        let io = TokioIo::new(tls);
        let sender = match version {
            Version::Http1 => {
                let (sender, connection) = http1::handshake(io).await.expect("HTTP/1.1 is spoken");
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Version::Http2 => {
                let handshake = http2::Builder::new(TokioExecutor::new()).adaptive_window(true).handshake(io);
                let (sender, connection) = handshake.await.expect("HTTP/2 is spoken");
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Self { sender }
    }

    /// Sends a request to the origin and waits for the head of the answer.
    pub(super) async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        let (mut parts, body) = request.into_parts();
        match &mut self.sender {
            Sender::Http1(sender) => {
                parts.headers.insert(header::HOST, HeaderValue::from_static(HOST));
                let sized = body.is_end_stream() || body.size_hint().exact().is_some();
                if !sized && !parts.headers.contains_key(header::CONTENT_LENGTH) {
                    // Without it hyper takes the body off a GET.
                    parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
                }
                sender.ready().await?;
                sender.send_request(Request::from_parts(parts, body)).await
            }
            Sender::Http2(sender) => {
                let mut uri = parts.uri.into_parts();
                uri.scheme = Some(http::uri::Scheme::HTTPS);
                uri.authority = Some(http::uri::Authority::from_static(HOST));
                parts.uri = Uri::from_parts(uri).expect("the parts make a URI");
                sender.send_request(Request::from_parts(parts, body)).await
            }
        }
    }

    /// Sends a request and reads the answer to its end.
    pub(super) async fn exchange(&mut self, request: Request<Body>) -> Message {
        let asked = format!("{} {}", request.method(), request.uri());
        let response = in_time(self.send(request)).await.unwrap_or_else(|error| panic!("{asked}: {error}"));
        Message::read(response).await.unwrap_or_else(|error| panic!("{asked}: {error}"))
    }
}

impl Message {
    /// Reads an answer to its end.
    pub(super) async fn read(response: Response<Incoming>) -> hyper::Result<Self> {
        let (parts, body) = response.into_parts();
        let collected = in_time(body.collect()).await?;
        let trailers = collected.trailers().cloned();
        Ok(Self { status: parts.status, headers: parts.headers, body: collected.to_bytes(), trailers })
    }

    /// Every value of a header, in order.
    pub(super) fn values(&self, name: &str) -> Vec<&[u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }

    /// The one value of a header, as text.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        assert!(self.values(name).len() < 2, "{name} is there more than once: {:?}", self.headers);
        self.headers.get(name).map(|value| value.to_str().expect("the value is text"))
    }
}

/// A request's head; the path in origin-form.
pub(super) fn head(method: Method, path: &str) -> request::Builder {
    Request::builder().method(method).uri(path)
}

/// TLS in a tunnel to the origin.
pub(super) async fn tls(agent: &Agent, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = agent.tunnel(&format!("{HOST}:443"));
    socket.set_nonblocking(true)?;
    let config = Arc::new(agent.tls_config(alpn));
    let name = ServerName::try_from(HOST).expect("a host is a server name");
    tokio_rustls::TlsConnector::from(config).connect(name, TcpStream::from_std(socket)?).await
}
