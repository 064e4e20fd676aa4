//! The two ends of a packet as the key of a table.

use core::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

/// An address tuple without a direction: the same for both ways. IPv4 is kept as IPv4-mapped IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    first: [u64; 2],
    second: [u64; 2],
    ports: u32,
}

impl Ends {
    /// The tuple, and whether `source` is the first of it.
    pub(super) fn new(source: SocketAddr, destination: SocketAddr) -> (Self, bool) {
        let (source, destination) =
            ((address(source.ip()), source.port()), (address(destination.ip()), destination.port()));
        let from_first = source <= destination;
        let (first, second) = if from_first { (source, destination) } else { (destination, source) };
        let ports = u32::from(first.1) << 16 | u32::from(second.1);
        (Self { first: first.0, second: second.0, ports }, from_first)
    }
}

impl Hash for Ends {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for word in [self.first[0], self.first[1], self.second[0], self.second[1], u64::from(self.ports)] {
            state.write_u64(word);
        }
    }
}

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
    }
}
