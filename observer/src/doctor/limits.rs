//! What differs by kernel, and what no kernel shows.

use serde::Serialize;

use super::kernel::KernelVersion;

/// Something that works from some kernel on. Measured on 5.10, 6.1, 6.12, 6.18, 7.2 and 7.3; `since` is the first of
/// those on which it was seen to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KernelLimit {
    /// First kernel it was seen to work on.
    pub since: KernelVersion,
    /// What works from there on.
    pub what: &'static str,
    /// What the observer does without.
    pub before: &'static str,
}

impl KernelLimit {
    /// All of them, oldest first.
    pub const ALL: &[Self] = &[
        Self {
            since: KernelVersion(6, 1),
            what: "network namespace cookie where a connection is established",
            before: "namespaces are told apart by the process that owns the socket",
        },
        Self {
            since: KernelVersion(6, 12),
            what: "process and control group in packet and establishment hooks",
            before: "the caller of connect, socket and bind is kept with the socket",
        },
        Self {
            since: KernelVersion(6, 18),
            what: "command name and user in packet and establishment hooks",
            before: "both are noted when the call is made",
        },
        Self {
            since: KernelVersion(6, 18),
            what: "network namespace cookie in packet hooks",
            before: "it is taken from the establishment hook, or from the owner",
        },
    ];
}

/// What the observer can never see on any kernel, so that nobody takes its silence for safety.
pub const NEVER_SEEN: &[&str] = &[
    "UNIX sockets: for example konnectivity's, or a container runtime's",
    "UDP, and so QUIC and HTTP/3",
    "pods in a sandbox with a network stack or kernel of its own (gVisor, Kata): only what leaves the sandbox as a \
     node's TCP socket",
    "AF_XDP and user-space network stacks (DPDK)",
    "traffic that this node only forwards: its sockets are on other nodes",
    "what is inside TLS, and whether encryption below the socket (WireGuard, IPsec) exists",
];
