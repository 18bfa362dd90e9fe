//! A CA that lives as long as the process, and a certificate for whatever name a client asks for.
//!
//! Invariant: the CA's key never leaves this memory.

use anyhow::Result;
use hudson_proxy::tls::crypto_provider;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// The names of a client that asks for none.
const NAMELESS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// How many names are kept; the bound keeps a client that walks through names from filling the memory.
const KEPT: usize = 1000;

/// The CA.
pub(super) struct Authority {
    certificate_pem: String,
    leaves: Arc<Leaves>,
}

impl Authority {
    /// Makes one.
    pub(super) fn make() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = params(&[])?;
        params.distinguished_name.push(DnType::CommonName, "Hudson replay CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate_pem = params.self_signed(&key)?.pem();
        let leaves = Leaves {
            issuer: Issuer::new(params, key),
            key: KeyPair::generate()?,
            provider: crypto_provider(),
            kept: Mutex::default(),
        };
        Ok(Self { certificate_pem, leaves: Arc::new(leaves) })
    }

    /// The certificate, PEM.
    pub(super) fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// TLS with HTTP/2 and HTTP/1.1, for any name.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(self.leaves.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.leaves.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Certificates by name, made when they are asked for.
struct Leaves {
    issuer: Issuer<'static, KeyPair>,
    key: KeyPair,
    provider: Arc<CryptoProvider>,
    // A std mutex: never held over an await.
    kept: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leaves")
    }
}

impl ResolvesServerCert for Leaves {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default().to_owned();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = kept.get(&name) {
            return Some(leaf.clone());
        }
        // A name that cannot stand in a certificate gets none, and the handshake fails.
        let leaf = Arc::new(self.mint(&name).ok()?);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(name, leaf.clone());
        Some(leaf)
    }
}

impl Leaves {
    fn mint(&self, name: &str) -> Result<CertifiedKey> {
        let mut params = match name {
            "" => params(&NAMELESS)?,
            name => params(&[name])?,
        };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&self.key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        Ok(CertifiedKey::new(vec![leaf.der().clone()], self.provider.key_provider.load_private_key(key)?))
    }
}

/// Valid from an hour ago for a month: longer than any test or demonstration, shorter than clients refuse.
fn params(names: &[&str]) -> Result<CertificateParams> {
    const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    let now = std::time::SystemTime::now();
    params.not_before = (now - HOUR).into();
    params.not_after = (now + HOUR * 24 * 30).into();
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_gets_a_certificate() {
        let authority = Authority::make().unwrap();
        assert!(authority.certificate_pem().contains("BEGIN CERTIFICATE"));
        assert!(authority.acceptor().is_ok());
        for name in ["", "api.anthropic.com", "a.test"] {
            assert!(authority.leaves.mint(name).is_ok(), "{name}");
        }
    }
}
