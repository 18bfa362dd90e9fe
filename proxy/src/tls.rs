//! TLS on both sides: the interception CA and its leaves towards the client, verified TLS towards the upstream.
//!
//! Invariant: a leaf is only ever made for a host that a tunnel with valid credentials asked for, and a client's
//! handshake is only completed after its whole ClientHello was read and its server name found equal to that host.

pub mod authority;
mod client_hello;
mod leaf;
mod opaque_hello;
mod upstream;

pub use authority::{AuthorityError, CertificateAuthority};
pub use client_hello::{AcceptFault, ClientTls, accept};
pub use leaf::{Alpn, LeafCache, LeafError};
pub use opaque_hello::read as read_hello;
pub use upstream::{UpstreamTls, UpstreamTlsError, Wire};

use std::sync::Arc;
use tokio_rustls::rustls::crypto::CryptoProvider;

/// The one crypto provider of the whole program.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider())
}
