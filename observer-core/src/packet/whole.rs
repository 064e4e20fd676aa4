//! A datagram put together again.

use std::net::IpAddr;

use super::{Decoded, LinkType, Packet, Skip, decode};
use crate::time::Timestamp;

const TCP: u8 = 6;

/// A datagram whose fragments all came, as one IP packet without link layer ([`LinkType::RAW`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    bytes: Vec<u8>,
    wire_length: u32,
    time: Timestamp,
}

impl Whole {
    /// A header for `length` bytes of TCP, at most 65,515.
    pub(super) fn begin(
        source: IpAddr,
        destination: IpAddr,
        length: u32,
        captured: usize,
        time: Timestamp,
    ) -> Self {
        let mut bytes = Vec::with_capacity(40 + captured);
        let field = |length: u32| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        let header = if let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) {
            let [high, low] = field(20 + length);
            bytes.extend_from_slice(&[0x45, 0, high, low, 0, 0, 0, 0, 64, TCP, 0, 0]);
            bytes.extend_from_slice(&source.octets());
            bytes.extend_from_slice(&destination.octets());
            20
        } else {
            let wide = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            let [high, low] = field(length);
            bytes.extend_from_slice(&[0x60, 0, 0, 0, high, low, TCP, 64]);
            for address in [source, destination] {
                bytes.extend_from_slice(&wide(address).octets());
            }
            40
        };
        Self { bytes, wire_length: header + length, time }
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The packet's bytes: an IP header made anew, then the joined payload.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The packet's length on the wire, header included: more than [`Whole::bytes`] has if the capture cut a fragment.
    #[must_use]
    pub const fn wire_length(&self) -> u32 {
        self.wire_length
    }

    /// When the last missing fragment was seen.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// The segment in it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn packet(&self) -> Result<Packet<'_>, Skip> {
        match decode(LinkType::RAW, &self.bytes, self.wire_length, self.time)? {
            Decoded::Segment(packet) => Ok(packet),
            Decoded::Fragment(_) => Err(Skip::Malformed),
        }
    }
}
