//! The client: HTTP/1.1 or HTTP/2 over TLS, through a proxy by CONNECT or straight to the upstream.
//!
//! CONNECT is spoken by hand, so that a tunnel is a bare socket and the client costs the same with and without a proxy.

mod connection;

pub(crate) use connection::{Connection, Protocol};

use crate::authority;
use crate::origin::Origin;
use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use http::Uri;
use rustls::pki_types::ServerName;
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
    http1: TlsConnector,
    http2: TlsConnector,
}

/// A proxy and what it asks for.
struct Proxy {
    address: SocketAddr,
    authorization: Option<String>,
    port: Port,
}

/// The port that CONNECT and the requests in the tunnel name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Port {
    /// 443, as for a real upstream; the proxy is told where that is.
    Https,
    /// The upstream's own, for a proxy that can be told an upstream's address but not its port.
    Own,
}

impl Way {
    /// Straight to the upstream.
    pub(crate) fn direct(ca_files: &[impl AsRef<Path>]) -> Result<Self> {
        Self::new(None, ca_files)
    }

    /// Through a proxy that asks for no credentials.
    pub(crate) fn open(address: SocketAddr, port: Port, ca_file: &Path) -> Result<Self> {
        Self::new(Some(Proxy { address, authorization: None, port }), &[ca_file])
    }

    /// Through the proxy at `http://USER:PASSWORD@ADDRESS:PORT`.
    pub(crate) fn through(proxy_url: &str, ca_file: &Path) -> Result<Self> {
        // The URL is a secret: no error may hold it.
        let url: Uri = proxy_url.parse().ok().context("the proxy's URL cannot be read")?;
        let authority = url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let (credentials, address) =
            authority.rsplit_once('@').context("the proxy's URL has no credentials")?;
        let authorization = Some(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(credentials)));
        let address = address.parse().context("the proxy's URL has no address")?;
        Self::new(Some(Proxy { address, authorization, port: Port::Https }), &[ca_file])
    }

    fn new(proxy: Option<Proxy>, ca_files: &[impl AsRef<Path>]) -> Result<Self> {
        // A client without a past: every handshake is a full one.
        let mut config = authority::client(ca_files)?;
        config.resumption = rustls::client::Resumption::disabled();
        let offering = |protocol: Protocol| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.alpn().to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        Ok(Self { proxy, http1: offering(Protocol::Http1), http2: offering(Protocol::Http2) })
    }

    /// A new connection: TCP, CONNECT where there is a proxy, TLS, HTTP.
    pub(crate) async fn connect(
        &self,
        origin: &Origin,
        host: &'static str,
        protocol: Protocol,
    ) -> Result<Connection> {
        let upstream = origin.address(host)?;
        let address = self.proxy.as_ref().map_or(upstream, |proxy| proxy.address);
        // The benchmark's own client, and nothing but loopback: the proxy's dialer has no part in it.
        #[allow(clippy::disallowed_methods)]
        let mut stream = TcpStream::connect(address).await.with_context(|| format!("dialling {address}"))?;
        stream.set_nodelay(true)?;
        let mut authority = Arc::from(host);
        if let Some(proxy) = &self.proxy {
            let port = match proxy.port {
                Port::Https => 443,
                Port::Own => upstream.port(),
            };
            let target = format!("{host}:{port}");
            proxy.tunnel(&mut stream, &target).await.with_context(|| format!("CONNECT {target}"))?;
            if proxy.port == Port::Own {
                authority = target.into();
            }
        }
        let tls = match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        let stream = tls.connect(ServerName::try_from(host)?, stream).await;
        let stream = stream.with_context(|| format!("TLS with {host}"))?;
        Connection::over(stream, authority, protocol).await
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("proxy", &self.proxy.as_ref().map(|p| p.address)).finish_non_exhaustive()
    }
}

impl Proxy {
    async fn tunnel(&self, stream: &mut TcpStream, target: &str) -> Result<()> {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = &self.authorization {
            request += &format!("Proxy-Authorization: {authorization}\r\n");
        }
        stream.write_all((request + "\r\n").as_bytes()).await?;
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
