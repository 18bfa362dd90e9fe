//! Listeners and the dialer, from settings and flags.

use crate::cli::NetworkArgs;
use anyhow::{Context, Result};
use hudson_proxy::dial::{DialLimits, Dialer};
use hudson_proxy::resolve::Resolver;
use hudson_proxy::tls::UpstreamTls;
use hudson_proxy::tunnel::TunnelLimits;
use hudson_proxy::{Listener, OwnListeners, PlaceLimits, ProxyLimits};
use hudson_schema::config::{ListenAddress, ProxySettings, RefuseAt, Settings};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Binds an address; port 0 takes any free port.
pub async fn listen(address: &ListenAddress, own: &OwnListeners) -> Result<Listener> {
    Listener::bind(address, own).await.with_context(|| match address {
        ListenAddress::Tcp(_) => format!("cannot listen on {address}; is another hudson running there?"),
        ListenAddress::Unix { .. } => format!("cannot listen on {address}"),
    })
}

/// The address of a proxy that a proxy URL can name.
pub fn first_tcp(addresses: &[ListenAddress]) -> Result<SocketAddr> {
    addresses.iter().find_map(ListenAddress::tcp).with_context(|| {
        let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        format!(
            "the proxy listens on {} only, which no proxy URL can name; add a TCP address such as 127.0.0.1:8899 to \
             proxy.listen or --listen",
            listed.join(", ")
        )
    })
}

/// The way out.
pub fn dialer(arguments: &NetworkArgs, settings: &ProxySettings, own: OwnListeners) -> Result<Dialer> {
    Ok(Dialer {
        connect_to: arguments.connect_to.clone(),
        own,
        resolver: Resolver::default(),
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
        places: PlaceLimits {
            total: size(settings.max_unidentified),
            per_address: size(settings.max_unidentified_per_address),
            per_bottle: size(settings.max_tunnels_per_bottle),
        },
        header: settings.header_timeout.0,
        body: settings.body_timeout.0,
        tls: settings.tls_timeout.0,
        response: settings.response_timeout.0,
        idle: settings.idle_timeout.0,
        header_bytes: size(settings.max_header_bytes),
        headers: size(settings.max_headers),
        streams: settings.max_streams.get(),
        pending_resets: size(settings.max_pending_resets),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_url_names_the_first_tcp_address_or_says_that_there_is_none() {
        let addresses = |texts: &[&str]| -> Vec<ListenAddress> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let found = first_tcp(&addresses(&["unix:/run/h.sock", "10.0.0.1:1", "10.0.0.1:2"])).unwrap();
        assert_eq!(found.to_string(), "10.0.0.1:1");
        let error = first_tcp(&addresses(&["unix:/run/h.sock"])).unwrap_err().to_string();
        assert!(error.contains("unix:/run/h.sock only") && error.contains("proxy.listen"), "{error}");
    }
}
