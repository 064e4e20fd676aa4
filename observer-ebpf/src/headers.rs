//! Where the TCP header of a packet lies, and what little of it is needed.

use aya_ebpf::bindings::__sk_buff;
use network_types::ip::{IpProto, Ipv4Hdr, Ipv6Hdr};
use network_types::tcp::TcpHdr;

/// No more data from sender.
pub const FIN: u8 = 0x01;
/// Synchronise sequence numbers.
pub const SYN: u8 = 0x02;
/// Reset the connection.
pub const RST: u8 = 0x04;
/// The acknowledgement field is significant.
pub const ACK: u8 = 0x10;

/// IPv6 extension headers that are followed before giving up.
const EXTENSIONS: usize = 4;

/// A TCP segment's place in its packet, and its fields in host byte order.
#[derive(Clone, Copy)]
pub struct Headers {
    pub version: u8,
    pub flags: u8,
    /// Offset of the TCP header from the IP header.
    pub tcp: u32,
    /// Offset of the payload from the IP header.
    pub payload: u32,
    /// Payload bytes, from the packet's length: an offloaded packet is longer than an IP header can say.
    pub len: u32,
    pub seq: u32,
    pub ack: u32,
}

impl Headers {
    /// The same, with nothing left of what the verifier worked out on the way: it then goes on once, and not once for
    /// every IP version and number of extension headers. `zero` is 0 from a map.
    #[inline(always)]
    pub fn forgotten(&self, zero: u64) -> Self {
        Self {
            version: forget(self.version.into(), zero) as u8,
            flags: forget(self.flags.into(), zero) as u8,
            tcp: forget(self.tcp.into(), zero) as u32,
            payload: forget(self.payload.into(), zero) as u32,
            len: forget(self.len.into(), zero) as u32,
            seq: self.seq,
            ack: self.ack,
        }
    }
}

/// `number`, of which the verifier knows nothing any more. Added in 64 bits, as it counts, and out of LLVM's sight,
/// which would narrow the sum.
#[inline(always)]
pub fn forget(number: u64, zero: u64) -> u64 {
    core::hint::black_box(number.wrapping_add(zero))
}

/// Why there are none.
pub enum Unread {
    /// Not TCP.
    OtherProtocol,
    /// Encapsulated: the socket's segment is inside, out of reach.
    Encapsulated,
    /// The headers are cut or not where they can be read.
    Unreadable,
}

/// Reads the headers. The packet begins with its IP header in both directions.
#[inline(always)]
pub fn read(skb: *mut __sk_buff) -> Result<Headers, Unread> {
    // SAFETY: context fields; the verifier rewrites these loads.
    let (start, end, total) = unsafe { ((*skb).data as usize, (*skb).data_end as usize, (*skb).len) };
    let ip = at::<Ipv4Hdr>(start, end)?;
    // SAFETY: `at` checked the bounds, and every header type is made of bytes.
    let (version, mut offset, mut protocol) = unsafe {
        if (*ip).vihl >> 4 == 4 {
            (4, u32::from((*ip).vihl & 0xf) * 4, (*ip).proto)
        } else {
            (6, size_of::<Ipv6Hdr>() as u32, (*at::<Ipv6Hdr>(start, end)?).next_hdr)
        }
    };
    if protocol != IpProto::Tcp as u8 {
        if version == 4 {
            return Err(other(protocol));
        }
        let mut left = EXTENSIONS;
        while protocol == IpProto::HopOpt as u8
            || protocol == IpProto::Ipv6Route as u8
            || protocol == IpProto::Ipv6Opts as u8
        {
            if left == 0 {
                return Err(Unread::Unreadable);
            }
            left -= 1;
            let extension = at::<[u8; 2]>(start + offset as usize, end)?;
            // SAFETY: bounds checked.
            unsafe {
                protocol = (*extension)[0];
                offset += (u32::from((*extension)[1]) + 1) * 8;
            }
        }
        if protocol != IpProto::Tcp as u8 {
            return Err(other(protocol));
        }
    }
    let tcp = at::<TcpHdr>(start + offset as usize, end)?;
    // Whole words: byte by byte, eight values would be kept where two are enough.
    // SAFETY: bounds checked. The kernel aligns IP headers to four bytes where the processor asks for it
    // (NET_IP_ALIGN), and elsewhere the load may be at any address.
    let (seq, ack, bits) = unsafe {
        let words = tcp.cast::<u32>();
        (u32::from_be(*words.add(1)), u32::from_be(*words.add(2)), tcp.cast::<u8>().add(12))
    };
    // SAFETY: bytes 12 and 13 of the header whose bounds were checked: data offset and flags.
    let (words, flags) = unsafe { (u32::from(*bits >> 4), *bits.add(1)) };
    let payload = offset + words * 4;
    if payload > total || words < 5 {
        return Err(Unread::Unreadable);
    }
    Ok(Headers { version, flags, tcp: offset, payload, len: total - payload, seq, ack })
}

#[inline(always)]
fn other(protocol: u8) -> Unread {
    if protocol == IpProto::Esp as u8 || protocol == IpProto::Ah as u8 {
        Unread::Encapsulated
    } else {
        Unread::OtherProtocol
    }
}

#[inline(always)]
fn at<T>(place: usize, end: usize) -> Result<*const T, Unread> {
    if place + size_of::<T>() > end { Err(Unread::Unreadable) } else { Ok(place as *const T) }
}
