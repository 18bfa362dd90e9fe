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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::CertificateAuthority;
    use hudson_schema::home::Home;
    use proptest::prelude::*;
    use std::sync::LazyLock;
    use tokio::runtime::{Builder, Runtime};
    use tokio_rustls::rustls::client::{ClientConfig, ClientConnection};
    use tokio_util::io::StreamReader;

    static STAGE: LazyLock<(Runtime, LeafCache)> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::open(&Home::new(folder.path())).unwrap();
        (Builder::new_current_thread().enable_all().build().unwrap(), LeafCache::new(authority).unwrap())
    });

    /// The message of a hello for a name, without its record's header.
    fn message(name: &'static str, protocols: &[&str]) -> Vec<u8> {
        let builder = ClientConfig::builder_with_provider(crate::tls::crypto_provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut client = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes.split_off(5)
    }

    /// A message in records that end at these places.
    fn records(message: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut records = Vec::new();
        for part in pieces(message, cuts) {
            records.extend([22, 3, 1]);
            records.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
            records.extend(part);
        }
        records
    }

    fn pieces(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len().max(1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        cuts.windows(2).map(|ends| bytes[ends[0]..ends[1]].to_vec()).collect()
    }

    /// The type of the record that is answered, and the verdict, when bytes come in these pieces and then no more.
    fn verdict(pieces: Vec<Vec<u8>>) -> (Option<u8>, String) {
        verdict_of(Alpn::Http2, pieces)
    }

    /// The same where the upstream speaks this.
    fn verdict_of(alpn: Alpn, pieces: Vec<Vec<u8>>) -> (Option<u8>, String) {
        let (runtime, leaves) = &*STAGE;
        let host = Host::parse("a.test").unwrap();
        let reader = StreamReader::new(futures_util::stream::iter(
            pieces.into_iter().map(|piece| Ok::<_, io::Error>(io::Cursor::new(piece))),
        ));
        runtime.block_on(async {
            let mut answer = Vec::new();
            let stream = tokio::io::join(reader, &mut answer);
            let accepted = accept(stream, &host, leaves, alpn, Duration::from_secs(60)).await;
            let fault = accepted.err().map(|fault| fault.to_string()).unwrap_or_default();
            (answer.first().copied(), fault)
        })
    }

    const SERVER_HELLO: Option<u8> = Some(22);
    const ALERT: Option<u8> = Some(21);

    #[test]
    fn a_hello_cut_at_any_offset_gets_the_verdict_of_the_whole() {
        for (name, answer) in [("a.test", SERVER_HELLO), ("b.test", ALERT)] {
            let message = message(name, &[]);
            let bytes = records(&message, &[]);
            let whole = verdict(vec![bytes.clone()]);
            assert_eq!(whole.0, answer, "{name}: {}", whole.1);
            for cut in 1..bytes.len() {
                assert_eq!(verdict(pieces(&bytes, &[cut])), whole, "{name} cut at {cut}");
            }
            for cut in 1..message.len() {
                assert_eq!(verdict(vec![records(&message, &[cut])]), whole, "{name} in records cut at {cut}");
            }
        }
    }

    #[test]
    fn what_the_upstream_does_not_speak_is_not_spoken() {
        for (alpn, offered, spoken) in [
            (Alpn::Http1, &["h2"][..], false),
            (Alpn::Http1, &["h2", "http/1.1"], true),
            (Alpn::Http1, &[], true),
            (Alpn::Http2, &["h2"], true),
            (Alpn::Http2, &["http/1.1"], true),
            (Alpn::Http2, &["h3"], false),
        ] {
            let (_, fault) = verdict_of(alpn, vec![records(&message("a.test", offered), &[])]);
            assert_eq!(!fault.contains("known protocol"), spoken, "{offered:?} to {alpn:?}: {fault}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_records_in_any_pieces_get_the_verdict_of_the_whole(
            own: bool,
            of_records in prop::collection::vec(any::<usize>(), 0..20),
            of_pieces in prop::collection::vec(any::<usize>(), 0..40),
        ) {
            let message = message(if own { "a.test" } else { "b.test" }, &["h2"]);
            let whole = verdict(vec![records(&message, &[])]);
            prop_assert_eq!(whole.0, if own { SERVER_HELLO } else { ALERT });
            prop_assert_eq!(verdict(pieces(&records(&message, &of_records), &of_pieces)), whole);
        }

        #[test]
        fn any_bytes_get_one_verdict_in_any_pieces(
            mut bytes in prop::collection::vec(any::<u8>(), 1..200),
            as_record: bool,
            of_pieces in prop::collection::vec(any::<usize>(), 0..40),
        ) {
            if as_record {
                bytes.splice(..bytes.len().min(3), [22, 3, 1]);
            }
            let whole = verdict(vec![bytes.clone()]);
            prop_assert_ne!(whole.0, SERVER_HELLO);
            prop_assert_eq!(verdict(pieces(&bytes, &of_pieces)), whole);
        }
    }
}
