//! The data plane's listeners and limits (`proxy:` in settings.yml). Every limit has a default that holds against a
//! hostile bottle and lets the slowest real provider answer; docs/operators.md has them in one table.

use super::{ListenAddress, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

/// Listeners, limits and time-outs of the proxy.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProxySettings {
    /// Where the proxy listens: ADDRESS:PORT (port 0 takes a free one) or unix:/PATH[,mode=0660].
    #[serde(deserialize_with = "at_least_one")]
    pub listen: Vec<ListenAddress>,
    /// Open connections of one bottle; one more is refused with 503. More than any agent was seen to open, and few
    /// enough that one bottle cannot take all of `max_tunnels`.
    pub max_tunnels_per_bottle: NonZeroU32,
    /// Open connections of all bottles together; each takes two or three file descriptors and about 50 KiB.
    pub max_tunnels: NonZeroU32,
    /// Connections that have not said yet whose they are. Clients say so with their first bytes, so that these are few
    /// unless somebody holds them open.
    pub max_unidentified: NonZeroU32,
    /// How many of those one address may have (one /64 of IPv6): with one more, its oldest is closed.
    pub max_unidentified_per_address: NonZeroU32,
    /// How long name resolution and the TCP connection to an upstream may take. One lost SYN costs a second, two cost
    /// three.
    pub connect_timeout: Period,
    /// How long a TLS handshake may take, on either side: a few round trips on a bad line.
    pub tls_timeout: Period,
    /// How long a client may take to send the head of a request, from its first byte; to the proxy itself, from when it
    /// connected.
    pub header_timeout: Period,
    /// How long a client may take to send a body that has to be read whole before it is let through.
    pub body_timeout: Period,
    /// How long an upstream may take to begin its answer; models think long before the first byte.
    pub response_timeout: Period,
    /// How long a connection may be silent in both directions; as long as `response_timeout`, because a model that thinks
    /// is silent.
    pub idle_timeout: Period,
    /// The largest request head, in bytes; a larger one is answered 431. Cookies and signed URLs stay far below.
    pub max_header_bytes: NonZeroU32,
    /// The most headers of a request; one more is answered 431. Real clients send below 40.
    pub max_headers: NonZeroU32,
    /// Requests that one HTTP/2 connection may have open at once, as in other servers.
    pub max_streams: NonZeroU32,
    /// Requests of one HTTP/2 connection that were reset before they were looked at; one more ends the connection (rapid
    /// reset, CVE-2023-44487). A client that cancels what it has just sent does so a few times.
    pub max_pending_resets: NonZeroU32,
    /// The largest request body that is read into memory for metering or rules, in bytes.
    pub max_body_bytes: NonZeroU32,
    /// Answers that are read to their end for their usage after the client went away, at the same time.
    pub max_detached: NonZeroU32,
    /// How long such an answer is read.
    pub detached_timeout: Period,
    /// How long what is in flight may go on after the proxy was told to stop. Short of the ten seconds after which
    /// container engines and service managers commonly kill, so that usage is settled before.
    pub shutdown_grace: Period,
}

impl Default for ProxySettings {
    fn default() -> Self {
        const fn limit(value: u32) -> NonZeroU32 {
            match NonZeroU32::new(value) {
                Some(value) => value,
                None => NonZeroU32::MIN,
            }
        }
        Self {
            listen: vec![ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8899)))],
            max_tunnels_per_bottle: limit(512),
            max_tunnels: limit(8192),
            max_unidentified: limit(1024),
            max_unidentified_per_address: limit(256),
            connect_timeout: Period::seconds(10),
            tls_timeout: Period::seconds(10),
            header_timeout: Period::seconds(30),
            body_timeout: Period::seconds(60),
            response_timeout: Period::seconds(15 * 60),
            idle_timeout: Period::seconds(15 * 60),
            max_header_bytes: limit(64 * 1024),
            max_headers: limit(100),
            max_streams: limit(128),
            max_pending_resets: limit(20),
            max_body_bytes: limit(32 * 1024 * 1024),
            max_detached: limit(256),
            detached_timeout: Period::seconds(10 * 60),
            shutdown_grace: Period::seconds(8),
        }
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ListenAddress>, D::Error> {
    use serde::de::Error;
    let addresses = Vec::<ListenAddress>::deserialize(deserializer)?;
    match addresses.is_empty() {
        true => Err(D::Error::custom("the proxy needs at least one address such as 127.0.0.1:8899")),
        false => Ok(addresses),
    }
}
