//! What the kernel programs keep with a socket.

use crate::address::Address;
use crate::layout::record;

/// The socket's part in its connection.
pub mod role {
    /// Not known: the socket is older than the programs.
    pub const UNKNOWN: u8 = 0;
    /// It dialled.
    pub const CLIENT: u8 = 1;
    /// It was accepted.
    pub const SERVER: u8 = 2;
    /// It listens.
    pub const LISTENER: u8 = 3;
}

/// Which way a packet went.
pub mod direction {
    /// Out of the socket.
    pub const OUT: u8 = 0;
    /// Into the socket.
    pub const IN: u8 = 1;
    /// No packet.
    pub const NONE: u8 = 2;
}

/// Socket states (`include/net/tcp_states.h`).
pub mod state {
    /// Connected.
    pub const ESTABLISHED: u8 = 1;
    /// A SYN was sent.
    pub const SYN_SENT: u8 = 2;
    /// Gone, or not yet connected.
    pub const CLOSE: u8 = 7;
    /// The peer has finished.
    pub const CLOSE_WAIT: u8 = 8;
    /// Listening.
    pub const LISTEN: u8 = 10;
    /// Not read.
    pub const NONE: u8 = 0;
}

/// What is known of a connection, as bits of a record's `marks`.
pub mod mark {
    /// `isn_local` is set.
    pub const ISN_LOCAL: u32 = 1;
    /// `isn_remote` is set.
    pub const ISN_REMOTE: u32 = 2;
    /// The beginning of the connection was not seen, because the socket is older than the programs.
    pub const OLDER: u32 = 4;
    /// The beginning of the connection was not seen, because it was not in scope then.
    pub const LATE: u32 = 8;
    /// The owner's fields are set.
    pub const OWNER: u32 = 16;
    /// The event is the release of the socket by its last holder.
    pub const RELEASED: u32 = 32;
    /// The event says that the connection is out of scope now; nothing more comes of it.
    pub const LEFT_SCOPE: u32 = 64;
    /// The socket's counters are set.
    pub const COUNTERS: u32 = 128;
    /// The local end has been released by its last holder before.
    pub const WAS_RELEASED: u32 = 256;
    /// The event is that of a listener, not of a connection.
    pub const LISTENER: u32 = 512;
    /// A FIN has gone out of the socket, now or before: a lost event is made good by the next.
    pub const FIN_OUT: u32 = 1024;
    /// A FIN has come into the socket, now or before.
    pub const FIN_IN: u32 = 2048;
    /// The SYN that the socket sent offered Multipath TCP (MP_CAPABLE, RFC 8684, section 3.1).
    pub const MULTIPATH: u32 = 4096;
    /// The SYN that the socket sent joins a Multipath TCP connection (MP_JOIN, RFC 8684, section 3.2).
    pub const JOINS: u32 = 8192;
    /// The event says no more than who accepted the socket.
    pub const ACCEPTED: u32 = 32768;
    /// The end that dialled is on this node too and tells the bytes; of this end come its announcement and its end.
    pub const PAIRED: u32 = 16384;
}

/// Bits of a payload record's `flags`.
pub mod flag {
    /// The copy budget of this direction ends with this piece.
    pub const BUDGET_SPENT: u8 = 1;
    /// The piece ran with the listener's socket; `key` is the listener's cookie.
    pub const LISTENER: u8 = 2;
    /// The kernel could not read the bytes.
    pub const UNREADABLE: u8 = 4;
}

/// What is done with a socket's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode;

impl Mode {
    /// Not decided yet.
    pub const FRESH: u8 = 0;
    /// Not watched.
    pub const UNWATCHED: u8 = 1;
    /// Both directions are copied, each up to the budget.
    pub const COPY: u8 = 2;
    /// The direction to the server is copied on, up to the rate.
    pub const REQUESTS: u8 = 3;
    /// User space has seen enough.
    pub const ENOUGH: u8 = 4;
}

/// Names a connection: the socket's cookie in the low 48 bits, and how often that socket was connected before in the
/// next 15; the top bit is left for names that user space makes up. Cookies count up from 1 for each network namespace's sockets (`net/core/sock_diag.c`), so 48 bits do not
/// run out.
#[must_use]
#[inline(always)]
pub const fn face_key(cookie: u64, epoch: u16) -> u64 {
    (cookie & 0xffff_ffff_ffff) | (((epoch & 0x7fff) as u64) << 48)
}

