//! From a captured frame to one TCP segment and its two ends.
//!
//! Everything borrows from the frame. Checksums are not verified: with offloading the capture sees them before they
//! are filled in. VLAN tags are skipped and do not tell connections apart.

mod datagram;
mod fragments;
mod ip;
mod link;
mod plain;
mod tcp;
mod whole;

use std::net::SocketAddr;

use crate::flow::Segment;
use crate::time::Timestamp;

pub use fragments::{FragmentCounts, FragmentLimits, Fragments};
pub use ip::{Fragment, Ip};
pub use link::LinkType;
pub use whole::Whole;

/// Why a frame gives no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skip {
    /// The link type is not one that is read.
    UnknownLink,
    /// Another network protocol than IPv4 or IPv6.
    NotIp,
    /// Another transport than TCP.
    NotTcp,
    /// The capture ends within a header.
    Truncated,
    /// A header contradicts itself.
    Malformed,
}

/// One TCP segment with its ends.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Where it came from. IPv4-mapped IPv6 addresses are given as IPv4.
    pub source: SocketAddr,
    /// Where it went.
    pub destination: SocketAddr,
    /// The interface, where the link layer says so (SLL2).
    pub interface: Option<u32>,
    /// The segment.
    pub segment: Segment<'a>,
}

/// What a frame held.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    /// A whole segment.
    Segment(Packet<'a>),
    /// A piece of an IP packet that carries TCP, for [`Fragments`].
    Fragment(Fragment<'a>),
}

/// Decodes a captured frame. `wire_length` is its length before the snap length cut it.
///
/// # Errors
/// Why there is no TCP segment in it.
#[inline]
pub fn decode(link: LinkType, frame: &[u8], wire_length: u32, time: Timestamp) -> Result<Decoded<'_>, Skip> {
    if link == LinkType::ETHERNET
        && let Some(packet) = plain::decode(frame, time)
    {
        return Ok(Decoded::Segment(packet));
    }
    decode_any(link, frame, wire_length, time)
}

/// Every kind of frame, one layer after the other.
fn decode_any(link: LinkType, frame: &[u8], wire_length: u32, time: Timestamp) -> Result<Decoded<'_>, Skip> {
    let (network, interface) = link::strip(link, frame)?;
    let stripped = u32::try_from(frame.len() - network.len()).unwrap_or(u32::MAX);
    let ip = Ip::decode(network, wire_length.saturating_sub(stripped))?;
    if let Some(fragment) = ip.fragment {
        return Ok(Decoded::Fragment(fragment));
    }
    let (source, destination, segment) = tcp::decode(ip.payload, ip.length, time)?;
    Ok(Decoded::Segment(Packet {
        source: SocketAddr::new(ip.source, source),
        destination: SocketAddr::new(ip.destination, destination),
        interface,
        segment,
    }))
}

#[cfg(test)]
mod tests;
