//! The ClientHello of an opaque tunnel: read whole however it is split, judged as one that is intercepted would be, and
//! handed back byte by byte, for it is the upstream that answers it.
//!
//! Invariant: not one byte is handed back before the whole hello was found to name the tunnel's host and no other. A
//! hello with Encrypted Client Hello may name a second host that only the upstream can read, so it does not pass; nor
//! does one that only greases the extension, which looks the same on purpose.

use super::client_hello::{AcceptFault, names, no_certificate};
use hudson_schema::config::Host;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::rustls::server::{Accepted, Acceptor};

/// How much is read for a hello, in bytes; rustls itself takes no larger one.
const MAX_HELLO: usize = 64 * 1024;
/// The extension `encrypted_client_hello` (RFC 9849 section 11.1).
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// Reads a hello that names `host`; what was read, for the upstream.
pub async fn read<IO>(io: &mut IO, host: &Host, deadline: Duration) -> Result<Vec<u8>, AcceptFault>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    match tokio::time::timeout(deadline, read_whole(io, host)).await {
        Ok(result) => result,
        Err(_) => Err(AcceptFault::Deadline(deadline)),
    }
}

async fn read_whole<IO>(io: &mut IO, host: &Host) -> Result<Vec<u8>, AcceptFault>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut acceptor = Acceptor::default();
    let mut seen = Vec::with_capacity(2048);
    loop {
        let from = seen.len();
        if io.read_buf(&mut seen).await.map_err(AcceptFault::Handshake)? == 0 {
            return Err(AcceptFault::Handshake(io::ErrorKind::UnexpectedEof.into()));
        }
        let mut fresh = seen.get(from..).unwrap_or_default();
        while !fresh.is_empty() {
            acceptor.read_tls(&mut fresh).map_err(AcceptFault::Handshake)?;
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => return judge(io, accepted, seen, host).await,
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    let _ = alert.write_all(&mut bytes);
                    let _ = io.write_all(&bytes).await;
                    return Err(AcceptFault::Handshake(io::Error::other(error)));
                }
            }
        }
        if seen.len() >= MAX_HELLO {
            return Err(AcceptFault::Handshake(io::Error::other(format!("no hello in {MAX_HELLO} bytes"))));
        }
    }
}

async fn judge<IO>(
    io: &mut IO,
    accepted: Accepted,
    seen: Vec<u8>,
    host: &Host,
) -> Result<Vec<u8>, AcceptFault>
where
    IO: AsyncWrite + Unpin,
{
    let fault = match names(&accepted.client_hello(), host) {
        Ok(()) => match hides_a_name(&seen) {
            false => return Ok(seen),
            true => AcceptFault::EncryptedName,
        },
        Err(fault) => fault,
    };
    let refused = no_certificate().ok().and_then(|config| accepted.into_connection(config).err());
    if let Some((_, mut alert)) = refused {
        let mut bytes = Vec::new();
        let _ = alert.write_all(&mut bytes);
        let _ = io.write_all(&bytes).await;
    }
    Err(fault)
}

/// Whether the extensions of a hello include Encrypted Client Hello. What cannot be read counts as if they did.
fn hides_a_name(records: &[u8]) -> bool {
    extensions(&handshake(records)).is_none_or(|kinds| kinds.contains(&ENCRYPTED_CLIENT_HELLO))
}

/// The handshake messages in the leading handshake records (RFC 8446 section 5.1), without their framing.
fn handshake(mut records: &[u8]) -> Vec<u8> {
    let mut messages = Vec::with_capacity(records.len());
    while let Some((&[22, _, _, high, low], rest)) = records.split_first_chunk::<5>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        messages.extend_from_slice(payload);
        records = rest;
    }
    messages
}

/// The kinds of a ClientHello's extensions (RFC 8446 section 4.1.2); `None` when it cannot be read.
fn extensions(message: &[u8]) -> Option<Vec<u16>> {
    let (&[1, high, middle, low], rest) = message.split_first_chunk::<4>()? else { return None };
    let body = rest.get(..usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))?;
    // Version and random.
    let body = body.get(34..)?;
    let (_, body) = vector::<1>(body)?;
    let (_, body) = vector::<2>(body)?;
    let (_, body) = vector::<1>(body)?;
    let (mut list, _) = vector::<2>(body)?;
    let mut kinds = Vec::new();
    while let Some((kind, rest)) = list.split_first_chunk::<2>() {
        kinds.push(u16::from_be_bytes(*kind));
        list = vector::<2>(rest)?.1;
    }
    list.is_empty().then_some(kinds)
}

/// A vector with its length in `N` bytes in front, and what follows it.
fn vector<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<N>()?;
    rest.split_at_checked(length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio_rustls::rustls::client::{EchGreaseConfig, EchMode};
    use tokio_rustls::rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_128;
    use tokio_rustls::rustls::crypto::hpke::Hpke as _;
    use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

    fn hello(name: &str, ech: bool) -> Vec<u8> {
        let builder = ClientConfig::builder_with_provider(crate::tls::crypto_provider());
        let builder = match ech {
            true => {
                let suite = DH_KEM_X25519_HKDF_SHA256_AES_128;
                let (key, _) = suite.generate_key_pair().unwrap();
                builder.with_ech(EchMode::Grease(EchGreaseConfig::new(suite, key))).unwrap()
            }
            false => builder.with_safe_default_protocol_versions().unwrap(),
        };
        let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let mut client =
            ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    async fn verdict(pieces: &[&[u8]], host: &str) -> Result<Vec<u8>, AcceptFault> {
        let (mut client, mut server) = tokio::io::duplex(1 << 17);
        for piece in pieces {
            client.write_all(piece).await.unwrap();
        }
        drop(client);
        read(&mut server, &Host::parse(host).unwrap(), Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn the_whole_hello_is_handed_back_at_every_split() {
        let bytes = hello("files.example.com", false);
        for at in 0..=bytes.len() {
            let (first, second) = bytes.split_at(at);
            assert_eq!(verdict(&[first, second], "files.example.com").await.unwrap(), bytes, "{at}");
        }
    }

    #[tokio::test]
    async fn a_hello_over_several_records_is_read_as_one() {
        for ech in [false, true] {
            let bytes = hello("files.example.com", ech);
            let (head, payload) = bytes.split_at(5);
            let (first, second) = payload.split_at(payload.len() / 2);
            let record =
                |part: &[u8]| [&head[..3], &u16::try_from(part.len()).unwrap().to_be_bytes(), part].concat();
            let split = [record(first), record(second)].concat();
            assert_eq!(verdict(&[&split], "files.example.com").await.is_ok(), !ech);
        }
    }

    #[tokio::test]
    async fn a_name_that_differs_or_is_hidden_does_not_pass() {
        let other = hello("other.example.com", false);
        let fault = verdict(&[&other], "files.example.com").await.unwrap_err();
        assert!(matches!(fault, AcceptFault::ServerName { .. }), "{fault}");
        let hidden = hello("files.example.com", true);
        let fault = verdict(&[&hidden], "files.example.com").await.unwrap_err();
        assert!(matches!(fault, AcceptFault::EncryptedName), "{fault}");
    }

    #[tokio::test]
    async fn what_is_no_hello_does_not_pass() {
        for bytes in [&b"SSH-2.0-x\r\n"[..], b"POST / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b""] {
            assert!(verdict(&[bytes], "files.example.com").await.is_err(), "{bytes:?}");
        }
    }
}