record! {
    /// What the kernel programs keep with a socket. It is cloned from a listener to the sockets accepted from it, so
    /// that a child knows its listener and its owner. Each flag is a byte of its own: the two directions of a socket
    /// run at the same time, and a byte is written whole.
    pub struct SocketState: 248 {
        /// Cookie of the socket that this was written for: another one than the socket's own on a fresh clone. 0 until
        /// the first packet.
        pub cookie: u64,
        /// Cookie of the listener that the socket was accepted from; 0 if none.
        pub listener: u64,
        /// Kernel time of the connect or bind call; 0 if not seen.
        pub called: u64,
        /// cgroup of that call's task.
        pub cgroup: u64,
        /// Command name of that call's task.
        pub command: [u64; 2],
        /// Thread group of that call's task; 0 if not seen.
        pub tgid: u32,
        /// Thread group that accepted the socket, as far as a hook saw that, and from its release on the one that let go of
        /// it as its last holder; 0 if not seen.
        pub holder: u32,
        /// What was passed to connect; port 0 if not seen.
        pub dialled: Address,
        /// The configuration that `mode` was decided by.
        pub generation: u32,
        /// [`crate::reach`] bits.
        pub reach: u32,
        /// Initial sequence number of the local end.
        pub isn_local: u32,
        /// Initial sequence number of the remote end.
        pub isn_remote: u32,
        /// Sequence number of the first byte out of the socket that the budget counts.
        pub base_out: u32,
        /// The same for bytes into the socket.
        pub base_in: u32,
        /// How often the socket was connected before.
        pub epoch: u16,
        /// [`Mode`].
        pub mode: u8,
        /// [`role`].
        pub role: u8,
        /// 1: an [`crate::Announcement`] was submitted.
        pub announced: u8,
        /// 1: `isn_local` is set.
        pub has_isn_local: u8,
        /// 1: `isn_remote` is set.
        pub has_isn_remote: u8,
        /// 1: `base_out` is set.
        pub has_base_out: u8,
        /// 1: `base_in` is set.
        pub has_base_in: u8,
        /// 1: the budget of the bytes out of the socket is spent for good.
        pub spent_out: u8,
        /// 1: the same for bytes into it.
        pub spent_in: u8,
        /// 1: the socket is older than the programs.
        pub older: u8,
        /// 1: the socket came into scope late.
        pub late: u8,
        /// 1: the socket was released by its last holder.
        pub released: u8,
        /// 1: a FIN went out of the socket.
        pub fin_out: u8,
        /// 1: a FIN came into the socket.
        pub fin_in: u8,
        /// Records that found a ring full.
        pub lost_records: u64,
        /// Payload bytes that found a ring full.
        pub lost_bytes: u64,
        /// Payload bytes skipped by the rate limit.
        pub skipped_bytes: u64,
        /// [`crate::Rate::since`].
        pub rate_since: u64,
        /// [`crate::Rate::used`].
        pub rate_used: u32,
        /// 1: `tgid` and what is told with it are set.
        pub has_caller: u8,
        /// 1: a SYN went out and was not announced by itself.
        pub dialling: u8,
        /// 1: the SYN that went out offered Multipath TCP.
        pub multipath: u8,
        /// 1: the SYN that went out joins a Multipath TCP connection.
        pub joins: u8,
        /// [`crate::Window::start`].
        pub window: u32,
        /// 1: `window` is set.
        pub has_window: u8,
        /// 1: the end that dialled is on this node and tells the bytes.
        pub paired: u8,
        /// Always 0.
        pub padding: [u8; 2],
        /// [`crate::Window::since`].
        pub window_since: u64,
        /// Kernel time of the first SYN that went out.
        pub opened: u64,
        /// Kernel time at which `holder` was seen with the socket.
        pub held: u64,
        /// The one thread group that sent; 0 if none was seen, `u32::MAX` if several were.
        pub sender: u32,
        /// Always 0.
        pub padding2: u32,
        /// Where the first packet really went or came from; port 0 if none was seen.
        pub wire: Address,
        /// The socket's own address in that packet.
        pub local: Address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_connected_again_has_another_key() {
        assert_eq!(face_key(7, 0), 7);
        assert_ne!(face_key(7, 1), face_key(7, 0));
        assert_eq!(face_key(7, 1) & 0xffff_ffff_ffff, 7);
    }
}
