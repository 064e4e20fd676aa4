//! A network as an operator writes it.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;

/// One address, or all that share its first bits: `10.0.0.7` or `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// The address, with no bit set behind the prefix.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// The prefix, in bits.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0);
                own.to_bits() == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
                own.to_bits() == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| format!("`{address}` is not an IP address; write one like 10.0.0.7 or fd00::/8"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length.map(str::parse) {
            None => most,
            Some(Ok(length)) if length <= most => length,
            Some(_) => return Err(format!("the prefix length in `{text}` is not a number from 0 to {most}")),
        };
        let cleared = match address {
            IpAddr::V4(ip) => IpAddr::from(
                (ip.to_bits() & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)).to_be_bytes(),
            ),
            IpAddr::V6(ip) => IpAddr::from(
                (ip.to_bits() & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)).to_be_bytes(),
            ),
        };
        if cleared != address {
            return Err(format!("`{text}` has bits behind its prefix; write {cleared}/{length}"));
        }
        Ok(Self { address, length })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_networks_of_both_families() {
        for (text, shown) in [
            ("10.0.0.7", "10.0.0.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00::/8", "fd00::/8"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn contains_what_shares_its_prefix() {
        let contains = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.0/8", "10.9.8.7"));
        assert!(contains("10.0.0.0/8", "::ffff:10.9.8.7"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("0.0.0.0/0", "11.0.0.0") && !contains("0.0.0.0/0", "::1"));
        assert!(
            contains("::/0", "::1") && contains("fd00::/8", "fdff::1") && !contains("fd00::/8", "fe00::1")
        );
    }

    #[test]
    fn refuses_what_is_no_network_and_names_the_fix() {
        assert!("10.0.0".parse::<Network>().unwrap_err().contains("not an IP address"));
        assert!("10.0.0.0/33".parse::<Network>().unwrap_err().contains("from 0 to 32"));
        assert!("::/129".parse::<Network>().unwrap_err().contains("from 0 to 128"));
        assert!("10.0.0.7/24".parse::<Network>().unwrap_err().ends_with("write 10.0.0.0/24"));
    }
}
