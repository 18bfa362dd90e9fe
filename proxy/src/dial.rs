//! The one way out: resolve once, check every address, connect to the address that was checked.
//!
//! Invariant: no other code of the proxy opens a connection, and what is connected to is always an address that
//! passed the check for this very dial; a second resolution cannot slip in between. Behind a corporate proxy the
//! checked address is that proxy's: it resolves the host's name itself, so only a host that is an address is checked.

mod corporate;

use crate::listener::OwnListeners;
use crate::policy::address::{self, AddressFault};
use crate::resolve::Resolver;
use crate::tls::{UpstreamTls, Wire};
use hudson_schema::config::{Authority, Host, IpNetwork, Scheme};
use rustls::pki_types::ServerName;
use secrecy::SecretString;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;

/// Opens connections to upstreams.
#[derive(Clone)]
pub struct Dialer {
    /// Redirections of the dial, for tests and corporate networks.
    pub connect_to: Vec<ConnectTo>,
    /// Hudson's own listeners; never dialled, whatever a route allows.
    pub own: OwnListeners,
    /// Names to addresses.
    pub resolver: Resolver,
    /// TLS without a route's own CA file.
    pub tls: UpstreamTls,
    /// Limits in time.
    pub limits: DialLimits,
}

/// How long dialling may take.
#[derive(Clone, Copy, Debug)]
pub struct DialLimits {
    /// Resolving and connecting.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
}

/// `HOST:PORT:ADDRESS:PORT`, as in curl's `--connect-to`: only the dial changes, names and policy stay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectTo {
    from: Authority,
    to: Authority,
}

/// What to dial.
pub struct Target<'a> {
    /// TLS or not.
    pub scheme: Scheme,
    /// The host, also the name the certificate must carry.
    pub host: &'a Host,
    /// The port.
    pub port: u16,
    /// Which versions of HTTP are offered to it.
    pub wire: Wire,
    /// Ranges beyond the public internet that the route may reach.
    pub allow: &'a [IpNetwork],
    /// TLS with the route's own CA file; the dialer's own otherwise.
    pub tls: Option<&'a UpstreamTls>,
    /// The route's own redirection of the dial.
    pub connect_to: Option<&'a Authority>,
    /// The corporate proxy to go through.
    pub proxy: Option<Via<'a>>,
}

/// A corporate proxy on the way.
#[derive(Clone, Copy)]
pub struct Via<'a> {
    /// Where it listens.
    pub authority: &'a Authority,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<&'a SecretString>,
}

/// A connection to an upstream.
pub enum UpstreamStream {
    /// Without TLS.
    Plain(TcpStream),
    /// Without TLS, to a corporate proxy that reads the requests (RFC 9112 section 3.2.2).
    Forwarded(TcpStream),
    /// With verified TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialFault {
    /// An address the name resolves to is out of bounds.
    #[error("{host}: {fault}")]
    Address {
        /// The name.
        host: String,
        /// Which address, and why.
        fault: AddressFault,
    },
    /// Something took too long.
    #[error("{host}: {what} took longer than {limit:?}")]
    Deadline {
        /// The name.
        host: String,
        /// What it was.
        what: &'static str,
        /// How long it might have taken.
        limit: Duration,
    },
    /// The name does not resolve, or nothing answers.
    #[error("{host}: {what}: {error}")]
    Unreachable {
        /// The name.
        host: String,
        /// What was being done.
        what: &'static str,
        /// The system's words.
        error: io::Error,
    },
    /// The handshake failed.
    #[error("{host}: TLS: {error}")]
    Tls {
        /// The name.
        host: String,
        /// rustls' words.
        error: io::Error,
    },
    /// The corporate proxy did not open the way.
    #[error("{host}: the upstream proxy {proxy} {why}")]
    Proxy {
        /// The name.
        host: String,
        /// Where the proxy listens.
        proxy: String,
        /// What it did.
        why: String,
    },
    /// The password for the corporate proxy, or the client certificate, cannot be read.
    #[error("{host}: {why}")]
    Credential {
        /// The name.
        host: String,
        /// Which, and what is wrong with it.
        why: String,
    },
    /// There is no route to this host any more.
    #[error("{host}: not on the bottle's allowlist any more")]
    NoRoute {
        /// The name.
        host: String,
    },
}

