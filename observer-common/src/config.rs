//! What user space may change while the programs run.

use crate::layout::record;

record! {
    /// The one configuration entry. A change of anything that scope rests on goes with a new `generation`, which makes
    /// every socket decide again at its next data packet.
    pub struct Config: 72 {
        /// Number of this configuration, never 0 (a socket that has not decided yet has 0).
        pub generation: u32,
        /// 1: every TCP connection is watched (`--scope all`).
        pub everything: u32,
        /// Number of address prefixes; 0 spares the look-up.
        pub addresses: u32,
        /// Number of cgroups; 0 spares the look-up.
        pub cgroups: u32,
        /// Number of thread groups with a verdict; 0 spares the look-up.
        pub processes: u32,
        /// Number of sockets with an owner told by user space; 0 spares the look-up.
        pub owners: u32,
        /// Payload bytes copied for each direction of a connection until user space has seen enough.
        pub budget: u32,
        /// Bytes a second copied for a connection whose requests are read on.
        pub request_rate: u32,
        /// Bytes copied of it beyond the place that user space has read to.
        pub request_window: u32,
        /// 1: of a connection with both ends here, the end that dialled tells the bytes for both.
        pub pairs: u32,
        /// Bytes in the lifecycle ring from which handshake records are given up.
        pub shed_from: u64,
        /// Bytes in a ring from which the reader is woken at once.
        pub lifecycle_wake: u64,
        /// The same for the payload ring.
        pub payload_wake: u64,
        /// Always 0, which the verifier does not know: adding it makes it forget what it knows about a number.
        pub zero: u64,
    }
}

record! {
    /// The reader's switch: it arms it before it sleeps, and the first record clears it and wakes the reader.
    pub struct WakeSwitch: 8 {
        /// 1: wake the reader with the next record.
        pub armed: u32,
        /// Always 0.
        pub padding: u32,
    }
}

record! {
    /// What user space knows about a socket that is older than the programs, by its cookie.
    pub struct OwnerRule: 16 {
        /// Thread group that holds it; 0 if unknown.
        pub tgid: u32,
        /// 1: watched whatever the other rules say.
        pub watched: u32,
        /// [`crate::role`]; [`crate::role::UNKNOWN`] if user space cannot tell.
        pub role: u32,
        /// Always 0.
        pub padding: u32,
    }
}
