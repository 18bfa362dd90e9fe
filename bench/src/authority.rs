//! A certificate authority of the benchmark's own: the upstream's, and that of each peer which is a part of it.

use anyhow::{Result, anyhow};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;

/// A self-made authority.
pub(crate) struct Authority {
    /// What a client has to trust.
    pub(crate) ca_pem: String,
    /// Its key, for a peer that wants it as a file.
    pub(crate) key_pem: String,
    /// What signs.
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one of this name.
    pub(crate) fn generate(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let (ca_pem, key_pem) = (params.self_signed(&key)?.pem(), key.serialize_pem());
        Ok(Self { ca_pem, key_pem, issuer: Issuer::new(params, key) })
    }

    /// TLS as a server of these names: HTTP/2 first, as providers offer it.
    pub(crate) fn server(&self, names: &[&str]) -> Result<Arc<ServerConfig>> {
        let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(names)?.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// TLS as a client that trusts the authorities in these files and no other; it offers no protocol yet.
pub(crate) fn client(ca_files: &[impl AsRef<Path>]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for file in ca_files {
        let file = file.as_ref();
        let reading = |error| anyhow!("reading {}: {error}", file.display());
        for certificate in CertificateDer::pem_file_iter(file).map_err(reading)? {
            // A bundle of the system's may hold what rustls does not take.
            roots.add_parsable_certificates([certificate.map_err(reading)?]);
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
