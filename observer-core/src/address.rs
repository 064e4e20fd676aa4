//! An address as it is kept: half the size of what the standard library has for both families.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An IP address and a port, without scope and flow label. IPv4 is kept as IPv4-mapped IPv6, and given back as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    ip: [u8; 16],
    port: u16,
}

impl Address {
    /// As the standard library has it.
    #[must_use]
    pub fn socket(self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.port)
    }

    /// Without its port.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        Ipv6Addr::from(self.ip).to_canonical()
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: address.port() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_and_takes_half_the_room() {
        for text in ["10.0.0.1:443", "0.0.0.0:0", "[fd00::1]:65535", "[::1]:1", "[::]:0"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Address::from(address).socket(), address);
            assert_eq!(Address::from(address).ip(), address.ip());
        }
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:443".parse().unwrap();
        assert_eq!(Address::from(mapped).socket(), "10.0.0.1:443".parse().unwrap());
        assert!(size_of::<Address>() * 16 <= size_of::<SocketAddr>() * 9);
    }
}
