//! How far a connection travelled, where that is certain.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use schemars::JsonSchema;
use serde::Serialize;

use super::Addresses;

/// How far it travelled (`control_plane.scope`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Between loopback addresses.
    Loopback,
    /// Within one network namespace.
    SameNamespace,
    /// Between two network namespaces of this node.
    SameNode,
    /// To or from another node.
    OtherNode,
    /// An end has a public address.
    PublicAddress,
}

impl Scope {
    /// `client` and `server` are the addresses that were really used at the ends; `sockets` tells that both ends were seen
    /// as sockets of this machine, `namespaces` the network namespaces of the ends as far as they are known.
    #[must_use]
    pub fn of(
        client: SocketAddr,
        server: SocketAddr,
        sockets: bool,
        namespaces: [Option<u32>; 2],
        addresses: &Addresses,
    ) -> Option<Self> {
        let ends = [client.ip(), server.ip()];
        if ends.iter().all(IpAddr::is_loopback) {
            return Some(Self::Loopback);
        }
        if sockets {
            return Some(match namespaces {
                [Some(client), Some(server)] if client == server => Self::SameNamespace,
                _ => Self::SameNode,
            });
        }
        if ends.iter().any(|ip| addresses.other_nodes.contains(ip)) {
            return Some(Self::OtherNode);
        }
        ends.into_iter().any(is_public).then_some(Self::PublicAddress)
    }
}

impl Scope {
    /// How far a session travelled that was passed on from one connection to another; `None` where one of them is not known
    /// to have stayed within what the other did.
    pub(crate) fn farther(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other).filter(|it| *it >= Self::OtherNode),
        }
    }
}

/// Whether an address is one of the Internet's (IANA's registries of special-purpose addresses, RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or_else(|| is_public_v6(ip), is_public_v4),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        // Carriers' shared space (RFC 6598), protocol assignments, benchmarks (RFC 2544), old 6to4 relays.
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || (a == 192 && b == 88 && c == 99))
}

/// Global unicast is 2000::/3 so far, less documentation.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    first & 0xe000 == 0x2000
        && !(first == 0x2001 && second == 0x0db8)
        && !(first == 0x3fff && second < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn scope(client: &str, server: &str, sockets: bool, namespaces: [Option<u32>; 2]) -> Option<Scope> {
        let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 1);
        let other_nodes = HashSet::from(["10.89.0.2".parse().unwrap()]);
        let addresses = Addresses { other_nodes, ..Addresses::default() };
        Scope::of(at(client), at(server), sockets, namespaces, &addresses)
    }

    #[test]
    fn tells_what_is_certain_and_nothing_else() {
        let none = [None, None];
        for (client, server, sockets, namespaces, expected) in [
            ("127.0.0.1", "127.0.0.2", false, none, Some(Scope::Loopback)),
            ("::1", "::1", true, [Some(1), Some(1)], Some(Scope::Loopback)),
            ("10.89.0.1", "10.89.0.1", true, [Some(1), Some(1)], Some(Scope::SameNamespace)),
            ("10.89.0.1", "10.244.0.5", true, [Some(1), Some(2)], Some(Scope::SameNode)),
            ("10.89.0.1", "10.244.0.5", true, [Some(1), None], Some(Scope::SameNode)),
            ("10.89.0.1", "10.89.0.2", false, [Some(1), None], Some(Scope::OtherNode)),
            ("10.89.0.1", "10.244.1.5", false, [Some(1), None], None),
            ("10.89.0.1", "192.0.2.7", false, none, None),
            ("10.89.0.1", "8.8.8.8", false, none, Some(Scope::PublicAddress)),
            ("2a00::1", "fd00::1", false, none, Some(Scope::PublicAddress)),
            ("fe80::1", "2001:db8::1", false, none, None),
            ("100.64.0.1", "198.18.0.1", false, none, None),
        ] {
            assert_eq!(scope(client, server, sockets, namespaces), expected, "{client} to {server}");
        }
    }

    #[test]
    fn what_was_passed_on_travelled_as_far_as_the_farthest_connection() {
        use Scope::{Loopback, OtherNode, PublicAddress, SameNode};
        for (one, other, expected) in [
            (Some(Loopback), Some(SameNode), Some(SameNode)),
            (Some(OtherNode), None, Some(OtherNode)),
            (None, Some(SameNode), None),
            (Some(PublicAddress), Some(OtherNode), Some(PublicAddress)),
            (None, None, None),
        ] {
            assert_eq!(Scope::farther(one, other), expected, "{one:?} and {other:?}");
        }
    }
}
