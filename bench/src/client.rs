//! The client: HTTP/1.1 over TLS, through a proxy by CONNECT or straight to the upstream.
//!
//! CONNECT is spoken by hand, so that a tunnel is a bare socket and the client costs the same with and without a proxy.

use crate::origin::Origin;
use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A longer answer to CONNECT is none.
const MOST_HEAD: usize = 16 * 1024;

/// How the upstream is reached.
pub(crate) struct Way {
    proxy: Option<Proxy>,
    tls: TlsConnector,
}

/// A proxy and what it asks for.
struct Proxy {
    address: SocketAddr,
    authorization: String,
}

/// One connection to one host.
pub(crate) struct Connection {
    host: &'static str,
    sender: SendRequest<Full<Bytes>>,
    task: tokio::task::JoinHandle<()>,
}

impl Way {
    /// Straight to the upstream.
    pub(crate) fn direct(ca_files: &[impl AsRef<Path>]) -> Result<Self> {
        Ok(Self { proxy: None, tls: connector(ca_files)? })
    }

    /// Through the proxy at `http://USER:PASSWORD@ADDRESS:PORT`.
    pub(crate) fn through(proxy_url: &str, ca_file: &Path) -> Result<Self> {
        // The URL is a secret: no error may hold it.
        let url: Uri = proxy_url.parse().ok().context("the proxy's URL cannot be read")?;
        let authority = url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let (credentials, address) =
            authority.rsplit_once('@').context("the proxy's URL has no credentials")?;
        let authorization = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(credentials));
        let address = address.parse().context("the proxy's URL has no address")?;
        Ok(Self { proxy: Some(Proxy { address, authorization }), tls: connector(&[ca_file])? })
    }

    /// A new connection: TCP, CONNECT where there is a proxy, TLS, HTTP/1.1.
    pub(crate) async fn connect(&self, origin: &Origin, host: &'static str) -> Result<Connection> {
        let address = match &self.proxy {
            Some(proxy) => proxy.address,
            None => origin.address(host)?,
        };
        // The benchmark's own client, and nothing but loopback: the proxy's dialer has no part in it.
        #[allow(clippy::disallowed_methods)]
        let mut stream = TcpStream::connect(address).await.with_context(|| format!("dialling {address}"))?;
        stream.set_nodelay(true)?;
        if let Some(proxy) = &self.proxy {
            proxy.tunnel(&mut stream, host).await.with_context(|| format!("CONNECT {host}"))?;
        }
        let name = ServerName::try_from(host)?;
        let stream = self.tls.connect(name, stream).await.with_context(|| format!("TLS with {host}"))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // A connection that breaks fails the request on it, which is where it is reported.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { host, sender, task })
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("proxy", &self.proxy.as_ref().map(|p| p.address)).finish_non_exhaustive()
    }
}

impl Proxy {
    async fn tunnel(&self, stream: &mut TcpStream, host: &str) -> Result<()> {
        let request = format!(
            "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nProxy-Authorization: {}\r\n\r\n",
            self.authorization
        );
        stream.write_all(request.as_bytes()).await?;
        // Nothing follows the answer before the client's own hello.
        let mut head = Vec::with_capacity(1024);
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(stream.read_buf(&mut head).await? > 0, "the proxy hung up");
            ensure!(head.len() <= MOST_HEAD, "the proxy's answer has no end");
        }
        if !head.starts_with(b"HTTP/1.1 200") {
            bail!("the proxy answers {:?}", String::from_utf8_lossy(&head));
        }
        Ok(())
    }
}

impl Connection {
    /// Sends a request; an answer that is no 200 is an error, since it is no figure.
    pub(crate) async fn send(&mut self, method: http::Method, path: &str, body: Bytes) -> Result<Incoming> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.host)
            .header("anthropic-version", "2023-06-01")
            .header("x-api-key", "sk-ant-benchmark")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        if status != http::StatusCode::OK {
            let body = response.into_body().collect().await?.to_bytes();
            bail!("{} answers {status}: {}", self.host, String::from_utf8_lossy(&body));
        }
        Ok(response.into_body())
    }

    /// Sends a request and reads the answer to its end; how long it is.
    pub(crate) async fn exchange(&mut self, method: http::Method, path: &str, body: Bytes) -> Result<usize> {
        let mut body = self.send(method, path, body).await?;
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(length)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// TLS as a client without a past: HTTP/1.1 by ALPN, every handshake a full one.
fn connector(ca_files: &[impl AsRef<Path>]) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for file in ca_files {
        let file = file.as_ref();
        let reading = || format!("reading {}", file.display());
        for certificate in CertificateDer::pem_file_iter(file).with_context(reading)? {
            // A bundle of the system's may hold what rustls does not take.
            roots.add_parsable_certificates([certificate.with_context(reading)?]);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}
