//! Leaf certificates: one a host, minted once however many tunnels ask at the same moment, and cached so that clients
//! can resume their sessions.
//!
//! Invariant: leaves have a key of their own, never the CA's, and carry the name the client asked for as what it is:
//! a DNS name or an IP address.

use super::authority::{BACKDATE, CertificateAuthority};
use super::crypto_provider;
use hudson_schema::config::Host;
use moka::sync::Cache;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::{self, ServerConfig};

/// How long a leaf lives. Short: it only has to outlive the cache entry.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a leaf is served from the cache.
const CACHED: Duration = Duration::from_secs(24 * 3600);
/// How many hosts are cached; the bound keeps an agent that walks through names from filling the memory.
const HOSTS: u64 = 10_000;

/// What the client may speak inside the tunnel: what the upstream was found to speak.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Alpn {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 or HTTP/1.1.
    Http2,
}

/// Makes and keeps the server side of TLS for each host.
pub struct LeafCache {
    authority: CertificateAuthority,
    key: KeyPair,
    provider: Arc<rustls::crypto::CryptoProvider>,
    configs: Cache<(Host, Alpn), Arc<ServerConfig>>,
}

impl LeafCache {
    /// A cache that signs with this CA.
    pub fn new(authority: CertificateAuthority) -> Result<Self, rcgen::Error> {
        Ok(Self {
            authority,
            key: KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?,
            provider: crypto_provider(),
            configs: Cache::builder().max_capacity(HOSTS).time_to_live(CACHED).build(),
        })
    }

    /// The TLS configuration for `host`.
    pub fn config(&self, host: &Host, alpn: Alpn) -> Result<Arc<ServerConfig>, LeafError> {
        self.configs
            .try_get_with((host.clone(), alpn), || self.mint(host, alpn).map(Arc::new))
            .map_err(|error| LeafError(error.to_string()))
    }

    fn mint(&self, host: &Host, alpn: Alpn) -> Result<ServerConfig, LeafError> {
        let fault = |error: &dyn std::fmt::Display| LeafError(format!("{host}: {error}"));
        // rcgen makes an IP SAN of a text that is an IP address and a DNS SAN of any other.
        let name = host.ip().map_or_else(|| host.to_string(), |ip| ip.to_string());
        let mut params = CertificateParams::new(vec![name.clone()]).map_err(|error| fault(&error))?;
        params.distinguished_name = DistinguishedName::new();
        // A common name is at most 64 characters long (RFC 5280, ub-common-name); clients read the SAN.
        params.distinguished_name.push(DnType::CommonName, name.chars().take(64).collect::<String>());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let now = SystemTime::now();
        params.not_before = (now - BACKDATE).into();
        params.not_after = (now + LIFETIME).into();
        let leaf = params.signed_by(&self.key, self.authority.issuer()).map_err(|error| fault(&error))?;
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(&error))?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .map_err(|error| fault(&error))?;
        config.alpn_protocols = match alpn {
            Alpn::Http1 => vec![b"http/1.1".to_vec()],
            Alpn::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        Ok(config)
    }
}

/// A leaf that cannot be made.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot make a certificate for {0}")]
pub struct LeafError(String);

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::home::Home;

    #[test]
    fn a_leaf_is_minted_once_under_concurrency() {
        let folder = tempfile::tempdir().unwrap();
        let cache = LeafCache::new(CertificateAuthority::open(&Home::new(folder.path())).unwrap()).unwrap();
        let configs: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| cache.config(&Host::parse("a.test").unwrap(), Alpn::Http2).unwrap()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(configs.windows(2).all(|pair| Arc::ptr_eq(&pair[0], &pair[1])));
        for host in ["127.0.0.1", "[::1]"] {
            assert!(cache.config(&Host::parse(host).unwrap(), Alpn::Http1).is_ok());
        }
    }
}
