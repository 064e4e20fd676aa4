//! Payload of a watched connection.

use crate::layout::record;

/// Bytes of [`Payload`] before the copied bytes.
pub const PAYLOAD_HEADER: usize = Payload::SIZE;

/// A data segment with at most this many bytes of TCP options carries no Multipath TCP mapping: timestamps take 12
/// (RFC 7323, appendix A), the smallest mapping 14 (RFC 8684, section 3.3).
pub const PLAIN_OPTIONS: u32 = 12;

/// Payload capacity of a record, by class: the size of a ring reservation has to be a constant.
pub const CLASSES: [u32; 4] = [256, 1024, 4096, 16384];

record! {
    /// A data segment, or a piece of one; the copied bytes follow. On the payload ring.
    pub struct Payload: 64 {
        /// [`crate::WIRE_VERSION`].
        pub version: u16,
        /// [`crate::kind::PAYLOAD`].
        pub kind: u8,
        /// [`crate::role`].
        pub role: u8,
        /// TCP flags of the segment; SYN only on its first piece, FIN only on its last.
        pub tcp_flags: u8,
        /// [`crate::direction`].
        pub direction: u8,
        /// [`crate::flag`] bits.
        pub flags: u8,
        /// TCP options of the segment, bytes: they lie between this header and the copied bytes. Carried by the first
        /// piece of a segment that has more of them than [`PLAIN_OPTIONS`].
        pub options_len: u8,
        /// Sequence number of the first byte of this piece.
        pub seq: u32,
        /// Acknowledgement number of the segment.
        pub ack: u32,
        /// Bytes of this piece on the wire.
        pub len: u32,
        /// Bytes copied behind this header and the options; at most `len`.
        pub captured: u32,
        /// Kernel time (CLOCK_MONOTONIC, ns).
        pub time: u64,
        /// [`crate::face_key`]; on the listener's socket, the listener's cookie.
        pub key: u64,
        /// Payload bytes of this connection that found the ring full, since it began.
        pub lost_bytes: u64,
        /// Payload bytes skipped by the rate limit on requests, since it began.
        pub skipped_bytes: u64,
        /// Records of this connection that found a ring full, since it began.
        pub lost_records: u32,
        /// Next byte expected from the peer by the socket; 0 where it was not read.
        pub rcv_nxt: u32,
    }
}