impl Dialer {
    /// The same, with lookups of its own: for another run.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { resolver: self.resolver.share(), ..self.clone() }
    }

    /// Dials a target.
    pub async fn dial(&self, target: Target<'_>) -> Result<UpstreamStream, DialFault> {
        let host = target.host.to_string();
        let stream = self.connect(&target).await?;
        match (target.scheme, target.proxy) {
            (Scheme::Http, None) => return Ok(UpstreamStream::Plain(stream)),
            (Scheme::Http, Some(_)) => return Ok(UpstreamStream::Forwarded(stream)),
            (Scheme::Https, _) => {}
        }
        let tls = |error| DialFault::Tls { host: host.clone(), error };
        let name = server_name(target.host).map_err(tls)?;
        let limit = self.limits.tls;
        let configuration = target.tls.unwrap_or(&self.tls);
        match timeout(limit, configuration.connect(target.wire, name, stream)).await {
            Ok(stream) => Ok(UpstreamStream::Tls(Box::new(stream.map_err(tls)?))),
            Err(_) => Err(DialFault::Deadline { host: host.clone(), what: "the TLS handshake", limit }),
        }
    }

    /// Connects to a target and says nothing yet; through a corporate proxy, where TLS follows, up to its 200.
    pub async fn connect(&self, target: &Target<'_>) -> Result<TcpStream, DialFault> {
        let limit = self.limits.connect;
        let connecting = async {
            let mut stream = self.connect_tcp(target).await?;
            if let (Some(via), Scheme::Https) = (target.proxy, target.scheme) {
                corporate::open(&mut stream, target.host, target.port, via).await?;
            }
            Ok(stream)
        };
        match timeout(limit, connecting).await {
            Ok(stream) => stream,
            Err(_) => Err(DialFault::Deadline { host: target.host.to_string(), what: "connecting", limit }),
        }
    }

    async fn connect_tcp(&self, target: &Target<'_>) -> Result<TcpStream, DialFault> {
        let unreachable = |what, error| DialFault::Unreachable { host: target.host.to_string(), what, error };
        let addresses =
            self.resolve(target).await.map_err(|error| unreachable("cannot resolve the name", error))?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses? {
            // The only connect of the proxy; `address` was checked above.
            #[allow(clippy::disallowed_methods)]
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(|error| unreachable("cannot set TCP_NODELAY", error))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(unreachable("cannot connect", last))
    }

    /// Resolves the target and checks all of what it resolves to.
    async fn resolve(&self, target: &Target<'_>) -> io::Result<Result<Vec<SocketAddr>, DialFault>> {
        let asked = Authority { host: target.host.clone(), port: target.port };
        let fault = |fault| DialFault::Address { host: target.host.to_string(), fault };
        let own = self.own.all();
        if let (Some(_), Some(ip)) = (target.proxy, target.host.ip()) {
            let literal = [SocketAddr::new(ip, target.port)];
            if let Err(refused) = address::check(&literal, target.allow, &own) {
                return Ok(Err(fault(refused)));
            }
        }
        let redirected = target
            .proxy
            .map(|via| via.authority)
            .or(target.connect_to)
            .or_else(|| self.connect_to.iter().find(|entry| entry.from == asked).map(|entry| &entry.to));
        let dialled = redirected.unwrap_or(&asked);
        let addresses: Vec<SocketAddr> = match (dialled.host.ip(), dialled.host.name()) {
            (Some(ip), _) => vec![SocketAddr::new(ip, dialled.port)],
            (None, Some(name)) => self.resolver.lookup(name, dialled.port).await?,
            (None, None) => Vec::new(),
        };
        let checked = match redirected {
            // The operator named this address; Hudson's own stay out of bounds all the same.
            Some(_) => address::check_own(&addresses, &own),
            None => address::check(&addresses, target.allow, &own),
        };
        Ok(checked.map(|()| addresses).map_err(fault))
    }
}

impl UpstreamStream {
    /// Whether HTTP/2 was agreed on.
    pub fn is_http2(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Forwarded(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl FromStr for ConnectTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| {
            format!("{text:?} is not HOST:PORT:ADDRESS:PORT, such as api.example.com:443:127.0.0.1:8443")
        })
    }
}

/// The name the upstream's certificate must carry.
fn server_name(host: &Host) -> io::Result<ServerName<'static>> {
    match host.ip() {
        Some(ip) => Ok(ServerName::IpAddress(ip.into())),
        None => ServerName::try_from(host.to_string()).map_err(io::Error::other),
    }
}

/// The colon between the two authorities is the third, counted outside of brackets.
fn parse(text: &str) -> Option<ConnectTo> {
    let mut colons = 0;
    let mut inside = false;
    let middle = text.bytes().position(|byte| {
        match byte {
            b'[' => inside = true,
            b']' => inside = false,
            b':' if !inside => colons += 1,
            _ => {}
        }
        colons == 2
    })?;
    let (from, to) = (text.get(..middle)?, text.get(middle + 1..)?);
    Some(ConnectTo { from: Authority::parse(from).ok()?, to: Authority::parse(to).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_to_reads_as_curls() {
        let entry: ConnectTo = "API.example.com:443:127.0.0.1:8443".parse().unwrap();
        assert_eq!((entry.from.host.to_string().as_str(), entry.from.port), ("api.example.com", 443));
        assert_eq!((entry.to.host.to_string().as_str(), entry.to.port), ("127.0.0.1", 8443));
        let entry: ConnectTo = "a.test:443:[::1]:8443".parse().unwrap();
        assert_eq!(entry.to.host.ip(), Some("::1".parse().unwrap()));
        for bad in ["", "a", "a:1", "a:1:b", "a:1:b:c", "a:x:b:1", ":1:b:1", "a:1:[::1:5"] {
            assert!(bad.parse::<ConnectTo>().is_err(), "{bad}");
        }
    }
}
