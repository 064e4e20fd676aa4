//! What is watched, as the kernel programs are told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::str::FromStr;

/// A prefix of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

/// What is wrong with a written [`Network`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or a prefix such as 10.0.0.0/24")]
pub struct ParseNetworkError(String);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseNetworkError(text.into());
        let (address, length) =
            text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let whole = Self::from(address.parse::<IpAddr>().map_err(|_| wrong())?);
        let Some(length) = length else { return Ok(whole) };
        let length = length.parse().map_err(|_| wrong())?;
        if length > whole.length { Err(wrong()) } else { Ok(Self { length, ..whole }) }
    }
}

impl Network {
    /// The key in a table of IPv6 prefixes, where IPv4 is mapped.
    pub(super) fn key(self) -> (u32, [u32; 4]) {
        let (octets, length) = match self.address {
            IpAddr::V4(address) => (address.to_ipv6_mapped().octets(), u32::from(self.length) + 96),
            IpAddr::V6(address) => (address.octets(), u32::from(self.length)),
        };
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(octets.chunks_exact(4)) {
            *word = bytes.first_chunk().copied().map_or(0, u32::from_ne_bytes);
        }
        (length, words)
    }
}

/// What is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Every TCP connection.
    pub everything: bool,
    /// Dialled or listening ports.
    pub ports: BTreeSet<u16>,
    /// Command names of candidates; the kernel knows the first 15 bytes.
    pub commands: BTreeSet<String>,
    /// Thread groups that were judged: `true` watched, `false` not, whatever their command name.
    pub processes: BTreeMap<u32, bool>,
    /// cgroup v2 ids. Descendants are not implied: name each.
    pub cgroups: BTreeSet<u64>,
    /// Peers' addresses.
    pub addresses: BTreeSet<Network>,
}

/// What user space knows of a socket that is older than the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OlderSocket {
    /// Who holds it.
    pub tgid: Option<u32>,
    /// Watched whatever the other rules say.
    pub watched: bool,
    /// Its part; `None` if it cannot be told.
    pub role: Option<observer_core::engine::Role>,
}

/// A command name as the kernel keeps it: 15 bytes and a NUL.
pub(super) fn command_key(name: &str) -> [u64; 2] {
    let mut bytes = [0; 16];
    for (place, byte) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *place = byte;
    }
    u128_halves(u128::from_ne_bytes(bytes))
}

fn u128_halves(both: u128) -> [u64; 2] {
    let bytes = both.to_ne_bytes();
    let (front, back) = bytes.split_at(8);
    [front, back].map(|half| half.first_chunk().copied().map_or(0, u64::from_ne_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_and_mapped() {
        let network: Network = "10.1.0.0/16".parse().unwrap();
        let (length, words) = network.key();
        assert_eq!(length, 112);
        assert_eq!(words[2], u32::from_ne_bytes([0, 0, 0xff, 0xff]));
        assert_eq!(words[3], u32::from_ne_bytes([10, 1, 0, 0]));
        assert_eq!("2001:db8::/32".parse::<Network>().unwrap().key().0, 32);
        assert_eq!("::1".parse::<Network>().unwrap().key().0, 128);
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "x", "10.0.0.0/"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_command_name_is_cut_at_fifteen_bytes() {
        assert_eq!(command_key("kube-apiserver-long"), command_key("kube-apiserver-"));
        assert_ne!(command_key("kube-apiserver"), command_key("kube-apiserver-"));
        assert_eq!(command_key("etcd")[0].to_ne_bytes(), *b"etcd\0\0\0\0");
    }
}
