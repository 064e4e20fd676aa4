//! A handshake segment that ran with the listener's socket.

use crate::address::Address;
use crate::layout::record;

/// TCP options fit into this many bytes (RFC 9293, section 3.1: a data offset of 15 words less the fixed 5).
pub const OPTIONS_MAX: usize = 40;

record! {
    /// A segment of a handshake that ran with the *listener's* socket: the SYN with Fast Open data, the SYN-ACK, and
    /// the third segment, with or without payload. The child's socket does not exist yet, so the addresses and the
    /// two initial sequence numbers are its name. On the lifecycle ring, given up first when that fills.
    pub struct Handshake: 128 {
        /// [`crate::WIRE_VERSION`].
        pub version: u16,
        /// [`crate::kind::HANDSHAKE`].
        pub kind: u8,
        /// TCP flags.
        pub tcp_flags: u8,
        /// [`crate::direction`].
        pub direction: u8,
        /// TCP options carried in `options`, bytes.
        pub options_len: u8,
        /// Always 0.
        pub padding: u16,
        /// Kernel time (CLOCK_MONOTONIC, ns).
        pub time: u64,
        /// Cookie of the listener.
        pub listener: u64,
        /// Sequence number.
        pub seq: u32,
        /// Acknowledgement number.
        pub ack: u32,
        /// Payload bytes.
        pub len: u32,
        /// [`crate::reach`] bits of the listener.
        pub reach: u32,
        /// The listener's end, from the packet.
        pub local: Address,
        /// The dialling end, from the packet.
        pub remote: Address,
        /// TCP options, where the packet has SYN or is the third segment.
        pub options: [u32; 10],
    }
}
