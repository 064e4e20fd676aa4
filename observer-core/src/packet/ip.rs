//! IPv4 (RFC 791) and IPv6 (RFC 8200) down to the transport's payload.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Skip;

const TCP: u8 = 6;
const MAX_EXTENSIONS: usize = 16;

/// A piece of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// Which packet it belongs to (RFC 791, RFC 8200 section 4.5).
    pub identification: u32,
    /// Place of its first byte in the packet's payload.
    pub offset: u32,
    /// Whether others follow.
    pub more: bool,
    /// Bytes on the wire; more than `payload.len()` if the capture cut it.
    pub length: u32,
    /// The captured bytes.
    pub payload: &'a [u8],
}

/// An IP packet that carries TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip<'a> {
    /// Sender, IPv4-mapped addresses as IPv4.
    pub source: IpAddr,
    /// Receiver, likewise.
    pub destination: IpAddr,
    /// Bytes of the transport segment on the wire.
    pub length: u32,
    /// The captured bytes of it, without link-layer padding.
    pub payload: &'a [u8],
    /// Set if this is only a piece of a packet.
    pub fragment: Option<Fragment<'a>>,
}

impl<'a> Ip<'a> {
    /// Decodes the headers of a packet of which `wire_length` bytes were on the wire.
    ///
    /// # Errors
    /// Why it carries no TCP.
    pub fn decode(packet: &'a [u8], wire_length: u32) -> Result<Self, Skip> {
        match packet.first().map(|first| first >> 4) {
            Some(4) => Self::decode_v4(packet, wire_length),
            Some(6) => Self::decode_v6(packet, wire_length),
            Some(_) => Err(Skip::NotIp),
            None => Err(Skip::Truncated),
        }
    }

    fn decode_v4(packet: &'a [u8], wire_length: u32) -> Result<Self, Skip> {
        let header = packet.first_chunk::<20>().ok_or(Skip::Truncated)?;
        let header_length = u32::from(header[0] & 15) * 4;
        // Zero: a giant segment that the network card was still to cut.
        let total = match u32::from(u16::from_be_bytes([header[2], header[3]])) {
            0 => wire_length,
            total => total,
        };
        if header_length < 20 || total < header_length {
            return Err(Skip::Malformed);
        }
        if header[9] != TCP {
            return Err(Skip::NotTcp);
        }
        let source = IpAddr::V4(Ipv4Addr::new(header[12], header[13], header[14], header[15]));
        let destination = IpAddr::V4(Ipv4Addr::new(header[16], header[17], header[18], header[19]));
        let length = total - header_length;
        let payload = cut(packet.get(header_length as usize..).ok_or(Skip::Truncated)?, length);
        let flags = u16::from_be_bytes([header[6], header[7]]);
        let (offset, more) = (u32::from(flags & 0x1fff) * 8, flags & 0x2000 != 0);
        let identification = u32::from(u16::from_be_bytes([header[4], header[5]]));
        let fragment = (more || offset > 0).then_some(Fragment {
            source,
            destination,
            identification,
            offset,
            more,
            length,
            payload,
        });
        Ok(Self { source, destination, length, payload, fragment })
    }

    fn decode_v6(packet: &'a [u8], wire_length: u32) -> Result<Self, Skip> {
        let (header, mut rest) = packet.split_first_chunk::<40>().ok_or(Skip::Truncated)?;
        // Zero: a jumbogram (RFC 2675), or a giant segment that the network card was still to cut.
        let mut length = match u32::from(u16::from_be_bytes([header[4], header[5]])) {
            0 => wire_length.saturating_sub(40),
            length => length,
        };
        rest = cut(rest, length);
        let (source, destination) = (address(&header[8..24]), address(&header[24..40]));
        let mut kind = header[6];
        for _ in 0..MAX_EXTENSIONS {
            let size = match kind {
                TCP => return Ok(Self { source, destination, length, payload: rest, fragment: None }),
                // Hop-by-hop options, routing, destination options, mobility, HIP, shim6.
                0 | 43 | 60 | 135 | 139 | 140 => (u32::from(byte(rest, 1)?) + 1) * 8,
                // Authentication header (RFC 4302).
                51 => (u32::from(byte(rest, 1)?) + 2) * 4,
                44 => 8,
                _ => return Err(Skip::NotTcp),
            };
            let extension = rest.get(..size as usize).ok_or(Skip::Truncated)?;
            let next = extension[0];
            length = length.checked_sub(size).ok_or(Skip::Malformed)?;
            rest = rest.get(size as usize..).unwrap_or_default();
            if kind == 44 {
                let place = u16::from_be_bytes([extension[2], extension[3]]);
                let (offset, more) = (u32::from(place & 0xfff8), place & 1 != 0);
                // An atomic fragment is a whole packet (RFC 6946).
                if more || offset > 0 {
                    if next != TCP {
                        return Err(Skip::NotTcp);
                    }
                    let identification =
                        u32::from_be_bytes([extension[4], extension[5], extension[6], extension[7]]);
                    let fragment =
                        Fragment { source, destination, identification, offset, more, length, payload: rest };
                    return Ok(Self { source, destination, length, payload: rest, fragment: Some(fragment) });
                }
            }
            kind = next;
        }
        Err(Skip::Malformed)
    }
}

fn cut(bytes: &[u8], length: u32) -> &[u8] {
    bytes.get(..length as usize).unwrap_or(bytes)
}

fn byte(bytes: &[u8], at: usize) -> Result<u8, Skip> {
    bytes.get(at).copied().ok_or(Skip::Truncated)
}

fn address(bytes: &[u8]) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(bytes);
    Ipv6Addr::from(octets).to_canonical()
}
