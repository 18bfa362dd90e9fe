//! Hosts in the one form that policy compares: lower case, without a trailing dot, an address as an address. Whatever
//! a resolver might read in a second way (`0x7f.1`, `2130706433`, user info, non-ASCII) is refused rather than
//! guessed, so that a route and a request mean the same host exactly when these values are equal.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest host name, in bytes.
const MAX_NAME: usize = 253;
/// The longest label of a host name, in bytes.
const MAX_LABEL: usize = 63;

/// A host: a name or an address.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Host {
    /// A name: lower-case ASCII labels.
    Name(String),
    /// An address literal.
    Ip(IpAddr),
}

/// Why a text is no host.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HostFault {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Too long for DNS.
    #[error("a host name has at most 253 characters")]
    TooLong,
    /// A label is empty or too long, or begins or ends with a hyphen.
    #[error("each label between dots has 1 to 63 characters and neither begins nor ends with '-'")]
    Label,
    /// A character that no host name has.
    #[error("a host name has only a-z, 0-9, '-', '_' and '.'")]
    Character,
    /// Not ASCII.
    #[error("write international names in their ASCII form (xn--…)")]
    NotAscii,
    /// `user@host`.
    #[error("user information ('@') is not allowed")]
    UserInfo,
    /// A scheme, a path or a port where only a host may stand.
    #[error("only the host, without scheme, path or port")]
    NotOnlyHost,
    /// An IPv4 address in a form that resolvers read in different ways.
    #[error("an IPv4 address is four decimal numbers without leading zeros, such as 192.0.2.1")]
    AmbiguousIpv4,
    /// Brackets without an IPv6 address.
    #[error("an IPv6 address looks like 2001:db8::1, without a zone")]
    BadIpv6,
    /// A wildcard anywhere but as the first whole label of a domain.
    #[error("a wildcard is one whole leading label in front of at least two more, such as *.example.com")]
    Wildcard,
    /// A port that is missing, zero, not decimal or too large.
    #[error("a port is a number from 1 to 65535")]
    Port,
}

impl Host {
    /// Reads a host as it stands in a URL, a `Host` header, a CONNECT target or a routes file.
    pub fn parse(text: &str) -> Result<Self, HostFault> {
        if text.is_empty() {
            return Err(HostFault::Empty);
        }
        if !text.is_ascii() {
            return Err(HostFault::NotAscii);
        }
        if text.contains('@') {
            return Err(HostFault::UserInfo);
        }
        if let Some(inside) = text.strip_prefix('[') {
            let address = inside.strip_suffix(']').ok_or(HostFault::BadIpv6)?;
            return ipv6(address);
        }
        if text.contains('/') {
            return Err(HostFault::NotOnlyHost);
        }
        match text.matches(':').count() {
            0 => name_or_ipv4(text),
            1 => Err(HostFault::NotOnlyHost),
            _ => ipv6(text),
        }
    }

    /// The name, unless it is an address.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Ip(_) => None,
        }
    }

    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Ip(ip) => Some(*ip),
        }
    }
}

fn ipv6(text: &str) -> Result<Host, HostFault> {
    text.parse::<Ipv6Addr>().map(|ip| Host::Ip(IpAddr::V6(ip))).map_err(|_| HostFault::BadIpv6)
}

fn name_or_ipv4(text: &str) -> Result<Host, HostFault> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() > MAX_NAME {
        return Err(HostFault::TooLong);
    }
    if let Some(bad) = name.bytes().find(|byte| !(byte.is_ascii_alphanumeric() || b"-_.".contains(byte))) {
        return Err(if bad == b'*' { HostFault::Wildcard } else { HostFault::Character });
    }
    let whole = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if !name.split('.').all(whole) {
        return Err(HostFault::Label);
    }
    // The WHATWG rule: a name whose last label is a number is an address for some resolver.
    let last = name.rsplit('.').next().unwrap_or_default();
    if is_number(last) {
        // The standard parser takes exactly four decimal numbers without leading zeros.
        return name
            .parse::<Ipv4Addr>()
            .map(|ip| Host::Ip(IpAddr::V4(ip)))
            .map_err(|_| HostFault::AmbiguousIpv4);
    }
    Ok(Host::Name(name.to_ascii_lowercase()))
}

fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    label.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl fmt::Display for Host {
    /// As in a URL: an IPv6 address stands in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl FromStr for Host {
    type Err = HostFault;

    fn from_str(text: &str) -> Result<Self, HostFault> {
        Self::parse(text)
    }
}

/// A host and a port.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

impl Authority {
    /// Reads `host:port`; the port must be there.
    pub fn parse(text: &str) -> Result<Self, HostFault> {
        Self::split(text, None)
    }

    /// Reads `host` or `host:port`.
    pub fn parse_or(text: &str, default_port: u16) -> Result<Self, HostFault> {
        Self::split(text, Some(default_port))
    }

