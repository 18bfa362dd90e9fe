//! The least that interception can cost: CONNECT, TLS on both sides, and bytes. Nothing of HTTP is read, so this is not a
//! proxy that anybody could use; it is the limit that a proxy can come near to.

use crate::authority::{self, Authority};
use crate::child::{self, Ready, Upstream};
use anyhow::{Context as _, Result, bail, ensure};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A longer request is no CONNECT.
const MOST_HEAD: usize = 16 * 1024;
/// What is copied at once: as much as a TLS record holds.
const RECORD: usize = 16 * 1024;

struct Relay {
    upstream: Upstream,
    authority: Authority,
    /// TLS towards the client, by host: a leaf is made once.
    leaves: Mutex<HashMap<String, Arc<ServerConfig>>>,
    http1: TlsConnector,
    http2: TlsConnector,
}

/// In the child: serves until the benchmark ends.
pub(crate) fn serve(ready: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let relay = Relay::new(child::told(ready)?)?;
    let ca_file = child::write_ca(ready, &relay.authority.ca_pem)?;
    let tells = Ready { address: listener.local_addr()?, ca_file };
    runtime.spawn(accept(listener, Arc::new(relay)));
    child::serve_until_orphaned(ready, &tells, runtime)
}

async fn accept(listener: TcpListener, relay: Arc<Relay>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let relay = Arc::clone(&relay);
        // A tunnel that breaks is seen where it is measured.
        tokio::spawn(async move { relay.tunnel(stream).await });
    }
}

impl Relay {
    fn new(upstream: Upstream) -> Result<Self> {
        let config = authority::client(&upstream.ca_files)?;
        let offering = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        let (http1, http2) = (offering(b"http/1.1"), offering(b"h2"));
        let authority = Authority::generate("Hudson benchmark relay")?;
        Ok(Self { upstream, authority, leaves: Mutex::default(), http1, http2 })
    }

    async fn tunnel(&self, mut client: TcpStream) -> Result<()> {
        client.set_nodelay(true)?;
        let host = connect(&mut client).await?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        let mut client = TlsAcceptor::from(self.leaf(&host)?).accept(client).await?;

        let address = *self.upstream.hosts.get(&host).with_context(|| format!("no upstream is {host}"))?;
        // Nothing but the benchmark's own upstream: the proxy's dialer has no part in it.
        #[allow(clippy::disallowed_methods)]
        let upstream = TcpStream::connect(address).await?;
        upstream.set_nodelay(true)?;
        // What the client speaks is what the upstream gets.
        let tls = if client.get_ref().1.alpn_protocol() == Some(b"h2") { &self.http2 } else { &self.http1 };
        let mut upstream = tls.connect(ServerName::try_from(host)?, upstream).await?;
        copy_bidirectional_with_sizes(&mut client, &mut upstream, RECORD, RECORD).await?;
        Ok(())
    }

    fn leaf(&self, host: &str) -> Result<Arc<ServerConfig>> {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = leaves.get(host) {
            return Ok(Arc::clone(config));
        }
        let config = self.authority.server(&[host])?;
        leaves.insert(host.to_owned(), Arc::clone(&config));
        Ok(config)
    }
}

/// The host that a CONNECT names.
async fn connect(client: &mut TcpStream) -> Result<String> {
    // Nothing follows the request before its answer.
    let mut head = Vec::with_capacity(1024);
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(client.read_buf(&mut head).await? > 0, "the client hung up");
        ensure!(head.len() <= MOST_HEAD, "the request has no end");
    }
    let head = std::str::from_utf8(&head)?;
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    match target.and_then(|target| target.rsplit_once(':')) {
        Some((host, _)) => Ok(host.to_owned()),
        None => bail!("no CONNECT: {head}"),
    }
}
