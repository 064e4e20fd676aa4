//! A watched socket's connection becomes known.

use crate::address::Address;
use crate::layout::record;

record! {
    /// A watched socket's connection becomes known. On the lifecycle ring, before everything else of it.
    pub struct Announcement: 256 {
        /// [`crate::WIRE_VERSION`].
        pub version: u16,
        /// [`crate::kind::ANNOUNCEMENT`].
        pub kind: u8,
        /// [`crate::role`].
        pub role: u8,
        /// TCP flags of the packet that announced it.
        pub tcp_flags: u8,
        /// [`crate::direction`] of that packet.
        pub direction: u8,
        /// [`crate::state`] of the socket.
        pub state: u8,
        /// TCP options carried in `options`, bytes.
        pub options_len: u8,
        /// [`crate::mark`] bits: what is known, and how it came to be.
        pub marks: u32,
        /// [`crate::reach`] bits: why it is watched.
        pub reach: u32,
        /// Kernel time (CLOCK_MONOTONIC, ns) of that packet.
        pub time: u64,
        /// Kernel time of the connect call, or of the bind of the listener; 0 if not seen.
        pub called: u64,
        /// [`crate::face_key`].
        pub key: u64,
        /// Cookie of the listener that it was accepted from; 0 if none.
        pub listener: u64,
        /// Cookie of the network namespace; 0 where the kernel does not say (before 6.18).
        pub netns: u64,
        /// cgroup v2 id of the caller of connect or bind; 0 if not seen.
        pub cgroup: u64,
        /// Thread group of the caller of connect or bind ("pid"); 0 if not seen.
        pub tgid: u32,
        /// Thread group that accepted it, if that was seen; 0 otherwise.
        pub holder: u32,
        /// Command name of that caller, 15 bytes and a NUL, in memory order.
        pub command: [u64; 2],
        /// Initial sequence number of the local end, where [`crate::mark::ISN_LOCAL`] is set.
        pub isn_local: u32,
        /// Initial sequence number of the remote end, where [`crate::mark::ISN_REMOTE`] is set.
        pub isn_remote: u32,
        /// The socket's own address.
        pub local: Address,
        /// The socket's peer.
        pub remote: Address,
        /// Where the first packet really goes or comes from: differs from `remote` after address translation.
        pub wire: Address,
        /// What the program passed to `connect()`; port 0 if not seen.
        pub dialled: Address,
        /// TCP options of the packet, where it has SYN.
        pub options: [u32; 10],
        /// Kernel time of the SYN that the socket sent; 0 if that was not seen, or is the packet itself.
        pub opened: u64,
        /// Cookie of the listener that answered, if it is a watched one of this node; 0 otherwise.
        pub peer: u64,
        /// Kernel time at which `holder` accepted it.
        pub held: u64,
    }
}
