//! Which addresses an upstream may have. Only the public internet is reached, except where a route names a range.
//! Addresses that carry an IPv4 address inside are judged by that one too, and one blocked address among those a name
//! resolves to blocks the name: the next answer could be only that one.

use hudson_schema::config::IpNetwork;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What an address is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddressKind {
    /// The internet.
    Public,
    /// This host.
    Loopback,
    /// A private network, shared carrier addresses included.
    Private,
    /// The link this host is on.
    LinkLocal,
    /// A cloud's metadata service, which hands out credentials.
    Metadata,
    /// Many receivers.
    Multicast,
    /// No address; some systems take it for this host.
    Unspecified,
    /// Documentation, benchmarking and everything not assigned.
    Reserved,
}

impl AddressKind {
    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Multicast => "multicast",
            Self::Unspecified => "unspecified",
            Self::Reserved => "reserved",
        }
    }
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why an upstream is not dialled.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressFault {
    /// The name has no address.
    #[error("it has no address")]
    None,
    /// An address is not public, and the route does not name its range.
    #[error(
        "it resolves to {address}, a {kind} address; `allow_addresses: [{address}]` on the route would allow it"
    )]
    Blocked {
        /// The address.
        address: IpAddr,
        /// What it is for.
        kind: AddressKind,
    },
    /// An address is one of Hudson's own listeners; no route can allow that.
    #[error("it resolves to {address}, one of Hudson's own listeners")]
    Own {
        /// The address.
        address: SocketAddr,
    },
}

/// Whether an upstream with these addresses may be dialled: every one public or in `allow`, none of them `own`.
pub fn check(addresses: &[SocketAddr], allow: &[IpNetwork], own: &[SocketAddr]) -> Result<(), AddressFault> {
    check_own(addresses, own)?;
    for address in addresses {
        let ip = address.ip();
        let plain = ip.to_canonical();
        let kind = classify(ip);
        if kind != AddressKind::Public
            && !allow.iter().any(|range| range.contains(ip) || range.contains(plain))
        {
            return Err(AddressFault::Blocked { address: plain, kind });
        }
    }
    Ok(())
}

/// Whether none of these addresses is one of Hudson's own listeners; for upstreams whose address the operator named.
pub fn check_own(addresses: &[SocketAddr], own: &[SocketAddr]) -> Result<(), AddressFault> {
    if addresses.is_empty() {
        return Err(AddressFault::None);
    }
    match addresses.iter().find(|address| own.iter().any(|own| reaches(address, own))) {
        Some(address) => Err(AddressFault::Own { address: *address }),
        None => Ok(()),
    }
}

/// Whether dialling `address` may end at the listener `own`.
fn reaches(address: &SocketAddr, own: &SocketAddr) -> bool {
    let (ip, listener) = (address.ip().to_canonical(), own.ip().to_canonical());
    let local = |ip: IpAddr| matches!(classify(ip), AddressKind::Loopback | AddressKind::Unspecified);
    address.port() == own.port()
        && (ip == listener
            // A listener on all addresses is behind each of this host's, and which those are is not known here.
            || (listener.is_unspecified() && classify(ip) != AddressKind::Public)
            // Dialling no address reaches this host.
            || (ip.is_unspecified() && local(listener)))
}

/// What an address is for.
pub fn classify(ip: IpAddr) -> AddressKind {
    match ip {
        IpAddr::V4(ip) => classify_v4(ip),
        IpAddr::V6(ip) => classify_v6(ip),
    }
}

