//! Where the proxy listens: TCP addresses and Unix sockets, and the addresses of one bottle alone.
//!
//! Invariant: who connects to a [`BottleAddress`] is taken for that bottle without credentials, so it is never an
//! address that anybody else on the host or on its networks reaches.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What a Unix socket begins with.
const UNIX: &str = "unix:";
/// What its mode begins with, behind the path.
const MODE: &str = ",mode=";

/// An address to listen on: `127.0.0.1:8899`, `unix:/run/hudson.sock` or `unix:/run/hudson.sock,mode=0660`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ListenAddress {
    /// TCP; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix {
        /// Its absolute path.
        path: PathBuf,
        /// Its permissions; the owner's alone unless said otherwise.
        mode: u32,
    },
}

/// An address that is one bottle's: whoever connects to it speaks for the bottle, without credentials.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct BottleAddress(ListenAddress);

impl ListenAddress {
    /// The permissions of a socket whose address names none.
    pub const OWNER_ONLY: u32 = 0o600;

    /// The address, if it is one of TCP.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix { .. } => None,
        }
    }
}

impl BottleAddress {
    /// The address itself.
    pub fn address(&self) -> &ListenAddress {
        &self.0
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix(UNIX) else {
            return text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| format!("{text:?} is not ADDRESS:PORT such as 127.0.0.1:8899, nor unix:/PATH"));
        };
        let (path, mode) = match rest.split_once(MODE) {
            None => (rest, Self::OWNER_ONLY),
            Some((path, mode)) => {
                let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o777);
                (path, mode.ok_or_else(|| format!("{text:?}: the mode is octal, such as 0660"))?)
            }
        };
        match path.starts_with('/') {
            true => Ok(Self::Unix { path: PathBuf::from(path), mode }),
            false => Err(format!("{text:?}: the path of a socket begins with /")),
        }
    }
}

impl FromStr for BottleAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address: ListenAddress = text.parse()?;
        let ip = address.tcp().map(|address| address.ip().to_canonical());
        let everyone = match ip {
            Some(ip) if ip.is_loopback() => "every process of this host",
            Some(ip) if ip.is_unspecified() => "everybody on every network of this host",
            _ => return Ok(Self(address)),
        };
        Err(format!(
            "{text} would be reached by {everyone}, who would then be this bottle without credentials; name the \
             address of this host in the bottle's own network, or a Unix socket that only the bottle can open"
        ))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, mode: Self::OWNER_ONLY } => write!(f, "{UNIX}{}", path.display()),
            Self::Unix { path, mode } => write!(f, "{UNIX}{}{MODE}{mode:04o}", path.display()),
        }
    }
}

impl fmt::Display for BottleAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for ListenAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BottleAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for BottleAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for ListenAddress {
    fn schema_name() -> Cow<'static, str> {
        "ListenAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "ADDRESS:PORT, or unix:/PATH with an optional ,mode=0660 (0600 without)",
            "type": "string",
            "pattern": "^(unix:/.+|.+:[0-9]+)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_shown() {
        for text in ["127.0.0.1:8899", "[::1]:0", "unix:/run/h.sock", "unix:/run/h.sock,mode=0660"] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        for bad in ["localhost", "8899", "unix:", "unix:run/h.sock", "unix:/h,mode=9", "unix:/h,mode=7777"] {
            assert!(bad.parse::<ListenAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bottles_own_address_is_nobody_elses() {
        for open in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(
                open.parse::<BottleAddress>().unwrap_err().contains("every process of this host"),
                "{open}"
            );
        }
        for open in ["0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1"] {
            assert!(open.parse::<BottleAddress>().unwrap_err().contains("every network"), "{open}");
        }
        for own in ["10.9.0.1:3128", "[fd00::1]:3128", "unix:/run/bottle/egress.sock"] {
            assert_eq!(own.parse::<BottleAddress>().unwrap().to_string(), own);
        }
    }
}
