//! One connection to one host, and the requests on it.

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

/// Characters of an answer that an error repeats.
const MOST_SAID: usize = 500;

/// What is spoken to the proxy, by ALPN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A connection; on HTTP/2, one of its users.
pub(crate) struct Connection {
    authority: Arc<str>,
    sender: Sender,
    task: Arc<Task>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// What moves the bytes; it ends with the last user.
struct Task(JoinHandle<()>);

impl Protocol {
    /// As it is offered.
    pub(super) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

impl Connection {
    /// HTTP on a stream; an error when the other side did not agree to this protocol.
    pub(super) async fn over(
        stream: TlsStream<TcpStream>,
        authority: Arc<str>,
        protocol: Protocol,
    ) -> Result<Self> {
        let agreed = stream.get_ref().1.alpn_protocol();
        // A server without ALPN speaks HTTP/1.1.
        ensure!(agreed.unwrap_or(b"http/1.1") == protocol.alpn(), "{authority} does not speak {protocol:?}");
        let stream = TokioIo::new(stream);
        // A connection that breaks fails the request on it, which is where it is reported.
        let (sender, task) = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                (Sender::Http1(sender), tokio::spawn(async move { drop(connection.await) }))
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                (Sender::Http2(sender), tokio::spawn(async move { drop(connection.await) }))
            }
        };
        Ok(Self { authority, sender, task: Arc::new(Task(task)) })
    }

    /// As many users of this connection, each with a stream at a time; on HTTP/1.1 there can be but one.
    pub(crate) fn shared(self, users: u32) -> Result<Vec<Self>> {
        match &self.sender {
            Sender::Http1(_) => {
                ensure!(users == 1, "HTTP/1.1 has no streams");
                Ok(vec![self])
            }
            Sender::Http2(sender) => {
                let user = |_| Self {
                    authority: Arc::clone(&self.authority),
                    sender: Sender::Http2(sender.clone()),
                    task: Arc::clone(&self.task),
                };
                Ok((0..users).map(user).collect())
            }
        }
    }

    /// Sends a request; an answer that is no 200 is an error, since it is no figure.
    pub(crate) async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Incoming> {
        let request = Request::builder()
            .method(method)
            .header("anthropic-version", "2023-06-01")
            .header("x-api-key", "sk-ant-benchmark")
            .header("content-type", "application/json");
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                let request = request.uri(path).header("host", &*self.authority).body(Full::new(body))?;
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                let request =
                    request.uri(format!("https://{}{path}", self.authority)).body(Full::new(body))?;
                sender.ready().await?;
                sender.send_request(request).await
            }
        };
        let response = response.with_context(|| format!("asking {}", self.authority))?;
        let status = response.status();
        if status != StatusCode::OK {
            let body = response.into_body().collect().await?.to_bytes();
            let said: String = String::from_utf8_lossy(&body).chars().take(MOST_SAID).collect();
            bail!("{} answers {status}: {said}", self.authority);
        }
        Ok(response.into_body())
    }

    /// Sends a request and reads the answer to its end; how long it is.
    pub(crate) async fn exchange(&mut self, method: Method, path: &str, body: Bytes) -> Result<usize> {
        let mut body = self.send(method, path, body).await?;
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(length)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
