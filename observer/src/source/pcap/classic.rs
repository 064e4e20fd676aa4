//! The classic capture format (pcap): a file header, then records of a header and a packet each
//! (draft-ietf-opsawg-pcap).

use observer_core::time::Timestamp;

use super::MAX_PACKET;
use super::damage::Fault;
use super::order::Order;
use super::packet::Packet;

const FILE_HEADER: usize = 24;

/// What a classic capture's file header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Classic {
    order: Order,
    /// Nanoseconds in one unit of a record's second time field.
    nanoseconds: u64,
    /// Bytes in front of each packet.
    record_header: usize,
    link: u16,
}

impl Classic {
    /// Whether a capture with these first four bytes is a classic one.
    pub(super) fn sniff(magic: [u8; 4]) -> bool {
        Self::variant(magic).is_some()
    }

    /// Reads the file header; `None` if it is not there whole. The length is how much of `bytes` it took.
    pub(super) fn begin(bytes: &[u8]) -> Option<Result<(Self, usize), Fault>> {
        let header = bytes.first_chunk::<FILE_HEADER>()?;
        let Some((order, nanoseconds, record_header)) =
            header.first_chunk().and_then(|magic| Self::variant(*magic))
        else {
            return Some(Err(Fault::Foreign));
        };
        let (major, minor) = (order.u16(header, 4), order.u16(header, 6));
        if major != 2 {
            return Some(Err(Fault::Version { major, minor }));
        }
        // The upper half of the field speaks of frame check sequences, which the IP length tells apart anyway.
        let link = match order {
            Order::Little => order.u16(header, 20),
            Order::Big => order.u16(header, 22),
        };
        Some(Ok((Self { order, nanoseconds, record_header, link }, FILE_HEADER)))
    }

    /// Byte order, nanoseconds in a time unit, length of a record header.
    fn variant(magic: [u8; 4]) -> Option<(Order, u64, usize)> {
        [(Order::Little, u32::from_le_bytes(magic)), (Order::Big, u32::from_be_bytes(magic))]
            .into_iter()
            .find_map(|(order, magic)| match magic {
                0xa1b2_c3d4 => Some((order, 1_000, 16)),
                0xa1b2_3c4d => Some((order, 1, 16)),
                // Alexey Kuznetzov's variant: interface index, protocol and packet type follow the usual header.
                0xa1b2_cd34 => Some((order, 1_000, 24)),
                _ => None,
            })
    }

    /// Reads the record at `at` in `bytes`, and tells where the next one begins; `None` if it is not there whole.
    pub(super) fn record(&self, bytes: &[u8], at: usize) -> Option<Result<(Packet, usize), Fault>> {
        let header = bytes.get(at..)?.get(..self.record_header)?;
        let captured = self.order.u32(header, 8);
        if captured > MAX_PACKET {
            return Some(Err(Fault::PacketTooLong { length: captured }));
        }
        let start = at + self.record_header;
        let end = start + captured as usize;
        if end > bytes.len() {
            return None;
        }
        let seconds = u64::from(self.order.u32(header, 0));
        let fraction = u64::from(self.order.u32(header, 4));
        let packet = Packet {
            time: Timestamp(seconds * 1_000_000_000 + fraction * self.nanoseconds),
            start: u32::try_from(start).ok()?,
            captured,
            original: self.order.u32(header, 12).max(captured),
            interface: 0,
            link: self.link,
        };
        Some(Ok((packet, end)))
    }
}