    fn split(text: &str, default_port: Option<u16>) -> Result<Self, HostFault> {
        let end_of_host =
            if text.starts_with('[') { text.find(']').map(|at| at + 1) } else { text.rfind(':') };
        let (host, rest) = match end_of_host {
            Some(at) => text.split_at_checked(at).unwrap_or((text, "")),
            None => (text, ""),
        };
        // `::1:80` could be read in two ways; an address with a port needs its brackets.
        if !text.starts_with('[') && host.contains(':') {
            return Err(HostFault::BadIpv6);
        }
        let host = Host::parse(host)?;
        let port = match rest.strip_prefix(':') {
            Some(digits) => port(digits)?,
            None if rest.is_empty() => default_port.ok_or(HostFault::Port)?,
            None => return Err(HostFault::Port),
        };
        Ok(Self { host, port })
    }
}

fn port(digits: &str) -> Result<u16, HostFault> {
    match digits.parse() {
        Ok(port) if port > 0 && digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(port)
        }
        _ => Err(HostFault::Port),
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Authority {
    type Err = HostFault;

    fn from_str(text: &str) -> Result<Self, HostFault> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for Authority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|fault| {
            serde::de::Error::custom(format_args!(
                "{text:?} is not HOST:PORT such as 127.0.0.1:9443: {fault}"
            ))
        })
    }
}

impl JsonSchema for Authority {
    fn schema_name() -> Cow<'static, str> {
        "Authority".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "HOST:PORT, such as 127.0.0.1:9443 or [::1]:9443",
            "type": "string",
            "pattern": ":[0-9]{1,5}$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_host_has_one_form() {
        for (text, form) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.COM.", "api.example.com"),
            ("localhost.", "localhost"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("_dns.example.com", "_dns.example.com"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("2001:DB8:0::1", "[2001:db8::1]"),
            ("::ffff:1.2.3.4", "[::ffff:1.2.3.4]"),
            ("1e100.net", "1e100.net"),
            ("0x7f.example", "0x7f.example"),
        ] {
            assert_eq!(Host::parse(text).map(|host| host.to_string()), Ok(form.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_could_be_read_twice_is_refused() {
        for (text, fault) in [
            ("", HostFault::Empty),
            (".", HostFault::Label),
            ("a..b", HostFault::Label),
            ("a.b..", HostFault::Label),
            ("-a.com", HostFault::Label),
            ("a-.com", HostFault::Label),
            ("bücher.example", HostFault::NotAscii),
            ("ⓔxample.com", HostFault::NotAscii),
            ("user@example.com", HostFault::UserInfo),
            ("example.com@evil.org", HostFault::UserInfo),
            ("http://example.com", HostFault::NotOnlyHost),
            ("example.com/", HostFault::NotOnlyHost),
            ("example.com:80", HostFault::NotOnlyHost),
            ("exa mple.com", HostFault::Character),
            ("example.com%00", HostFault::Character),
            ("example%2ecom", HostFault::Character),
            ("exam\0ple.com", HostFault::Character),
            ("a\\b", HostFault::Character),
            ("*.example.com", HostFault::Wildcard),
            ("0x7f.1", HostFault::AmbiguousIpv4),
            ("2130706433", HostFault::AmbiguousIpv4),
            ("0x7f000001", HostFault::AmbiguousIpv4),
            ("0x", HostFault::AmbiguousIpv4),
            ("0177.0.0.1", HostFault::AmbiguousIpv4),
            ("127.1", HostFault::AmbiguousIpv4),
            ("127.0.0.0x1", HostFault::AmbiguousIpv4),
            ("256.0.0.1", HostFault::AmbiguousIpv4),
            ("1.2.3.4.5", HostFault::AmbiguousIpv4),
            ("example.0x7f", HostFault::AmbiguousIpv4),
            ("[127.0.0.1]", HostFault::BadIpv6),
            ("[::1", HostFault::BadIpv6),
            ("[fe80::1%eth0]", HostFault::BadIpv6),
            ("fe80::1%25eth0", HostFault::BadIpv6),
            ("[]", HostFault::BadIpv6),
        ] {
            assert_eq!(Host::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn an_authority_is_a_host_and_a_port() {
        for (text, form) in [
            ("Example.com:443", "example.com:443"),
            ("[::1]:80", "[::1]:80"),
            ("1.2.3.4:65535", "1.2.3.4:65535"),
        ] {
            assert_eq!(
                Authority::parse(text).map(|authority| authority.to_string()),
                Ok(form.to_owned()),
                "{text}"
            );
        }
        for text in [
            "example.com",
            "example.com:",
            "example.com:0",
            "example.com:65536",
            "example.com:+80",
            "example.com:080443",
            "::1:80",
            "::1",
            "[::1]",
            "[::1]x",
            "[::1]80",
            ":80",
            "a:b:80",
            "user@example.com:80",
        ] {
            assert!(Authority::parse(text).is_err(), "{text}");
        }
        assert_eq!(Authority::parse_or("example.com", 80).map(|a| a.port), Ok(80));
        assert_eq!(Authority::parse_or("[::1]", 80).map(|a| a.port), Ok(80));
    }

    proptest! {
        #[test]
        fn the_form_is_a_fixed_point(text in "[a-zA-Z0-9.:\\[\\]_-]{0,40}|\\PC{0,40}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
            }
            if let Ok(authority) = Authority::parse(&text) {
                prop_assert_eq!(Authority::parse(&authority.to_string()), Ok(authority));
            }
        }
    }
}
