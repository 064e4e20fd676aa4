//! The frame that nearly all frames are, decoded at one look: Ethernet without a tag, IPv4 without options and in one
//! piece, TCP. It gives what the layers one after the other give, or nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Packet;
use crate::flow::{Flags, Segment};
use crate::time::Timestamp;

const ETHERNET: usize = 14;
const IP: usize = 20;
const TCP: usize = 20;

/// The segment of such a frame; `None` if it is any other.
#[inline]
pub(super) fn decode(frame: &[u8], time: Timestamp) -> Option<Packet<'_>> {
    let header = frame.first_chunk::<{ ETHERNET + IP + TCP }>()?;
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    // EtherType, version and length of the header; flags and place of a fragment; protocol.
    if word(12) & 0xffff_ff00 != 0x0800_4500 || half(20) & 0x3fff != 0 || header[23] != 6 {
        return None;
    }
    let (total, tcp) = (u32::from(half(16)), u32::from(header[46] >> 4) * 4);
    let from = ETHERNET + IP + tcp as usize;
    // Zero stands for a giant segment; what contradicts itself is told by those who look closer.
    let length = total.checked_sub(20 + tcp).filter(|_| tcp >= 20)?;
    let captured = frame.get(from..).unwrap_or_default();
    let end = |ip: u32, port: u16| SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(ip)), port);
    Some(Packet {
        source: end(word(26), half(34)),
        destination: end(word(30), half(36)),
        interface: None,
        segment: Segment {
            time,
            seq: word(38),
            ack: word(42),
            flags: Flags(header[47]),
            len: length,
            payload: captured.get(..length as usize).unwrap_or(captured),
        },
    })
}
