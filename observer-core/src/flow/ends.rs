//! The two ends of a packet as the key of a table.

use core::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4};

/// An address tuple without a direction: the same for both ways. IPv4 is kept as IPv4-mapped IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    first: [u64; 2],
    second: [u64; 2],
    ports: u32,
}

impl Ends {
    /// The tuple, and whether `source` is the first of it.
    #[must_use]
    #[inline]
    pub fn new(source: SocketAddr, destination: SocketAddr) -> (Self, bool) {
        if let (SocketAddr::V4(source), SocketAddr::V4(destination)) = (source, destination) {
            // Nearly all packets: address and port as one number each.
            let number = |end: SocketAddrV4| u64::from(end.ip().to_bits()) << 16 | u64::from(end.port());
            let (source, destination) = (number(source), number(destination));
            let (first, second) = (source.min(destination), source.max(destination));
            let mapped = |end: u64| [0, 0xffff << 32 | end >> 16];
            #[expect(clippy::cast_possible_truncation, reason = "two ports")]
            let ports = ((first & 0xffff) << 16 | second & 0xffff) as u32;
            return (Self { first: mapped(first), second: mapped(second), ports }, source <= destination);
        }
        let (source, destination) =
            ((address(source.ip()), source.port()), (address(destination.ip()), destination.port()));
        let from_first = source <= destination;
        let (first, second) = if from_first { (source, destination) } else { (destination, source) };
        let ports = u32::from(first.1) << 16 | u32::from(second.1);
        (Self { first: first.0, second: second.0, ports }, from_first)
    }

    /// Both ends, the first of the tuple first. IPv4-mapped IPv6 addresses are given as IPv4.
    #[must_use]
    pub fn both(&self) -> [SocketAddr; 2] {
        let [first, second] =
            [self.ports >> 16, self.ports & 0xffff].map(|port| u16::try_from(port).unwrap_or(0));
        [SocketAddr::new(ip(self.first), first), SocketAddr::new(ip(self.second), second)]
    }
}

impl Hash for Ends {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for word in [self.first[0], self.first[1], self.second[0], self.second[1], u64::from(self.ports)] {
            state.write_u64(word);
        }
    }
}

fn ip(halves: [u64; 2]) -> IpAddr {
    Ipv6Addr::from_bits(u128::from(halves[0]) << 64 | u128::from(halves[1])).to_canonical()
}

#[inline]
fn address(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => [0, 0xffff << 32 | u64::from(address.to_bits())],
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
            let halves = [(bits >> 64) as u64, bits as u64];
            halves
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_have_one_key_and_ipv4_is_its_mapped_form() {
        let (a, b) = ("10.0.0.1:443".parse().unwrap(), "10.0.0.1:80".parse().unwrap());
        assert_eq!(Ends::new(a, b), (Ends::new(b, a).0, false));
        let mapped = "[::ffff:10.0.0.1]:443".parse().unwrap();
        assert_eq!(Ends::new(a, b), Ends::new(mapped, b));
        assert_ne!(Ends::new(a, b).0, Ends::new("[::a00:1]:443".parse().unwrap(), b).0);
        assert!(Ends::new(a, a).1);
        for port in [1, 443, 65535] {
            let (other, wide) = (
                SocketAddr::from(([200, 0, 0, 1], port)),
                SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0xc800, 1], port)),
            );
            assert_eq!(Ends::new(a, other), Ends::new(mapped, wide));
            assert_eq!(Ends::new(other, a), Ends::new(wide, mapped));
        }
        assert_eq!(Ends::new(a, b).0.both(), [b, a]);
        let wide = "[fd00::1]:65535".parse().unwrap();
        assert_eq!(Ends::new(wide, b).0.both(), [b, wide]);
    }
}
