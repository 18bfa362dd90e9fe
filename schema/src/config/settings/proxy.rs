//! The data plane's listeners and limits (`proxy:` in settings.yml). Every limit has a default that holds against a
//! hostile bottle and lets the slowest real provider answer.

use super::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

/// Listeners, limits and time-outs of the proxy.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProxySettings {
    /// Where the proxy listens; port 0 takes a free one.
    #[serde(deserialize_with = "at_least_one")]
    #[schemars(with = "Vec<String>")]
    pub listen: Vec<SocketAddr>,
    /// Open connections of one bottle; one more is refused with 503.
    pub max_tunnels_per_bottle: NonZeroU32,
    /// Open connections of all bottles together.
    pub max_tunnels: NonZeroU32,
    /// How long name resolution and the TCP connection to an upstream may take.
    pub connect_timeout: Period,
    /// How long a TLS handshake may take, on either side.
    pub tls_timeout: Period,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Period,
    /// How long an upstream may take to begin its answer; models think long before the first byte.
    pub response_timeout: Period,
    /// How long a connection may be silent in both directions.
    pub idle_timeout: Period,
    /// The largest request head, in bytes.
    pub max_header_bytes: NonZeroU32,
    /// The largest request body that is read into memory for metering or rules, in bytes.
    pub max_body_bytes: NonZeroU32,
    /// Answers that are read to their end for their usage after the client went away, at the same time.
    pub max_detached: NonZeroU32,
    /// How long such an answer is read.
    pub detached_timeout: Period,
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
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8899))],
            max_tunnels_per_bottle: limit(512),
            max_tunnels: limit(8192),
            connect_timeout: Period::seconds(10),
            tls_timeout: Period::seconds(10),
            header_timeout: Period::seconds(30),
            response_timeout: Period::seconds(15 * 60),
            idle_timeout: Period::seconds(15 * 60),
            max_header_bytes: limit(64 * 1024),
            max_body_bytes: limit(32 * 1024 * 1024),
            max_detached: limit(256),
            detached_timeout: Period::seconds(10 * 60),
        }
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    use serde::de::Error;
    let addresses = Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| {
            text.parse().map_err(|_| {
                D::Error::custom(format_args!("{text:?} is not ADDRESS:PORT such as 127.0.0.1:8899"))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    match addresses.is_empty() {
        true => Err(D::Error::custom("the proxy needs at least one address such as 127.0.0.1:8899")),
        false => Ok(addresses),
    }
}
