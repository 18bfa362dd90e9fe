//! A server's own certificate authority: a leaf for whatever name a client asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A self-made CA and the leaves it has signed.
pub struct Authority {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    leaf_key: KeyPair,
    leaves: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// A new CA.
    pub fn generate() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, "Hudson provider simulator");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let ca_pem = params.self_signed(&key)?.pem();
        Ok(Self {
            ca_pem,
            issuer: Issuer::new(params, key),
            leaf_key: KeyPair::generate()?,
            leaves: Mutex::default(),
        })
    }

    /// The CA's certificate, as clients are given it.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A leaf for this name and its key, both as PEM, for servers that want files.
    pub fn leaf_pem(&self, name: &str) -> anyhow::Result<(String, String)> {
        let leaf = self.signed(name)?;
        Ok((leaf.pem(), self.leaf_key.serialize_pem()))
    }

    /// TLS as a provider offers it: HTTP/2 first, then HTTP/1.1, also for clients without ALPN.
    pub fn server_config(self) -> anyhow::Result<Arc<rustls::ServerConfig>> {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn leaf(&self, name: &str) -> anyhow::Result<Arc<CertifiedKey>> {
        let mut leaves = self.leaves.lock().expect("no holder panics");
        if let Some(leaf) = leaves.get(name) {
            return Ok(Arc::clone(leaf));
        }
        let certificate = self.signed(name)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.leaf_key.serialize_der()));
        let signer = aws_lc_rs::sign::any_supported_type(&key)?;
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let leaf = Arc::new(CertifiedKey::new(chain, signer));
        leaves.insert(name.to_owned(), Arc::clone(&leaf));
        Ok(leaf)
    }

    fn signed(&self, name: &str) -> anyhow::Result<rcgen::Certificate> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        Ok(params.signed_by(&self.leaf_key, &self.issuer)?)
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.leaf(hello.server_name().unwrap_or("127.0.0.1")).ok()
    }
}
