//! An agent's connection: CONNECT by hand, TLS, and HTTP/1.1 kept alive, as the providers' own clients have it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A longer answer to CONNECT is none.
const MOST_HEAD: usize = 16 * 1024;

/// One connection to one host; dropped, it is hung up.
pub(super) struct Tunnel {
    host: &'static str,
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Tunnel {
    pub(super) async fn open(
        proxy: SocketAddr,
        authorization: &str,
        host: &'static str,
        tls: &Arc<ClientConfig>,
    ) -> Result<Self> {
        #[allow(clippy::disallowed_methods, reason = "this is the agent, and dials the proxy")]
        let mut stream = TcpStream::connect(proxy).await.context("dialling the proxy")?;
        stream.set_nodelay(true)?;
        let ask = format!(
            "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nProxy-Authorization: {authorization}\r\n\r\n"
        );
        stream.write_all(ask.as_bytes()).await?;
        let mut head = Vec::with_capacity(1024);
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(stream.read_buf(&mut head).await? > 0, "the proxy hung up on CONNECT");
            ensure!(head.len() <= MOST_HEAD, "the proxy's answer has no end");
        }
        ensure!(head.starts_with(b"HTTP/1.1 200"), "CONNECT: {}", String::from_utf8_lossy(&head));
        let connector = tokio_rustls::TlsConnector::from(tls.clone());
        let stream = connector.connect(ServerName::try_from(host)?, stream).await.context("TLS")?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { host, sender, connection: tokio::spawn(connection) })
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: String,
    ) -> Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.host)
            .header("content-type", "application/json")
            .header("anthropic-version", "2023-06-01")
            .body(Full::from(body))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
