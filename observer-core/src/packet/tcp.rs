//! The TCP header (RFC 9293, section 3.1).

use super::Skip;
use crate::flow::{Flags, Segment};
use crate::time::Timestamp;

/// Ports and segment from the payload of an IP packet that was `length` bytes long on the wire.
pub(super) fn decode(bytes: &[u8], length: u32, time: Timestamp) -> Result<(u16, u16, Segment<'_>), Skip> {
    let Some((header, _)) = bytes.split_first_chunk::<20>() else {
        return Err(if length < 20 { Skip::Malformed } else { Skip::Truncated });
    };
    let header_length = u32::from(header[12] >> 4) * 4;
    if header_length < 20 || header_length > length {
        return Err(Skip::Malformed);
    }
    // Options that the capture cut off are of no interest; then no payload was captured either.
    let payload = bytes.get(header_length as usize..).unwrap_or_default();
    let segment = Segment {
        time,
        seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        flags: Flags(header[13]),
        len: length - header_length,
        payload,
    };
    let source = u16::from_be_bytes([header[0], header[1]]);
    let destination = u16::from_be_bytes([header[2], header[3]]);
    Ok((source, destination, segment))
}
