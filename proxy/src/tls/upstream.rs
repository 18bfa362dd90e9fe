//! TLS towards the upstream: verified against the system's roots and the files an operator names, never without.

use super::crypto_provider;
use hudson_schema::config::ClientCertificate;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{self, ClientConfig, ConfigBuilder, RootCertStore};

/// Dials TLS with one set of roots.
#[derive(Clone)]
pub struct UpstreamTls {
    roots: Arc<RootCertStore>,
    /// Offers HTTP/2, then HTTP/1.1.
    preferred: TlsConnector,
    /// Offers HTTP/1.1 alone.
    http1: TlsConnector,
}

/// What is spoken to an upstream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Wire {
    /// HTTP/2 where the upstream speaks it, HTTP/1.1 where it does not.
    Preferred,
    /// HTTP/1.1 alone: an upgrade exists nowhere else.
    Http1,
}

/// Why there is no configuration for upstream TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamTlsError {
    /// A CA file cannot be read or holds no certificate.
    #[error("{}: {why}; expected a PEM file with at least one certificate", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A client certificate cannot be used.
    #[error("{}: {why}; expected PEM files with a certificate and its key", path.display())]
    ClientCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There are no roots at all.
    #[error(
        "no trusted roots: the system has none and no CA file is named; install ca-certificates or name one with --upstream-ca"
    )]
    NoRoots,
    /// rustls refuses the configuration.
    #[error("upstream TLS: {0}")]
    Config(#[from] rustls::Error),
}

impl UpstreamTls {
    /// TLS that trusts the system's roots and those in `ca_files`.
    pub fn new<'a>(ca_files: impl IntoIterator<Item = &'a Path>) -> Result<Self, UpstreamTlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for path in ca_files {
            add_file(&mut roots, path)?;
        }
        Self::with_roots(roots)
    }

    /// TLS that trusts the certificate authorities in `ca_file` and no other (`upstream.ca_file` of a route).
    pub fn only(ca_file: &Path) -> Result<Self, UpstreamTlsError> {
        let mut roots = RootCertStore::empty();
        add_file(&mut roots, ca_file)?;
        Self::with_roots(roots)
    }

    /// The same trust, and a certificate that is shown to a host that asks for one. Its files are read now: a
    /// certificate that is replaced takes effect with the next reload.
    pub fn with_client_certificate(&self, files: &ClientCertificate) -> Result<Self, UpstreamTlsError> {
        let fault = |path: &Path, why: &dyn std::fmt::Display| UpstreamTlsError::ClientCertificate {
            path: path.to_owned(),
            why: why.to_string(),
        };
        let path = &files.certificate_file;
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(path).map_err(|error| fault(path, &error))?.collect();
        let chain = chain.map_err(|error| fault(path, &error))?;
        let path = &files.key_file;
        let key = PrivateKeyDer::from_pem_file(path).map_err(|error| fault(path, &error))?;
        let config = builder(self.roots.clone())?
            .with_client_auth_cert(chain, key)
            .map_err(|error| fault(&files.certificate_file, &error))?;
        Ok(Self::of(self.roots.clone(), config))
    }

    fn with_roots(roots: RootCertStore) -> Result<Self, UpstreamTlsError> {
        if roots.is_empty() {
            return Err(UpstreamTlsError::NoRoots);
        }
        let roots = Arc::new(roots);
        let config = builder(roots.clone())?.with_no_client_auth();
        Ok(Self::of(roots, config))
    }

    fn of(roots: Arc<RootCertStore>, mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut http1 = config.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            roots,
            preferred: TlsConnector::from(Arc::new(config)),
            http1: TlsConnector::from(Arc::new(http1)),
        }
    }

    /// Handshakes for `name` over a connected stream.
    pub async fn connect(
        &self,
        wire: Wire,
        name: ServerName<'static>,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        match wire {
            Wire::Preferred => self.preferred.connect(name, stream).await,
            Wire::Http1 => self.http1.connect(name, stream).await,
        }
    }
}

fn builder(roots: Arc<RootCertStore>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots))
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), UpstreamTlsError> {
    let fault = |why: String| UpstreamTlsError::CaFile { path: path.to_owned(), why };
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?.collect();
    let certificates = certificates.map_err(|error| fault(error.to_string()))?;
    if certificates.is_empty() {
        return Err(fault("no certificate in it".to_owned()));
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    Ok(())
}
