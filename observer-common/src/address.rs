//! An IP address and port as records carry them.

use crate::layout::record;

record! {
    /// An IP address and port. IPv4 is written as an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2).
    pub struct Address: 24 {
        /// The address in network byte order, as four words in memory order.
        pub ip: [u32; 4],
        /// The port in host byte order; 0 if the address is not known.
        pub port: u16,
        /// Always 0.
        pub padding: [u16; 3],
    }
}

impl Address {
    /// The third word of an IPv4-mapped address: `0000:ffff` in network byte order.
    pub const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

    /// The sixteen bytes of the address.
    #[must_use]
    pub const fn octets(&self) -> [u8; 16] {
        let mut octets = [0; 16];
        let mut index = 0;
        while index < 16 {
            octets[index] = self.ip[index / 4].to_ne_bytes()[index % 4];
            index += 1;
        }
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_has_the_bytes_of_rfc_4291() {
        let address = Address {
            ip: [0, 0, Address::MAPPED, u32::from_ne_bytes([10, 1, 2, 3])],
            port: 1,
            padding: [0; 3],
        };
        assert_eq!(address.octets(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3]);
    }
}
