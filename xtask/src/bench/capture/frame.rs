//! Ethernet frames with IPv4 and TCP.

use std::net::Ipv4Addr;

/// Where IPv4 begins.
pub const IP: usize = 14;
/// Where TCP begins behind IPv4 without options.
pub const TCP: usize = IP + 20;
/// Where the payload begins behind TCP without options.
const PAYLOAD: usize = TCP + 20;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

/// What a segment without options says.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    pub ends: [(Ipv4Addr, u16); 2],
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub payload: &'a [u8],
}

impl Segment<'_> {
    /// Makes `frame` hold this segment.
    pub fn put(&self, frame: &mut Vec<u8>) {
        let [(source, source_port), (destination, destination_port)] = self.ends;
        let length = u16::try_from(40 + self.payload.len()).unwrap_or(u16::MAX);
        frame.clear();
        frame.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        frame.extend(source.octets());
        frame.extend(destination.octets());
        frame.extend(source_port.to_be_bytes());
        frame.extend(destination_port.to_be_bytes());
        frame.extend(self.seq.to_be_bytes());
        frame.extend(self.ack.to_be_bytes());
        frame.extend([0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        debug_assert_eq!(frame.len(), PAYLOAD);
        frame.extend_from_slice(self.payload);
        seal(frame);
    }
}

/// Puts right checksums into a frame of IPv4 without options and TCP.
pub fn seal(frame: &mut [u8]) {
    let Some(ip) = frame.get_mut(IP..) else { return };
    let length = usize::from(u16::from_be_bytes([ip[2], ip[3]])).min(ip.len());
    ip[10..12].fill(0);
    let checksum = !folded(sum(&ip[..20]));
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    ip[36..38].fill(0);
    let pseudo = sum(&ip[12..20]) + 6 + length as u64 - 20;
    let checksum = !folded(pseudo + sum(&ip[20..length]));
    ip[36..38].copy_from_slice(&checksum.to_be_bytes());
}

/// The sum of the 16-bit words of `bytes` (RFC 1071), four bytes at a time.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut sum: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_be_bytes(last));
    sum
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or_default()
}
