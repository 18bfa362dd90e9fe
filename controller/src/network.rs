//! Listeners and the dialer, from settings and flags.

use crate::cli::NetworkArgs;
use anyhow::{Context, Result};
use hudson_proxy::ProxyLimits;
use hudson_proxy::dial::{DialLimits, Dialer};
use hudson_proxy::tls::UpstreamTls;
use hudson_proxy::tunnel::TunnelLimits;
use hudson_schema::config::{ProxySettings, RefuseAt, Settings};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

/// Binds every address; port 0 takes any free port.
pub async fn listen(addresses: &[SocketAddr]) -> Result<(Vec<TcpListener>, Vec<SocketAddr>)> {
    let mut listeners = Vec::new();
    let mut bound = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}; is another hudson running there?"))?;
        bound.push(listener.local_addr()?);
        listeners.push(listener);
    }
    Ok((listeners, bound))
}

/// The way out.
pub fn dialer(arguments: &NetworkArgs, settings: &ProxySettings, own: Vec<SocketAddr>) -> Result<Dialer> {
    Ok(Dialer {
        connect_to: arguments.connect_to.clone(),
        own,
        tls: UpstreamTls::new(arguments.upstream_ca.iter().map(PathBuf::as_path))?,
        limits: DialLimits { connect: settings.connect_timeout.0, tls: settings.tls_timeout.0 },
    })
}

/// The proxy's limits.
pub fn limits(settings: &Settings) -> ProxyLimits {
    let refuse_connect = settings.refuse == RefuseAt::Connect;
    let settings = &settings.proxy;
    let size = |limit: std::num::NonZeroU32| usize::try_from(limit.get()).unwrap_or(usize::MAX);
    ProxyLimits {
        tunnels: TunnelLimits {
            total: size(settings.max_tunnels),
            per_bottle: size(settings.max_tunnels_per_bottle),
        },
        header: settings.header_timeout.0,
        tls: settings.tls_timeout.0,
        response: settings.response_timeout.0,
        idle: settings.idle_timeout.0,
        header_bytes: size(settings.max_header_bytes),
        body_bytes: size(settings.max_body_bytes),
        detached: size(settings.max_detached),
        detached_time: settings.detached_timeout.0,
        refuse_connect,
    }
}

/// Writes a ready file in one step, so that who waits for it never reads half of it.
pub fn write_ready(path: &Path, value: &serde_json::Value) -> Result<()> {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, format!("{value}\n"))
        .and_then(|()| std::fs::rename(&fresh, path))
        .with_context(|| format!("cannot write the ready file {}", path.display()))
}