fn classify_v4(ip: Ipv4Addr) -> AddressKind {
    match ip.octets() {
        // AWS, Google, Azure and most others; ECS and EKS; Alibaba; Oracle; Azure's wire server.
        [169, 254, 169, 254] | [169, 254, 170, 2 | 23] => AddressKind::Metadata,
        [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => AddressKind::Metadata,
        [0, 0, 0, 0] => AddressKind::Unspecified,
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => AddressKind::Private,
        [169, 254, ..] => AddressKind::LinkLocal,
        [224..=239, ..] => AddressKind::Multicast,
        [0, ..] | [240..=255, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] => AddressKind::Reserved,
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => AddressKind::Reserved,
        _ => AddressKind::Public,
    }
}

fn classify_v6(ip: Ipv6Addr) -> AddressKind {
    if ip.is_unspecified() {
        return AddressKind::Unspecified;
    }
    if ip.is_loopback() {
        return AddressKind::Loopback;
    }
    match ip.segments() {
        // AWS, EKS, Google.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254 | 0x23] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => {
            AddressKind::Metadata
        }
        // Mapped, translated and NAT64 addresses end at the IPv4 address inside.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => inside(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inside(high, low),
        [0x64, 0xff9b, 1, ..] => AddressKind::Private,
        // 6to4 and Teredo tunnel to it; Teredo carries its server and, inverted, its client.
        [0x2002, high, low, ..] => inside(high, low),
        [0x2001, 0, server_high, server_low, _, _, high, low] => match inside(server_high, server_low) {
            AddressKind::Public => inside(!high, !low),
            kind => kind,
        },
        [0x2001, 0x1..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressKind::Reserved,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => AddressKind::Private,
        [0xfe80..=0xfebf, ..] => AddressKind::LinkLocal,
        [0xff00..=0xffff, ..] => AddressKind::Multicast,
        [0x2000..=0x3fff, ..] => AddressKind::Public,
        _ => AddressKind::Reserved,
    }
}

fn inside(high: u16, low: u16) -> AddressKind {
    classify_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_special_range_is_known() {
        use AddressKind::*;
        for (text, kind) in [
            ("1.1.1.1", Public),
            ("8.8.8.8", Public),
            ("172.15.0.1", Public),
            ("172.32.0.1", Public),
            ("100.63.255.255", Public),
            ("100.128.0.0", Public),
            ("198.20.0.1", Public),
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Reserved),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("169.254.1.1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("100.100.100.200", Metadata),
            ("168.63.129.16", Metadata),
            ("192.0.0.8", Reserved),
            ("192.0.2.1", Reserved),
            ("198.18.0.1", Reserved),
            ("198.51.100.1", Reserved),
            ("203.0.113.1", Reserved),
            ("224.0.0.1", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Reserved),
            ("2606:4700::1111", Public),
            ("::", Unspecified),
            ("::1", Loopback),
            ("::127.0.0.1", Reserved),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:1.1.1.1", Public),
            ("::ffff:0:127.0.0.1", Loopback),
            ("64:ff9b::169.254.169.254", Metadata),
            ("64:ff9b::1.1.1.1", Public),
            ("64:ff9b:1::1", Private),
            ("2002:7f00:1::", Loopback),
            ("2002:a00:1::1", Private),
            ("2002:101:101::1", Public),
            ("2001:0:a00:1::", Private),
            ("2001:0:101:101:0:0:80ff:fffe", Loopback),
            ("2001:0:101:101:0:0:fefe:fefe", Public),
            ("2001:2::1", Reserved),
            ("2001:10::1", Reserved),
            ("2001:db8::1", Reserved),
            ("3fff::1", Reserved),
            ("100::1", Reserved),
            ("fc00::1", Private),
            ("fd12::1", Private),
            ("fd00:ec2::254", Metadata),
            ("fe80::1", LinkLocal),
            ("fec0::1", Private),
            ("ff02::1", Multicast),
            ("4000::1", Reserved),
        ] {
            assert_eq!(classify(text.parse().unwrap()), kind, "{text}");
        }
    }

    #[test]
    fn one_blocked_address_blocks_the_name() {
        let addresses = [socket("1.1.1.1:443"), socket("10.0.0.1:443")];
        let fault =
            AddressFault::Blocked { address: "10.0.0.1".parse().unwrap(), kind: AddressKind::Private };
        assert_eq!(check(&addresses, &[], &[]), Err(fault));
        assert_eq!(check(&addresses, &["10.0.0.0/8".parse().unwrap()], &[]), Ok(()));
        assert_eq!(check(&[], &[], &[]), Err(AddressFault::None));
    }

    #[test]
    fn a_range_allows_a_mapped_address_but_no_tunnel() {
        let allow = ["10.0.0.0/8".parse().unwrap()];
        assert_eq!(check(&[socket("[::ffff:10.0.0.1]:443")], &allow, &[]), Ok(()));
        for tunnel in ["[64:ff9b::10.0.0.1]:443", "[2002:a00:1::1]:443"] {
            assert!(check(&[socket(tunnel)], &allow, &[]).is_err(), "{tunnel}");
        }
    }

    #[test]
    fn hudsons_own_listeners_are_never_reached() {
        let all: [IpNetwork; 2] = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        for (own, address, reached) in [
            ("127.0.0.1:8899", "127.0.0.1:8899", true),
            ("127.0.0.1:8899", "[::ffff:127.0.0.1]:8899", true),
            ("127.0.0.1:8899", "0.0.0.0:8899", true),
            ("127.0.0.1:8899", "127.0.0.1:8898", false),
            ("10.0.0.5:8899", "10.0.0.6:8899", false),
            ("0.0.0.0:8899", "10.0.0.6:8899", true),
            ("[::]:8899", "127.0.0.1:8899", true),
            ("0.0.0.0:8899", "1.1.1.1:8899", false),
        ] {
            assert_eq!(check(&[socket(address)], &all, &[socket(own)]).is_err(), reached, "{own} {address}");
            assert_eq!(check_own(&[socket(address)], &[socket(own)]).is_err(), reached, "{own} {address}");
        }
    }

    proptest! {
        #[test]
        fn an_address_inside_another_is_judged_the_same(bits: u32) {
            let ip = Ipv4Addr::from(bits);
            let (high, low) = ((bits >> 16) as u16, bits as u16);
            for carrier in [
                ip.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert_eq!(classify(carrier.into()), classify(ip.into()));
            }
        }
    }
}
