//! Link layers, by the numbers of the pcap registry (<https://www.tcpdump.org/linktypes.html>).

use super::Skip;

/// A link type of the pcap registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u32);

impl LinkType {
    /// BSD loopback: the address family in the byte order of the capturing machine.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// Raw IP.
    pub const RAW: Self = Self(101);
    /// OpenBSD loopback: the address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux "cooked" capture.
    pub const LINUX_SLL: Self = Self(113);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux "cooked" capture, version 2, with the interface.
    pub const LINUX_SLL2: Self = Self(276);
}

const MAX_TAGS: usize = 8;

/// The network-layer packet of a frame, and the interface if the link layer names it.
pub(super) fn strip(link: LinkType, frame: &[u8]) -> Result<(&[u8], Option<u32>), Skip> {
    let after = |from: usize| frame.get(from..).ok_or(Skip::Truncated);
    match link {
        LinkType::ETHERNET => Ok((tagged(u16_at(frame, 12)?, after(14)?)?, None)),
        LinkType::LINUX_SLL => Ok((tagged(u16_at(frame, 14)?, after(16)?)?, None)),
        LinkType::LINUX_SLL2 => {
            let interface = frame.get(4..8).and_then(|bytes| bytes.try_into().ok()).ok_or(Skip::Truncated)?;
            Ok((tagged(u16_at(frame, 0)?, after(20)?)?, Some(u32::from_be_bytes(interface))))
        }
        // 12 and 14 are what BSD systems write for raw IP.
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 | LinkType(12 | 14) => Ok((frame, None)),
        LinkType::NULL | LinkType::LOOP => {
            let family = frame.get(..4).ok_or(Skip::Truncated)?;
            // Either byte order: one of the ends is zero. AF_INET is 2; AF_INET6 is 10, 24, 28 or 30 by system.
            match (family[0] | family[3], family[1] | family[2]) {
                (2 | 10 | 24 | 28 | 30, 0) => Ok((after(4)?, None)),
                _ => Err(Skip::NotIp),
            }
        }
        _ => Err(Skip::UnknownLink),
    }
}

/// Skips VLAN tags (802.1Q, 802.1ad and its older numbers).
fn tagged(mut kind: u16, mut rest: &[u8]) -> Result<&[u8], Skip> {
    for _ in 0..MAX_TAGS {
        match kind {
            0x0800 | 0x86dd => return Ok(rest),
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                kind = u16_at(rest, 2)?;
                rest = rest.get(4..).ok_or(Skip::Truncated)?;
            }
            _ => return Err(Skip::NotIp),
        }
    }
    Err(Skip::Malformed)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Skip> {
    let pair = bytes.get(at..at + 2).and_then(|pair| pair.try_into().ok()).ok_or(Skip::Truncated)?;
    Ok(u16::from_be_bytes(pair))
}
