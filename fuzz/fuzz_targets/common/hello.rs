//! The reader of a client's first bytes, by its public face.

use hudson_proxy::tls::{Alpn, CertificateAuthority, LeafCache, accept};
use hudson_schema::config::Host;
use hudson_schema::home::Home;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::{join, sink};
use tokio::runtime::{Builder, Runtime};
use tokio_util::io::StreamReader;

/// The host of the tunnel in which the bytes arrive.
const HOST: &str = "files.example.com";

/// What the proxy says to bytes that come in pieces of `size`, after which the client is gone.
pub fn verdict(bytes: &[u8], size: usize) -> String {
    static STAGE: OnceLock<(Runtime, LeafCache)> = OnceLock::new();
    let (runtime, leaves) = STAGE.get_or_init(stage);
    let host = Host::parse(HOST).expect("a host");
    let pieces = bytes.chunks(size.max(1)).map(Ok::<_, io::Error>);
    let stream = join(StreamReader::new(futures_util::stream::iter(pieces)), sink());
    let accepted = runtime.block_on(accept(stream, &host, leaves, Alpn::Http2, Duration::from_secs(60)));
    match accepted {
        Ok(client) => format!("accepted for HTTP/2: {}", client.http2),
        Err(fault) => fault.to_string(),
    }
}

fn stage() -> (Runtime, LeafCache) {
    let home = std::env::temp_dir().join(format!("hudson-hello-{}", std::process::id()));
    let authority = CertificateAuthority::open(&Home::new(&home)).expect("a CA can be made");
    std::fs::remove_dir_all(&home).expect("the CA's files can be removed");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    (runtime, LeafCache::new(authority).expect("leaves can be made"))
}
