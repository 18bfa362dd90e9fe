//! hudsucker as its users would run it, passing everything on: HTTP/2 on both sides, and its pooled client.
//!
//! Three things are not its defaults. It never sets TCP_NODELAY, which costs 40 ms at every turn, so the listener has it
//! and every accepted socket inherits it. Its connections go to the benchmark's upstream, under the names that were
//! asked for. And its leaves are made before and not when they are asked for first, because its own authority would bring
//! a second crypto library into the workspace.

use crate::authority::{self, Authority};
use crate::child::{self, Ready, Upstream};
use anyhow::{Result, anyhow};
use http::Uri;
use http::uri;
use hudsucker::Proxy;
use hudsucker::certificate_authority::CertificateAuthority;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::net::sockopt::set_tcp_nodelay;
use rustls::ServerConfig;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tower_service::Service;

/// In the child: serves until the benchmark ends.
pub(crate) fn serve(ready: &Path) -> Result<()> {
    let upstream: Upstream = child::told(ready)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    set_tcp_nodelay(&listener, true)?;
    let authority = Authority::generate("Hudson benchmark hudsucker")?;
    let ca_file = child::write_ca(ready, &authority.ca_pem)?;
    let tells = Ready { address: listener.local_addr()?, ca_file };

    let leaves = Leaves::of(&authority, upstream.hosts.keys())?;
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(authority::client(&upstream.ca_files)?)
        .https_only()
        .enable_http1()
        .enable_http2()
        .wrap_connector(Redirect::to(upstream.hosts));
    let proxy = Proxy::builder()
        .with_listener(listener)
        .with_ca(leaves)
        .with_http_connector(connector)
        .build()
        .map_err(|error| anyhow!("building hudsucker: {error}"))?;
    runtime.spawn(proxy.start());
    child::serve_until_orphaned(ready, &tells, runtime)
}

/// TLS towards the client, by host.
struct Leaves {
    of: BTreeMap<String, Arc<ServerConfig>>,
    /// For a host that is not the benchmark's; no client trusts it.
    nobody: Arc<ServerConfig>,
}

impl Leaves {
    fn of<'h>(authority: &Authority, hosts: impl Iterator<Item = &'h String>) -> Result<Self> {
        let of = hosts.map(|host| Ok((host.clone(), authority.server(&[host])?)));
        Ok(Self { of: of.collect::<Result<_>>()?, nobody: authority.server(&[])? })
    }
}

impl CertificateAuthority for Leaves {
    async fn gen_server_config(&self, host: &uri::Authority) -> Arc<ServerConfig> {
        Arc::clone(self.of.get(host.host()).unwrap_or(&self.nobody))
    }
}

/// Dials the benchmark's upstream, whatever the port that was asked for.
#[derive(Clone)]
struct Redirect {
    hosts: Arc<BTreeMap<String, SocketAddr>>,
    inner: HttpConnector,
}

impl Redirect {
    fn to(hosts: BTreeMap<String, SocketAddr>) -> Self {
        let mut inner = HttpConnector::new();
        inner.set_nodelay(true);
        Self { hosts: Arc::new(hosts), inner }
    }
}

impl Service<Uri> for Redirect {
    type Response = <HttpConnector as Service<Uri>>::Response;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = <HttpConnector as Service<Uri>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, asked: Uri) -> Self::Future {
        let address = asked.host().and_then(|host| self.hosts.get(host));
        let upstream = address.and_then(|address| format!("http://{address}/").parse().ok());
        // A host that is not the benchmark's has no address that could be dialled, and fails as such.
        self.inner.call(upstream.unwrap_or_default())
    }
}
