//! Something happened to an announced connection.

use crate::layout::record;

record! {
    /// A control segment (SYN-ACK, FIN, RST) of an announced connection, who accepted it, or the release of its socket.
    /// On the lifecycle ring.
    pub struct Event: 112 {
        /// [`crate::WIRE_VERSION`].
        pub version: u16,
        /// [`crate::kind::EVENT`].
        pub kind: u8,
        /// [`crate::role`].
        pub role: u8,
        /// TCP flags of the packet; 0 for a release.
        pub tcp_flags: u8,
        /// [`crate::direction`] of the packet; [`crate::direction::NONE`] for a release.
        pub direction: u8,
        /// [`crate::state`] of the socket before the packet took effect.
        pub state: u8,
        /// Always 0.
        pub padding: u8,
        /// [`crate::mark`] bits.
        pub marks: u32,
        /// Records of this connection that found a ring full, since it began.
        pub lost_records: u32,
        /// Kernel time (CLOCK_MONOTONIC, ns).
        pub time: u64,
        /// [`crate::face_key`].
        pub key: u64,
        /// Payload bytes of this connection that found the ring full, since it began.
        pub lost_bytes: u64,
        /// Payload bytes skipped by the rate limit on requests, since it began.
        pub skipped_bytes: u64,
        /// `bytes_acked` of the socket (RFC 4898): what the peer has acknowledged, a SYN of ours counted.
        pub bytes_acked: u64,
        /// `bytes_received` of the socket (RFC 4898).
        pub bytes_received: u64,
        /// Sequence number of the packet.
        pub seq: u32,
        /// Acknowledgement number of the packet.
        pub ack: u32,
        /// Payload bytes of the packet.
        pub len: u32,
        /// First byte that the peer has not acknowledged.
        pub snd_una: u32,
        /// Next byte expected from the peer.
        pub rcv_nxt: u32,
        /// Next byte to be sent.
        pub snd_nxt: u32,
        /// Initial sequence number of the local end, where [`crate::mark::ISN_LOCAL`] is set.
        pub isn_local: u32,
        /// Thread group ("pid") that let go of the socket as its last holder where [`crate::mark::RELEASED`] or
        /// [`crate::mark::WAS_RELEASED`] is set, else the one that accepted it; 0 if not seen.
        pub holder: u32,
        /// Kernel time at which `holder` was seen with the socket.
        pub held: u64,
        /// The one thread group that sent; 0 if none was seen, `u32::MAX` if several were.
        pub sender: u32,
        /// Always 0.
        pub padding2: u32,
    }
}
