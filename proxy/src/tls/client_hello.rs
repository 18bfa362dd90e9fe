//! The client's side of a tunnel: the whole ClientHello is read, however it is split, before anything is decided.
//!
//! Invariant: nothing that is not a ClientHello naming the tunnel's own host gets further; a name that differs, or is
//! missing where the host has one, ends in a TLS alert.

use super::leaf::{Alpn, LeafCache, LeafError};
use hudson_schema::config::Host;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

/// A client whose handshake is done.
pub struct ClientTls<IO> {
    /// The decrypted stream.
    pub stream: TlsStream<IO>,
    /// Whether HTTP/2 was agreed on; HTTP/1.1 otherwise, also without ALPN.
    pub http2: bool,
}

/// Why a handshake did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptFault {
    /// The hello or the handshake took too long.
    #[error("the TLS handshake took longer than {0:?}")]
    Deadline(Duration),
    /// The first bytes are no TLS, or the handshake failed.
    #[error("no TLS handshake: {0}")]
    Handshake(#[source] io::Error),
    /// The hello's server name is not the tunnel's host.
    #[error("the tunnel is to {expected}, the TLS server name is {}", found.as_deref().unwrap_or("missing"))]
    ServerName {
        /// The tunnel's host.
        expected: String,
        /// What the hello names.
        found: Option<String>,
    },
    /// The hello of an opaque tunnel hides a name that cannot be checked.
    #[error(
        "the hello has an encrypted name (RFC 9849), which an opaque tunnel cannot check; switch Encrypted Client Hello off in the client"
    )]
    EncryptedName,
    /// No leaf could be made.
    #[error(transparent)]
    Leaf(#[from] LeafError),
}

/// Takes a client's TLS for `host`, offering what the upstream speaks.
pub async fn accept<IO>(
    io: IO,
    host: &Host,
    leaves: &LeafCache,
    alpn: Alpn,
    deadline: Duration,
) -> Result<ClientTls<IO>, AcceptFault>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    match tokio::time::timeout(deadline, handshake(io, host, leaves, alpn)).await {
        Ok(result) => result,
        Err(_) => Err(AcceptFault::Deadline(deadline)),
    }
}

async fn handshake<IO>(
    io: IO,
    host: &Host,
    leaves: &LeafCache,
    alpn: Alpn,
) -> Result<ClientTls<IO>, AcceptFault>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let start = LazyConfigAcceptor::new(Acceptor::default(), io).await.map_err(AcceptFault::Handshake)?;
    if let Err(fault) = names(&start.client_hello(), host) {
        // A resolver without a certificate makes rustls send the alert.
        if let Ok(config) = no_certificate() {
            let _ = start.into_stream(config).await;
        }
        return Err(fault);
    }
    let config = leaves.config(host, alpn)?;
    let stream = start.into_stream(config).await.map_err(AcceptFault::Handshake)?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(ClientTls { stream, http2 })
}

/// Whether the hello's server name is the tunnel's host.
pub(super) fn names(hello: &ClientHello<'_>, host: &Host) -> Result<(), AcceptFault> {
    let name = hello.server_name().map(str::to_ascii_lowercase);
    let equal = match &name {
        Some(name) => Host::parse(name).is_ok_and(|name| name == *host),
        // RFC 6066 section 3: an IP address is not sent as a server name.
        None => host.ip().is_some(),
    };
    match equal {
        true => Ok(()),
        false => Err(AcceptFault::ServerName { expected: host.to_string(), found: name }),
    }
}

/// A server side that has no certificate for anybody: its alert ends a handshake.
pub(super) fn no_certificate() -> Result<Arc<ServerConfig>, rustls::Error> {
    #[derive(Debug)]
    struct Nothing;

    impl ResolvesServerCert for Nothing {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            None
        }
    }

    let builder = ServerConfig::builder_with_provider(super::crypto_provider())
        .with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(Nothing))))
}
