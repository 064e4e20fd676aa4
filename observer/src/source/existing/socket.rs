//! One TCP socket as socket diagnostics show it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use netlink_packet_core::Nla as _;
use netlink_packet_sock_diag::constants::{
    AF_INET6, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_SENT,
};
use netlink_packet_sock_diag::inet::InetResponse;
use netlink_packet_sock_diag::inet::nlas::Nla;

/// `INET_DIAG_ULP_INFO` and `INET_DIAG_CGROUP_ID` of `include/uapi/linux/inet_diag.h`.
const ULP_INFO: u16 = 19;
const CGROUP_ID: u16 = 21;

/// The states that matter (`include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits for connections.
    Listen,
    /// Has dialled and waits for the answer.
    SynSent,
    /// Both ways open.
    Established,
    /// The peer has closed its way, this end has not.
    CloseWait,
    /// This end has closed its way: `FIN_WAIT1`, `FIN_WAIT2`, `CLOSING`, `LAST_ACK`.
    Closing,
}

/// Counters of `struct tcp_info` (`include/uapi/linux/tcp.h`), read by the kernel under the socket's lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Segments sent and not acknowledged.
    pub unacked: u32,
    /// Segments sent again, over the connection's life.
    pub retransmitted: u32,
    /// Sequence numbers acknowledged by the peer.
    pub bytes_acked: u64,
    /// Payload bytes received in order.
    pub bytes_received: u64,
    /// Payload bytes sent, repetitions included.
    pub bytes_sent: u64,
}

impl Counters {
    /// Reads them at their fixed offsets; `None` if the kernel's structure ends before `bytes_sent` (before 4.19).
    fn parse(info: &[u8]) -> Option<Self> {
        let short = |at: usize| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_ne_bytes(info.get(at..at + 8)?.try_into().ok()?));
        Some(Self {
            unacked: short(24)?,
            retransmitted: short(100)?,
            bytes_acked: long(120)?,
            bytes_received: long(128)?,
            bytes_sent: long(200)?,
        })
    }
}

/// One socket. Addresses that are IPv4 inside IPv6 are given as IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its cookie: the same number that the kernel programs see.
    pub cookie: u64,
    /// Inode of its descriptor; 0 if it has none (not accepted yet, or closed by its program).
    pub inode: u64,
    /// Its state.
    pub state: State,
    /// Its own address.
    pub local: SocketAddr,
    /// Its peer's; meaningless for a listener.
    pub remote: SocketAddr,
    /// For a listener on an IPv6 address: whether it refuses IPv4.
    pub only_v6: bool,
    /// The user who made it.
    pub uid: u32,
    /// cgroup version 2 id of its maker (for an accepted one: its listener's), from Linux 5.9 on.
    pub cgroup_id: Option<u64>,
    /// Whether it is a subflow of an MPTCP connection.
    pub mptcp: bool,
    /// Its counters, where the kernel gave them.
    pub counters: Option<Counters>,
}

impl Socket {
    /// From the kernel's answer; `None` for a state without a full socket (`TIME_WAIT`, `SYN_RECV`, closed).
    #[must_use]
    pub fn from_response(response: &InetResponse) -> Option<Self> {
        let header = &response.header;
        let state = match header.state {
            TCP_LISTEN => State::Listen,
            TCP_SYN_SENT => State::SynSent,
            TCP_ESTABLISHED => State::Established,
            TCP_CLOSE_WAIT => State::CloseWait,
            // FIN_WAIT1, FIN_WAIT2, LAST_ACK, CLOSING.
            4 | 5 | 9 | 11 => State::Closing,
            _ => return None,
        };
        let id = &header.socket_id;
        let mut socket = Self {
            cookie: u64::from_ne_bytes(id.cookie),
            inode: u64::from(header.inode),
            state,
            local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
            remote: SocketAddr::new(id.destination_address.to_canonical(), id.destination_port),
            only_v6: false,
            uid: header.uid,
            cgroup_id: None,
            mptcp: false,
            counters: None,
        };
        for attribute in &response.nlas {
            match attribute {
                Nla::TcpInfo(info) => socket.counters = Counters::parse(info),
                Nla::SkV6Only(only) => socket.only_v6 = *only,
                Nla::Other(other) => {
                    let mut value = vec![0; other.value_len()];
                    other.emit_value(&mut value);
                    match other.kind() & 0x3fff {
                        CGROUP_ID => {
                            socket.cgroup_id =
                                value.get(..8).and_then(|id| Some(u64::from_ne_bytes(id.try_into().ok()?)));
                        }
                        // Nested: INET_ULP_INFO_NAME is the name of the protocol above.
                        ULP_INFO => socket.mptcp = value.windows(6).any(|name| name == b"mptcp\0"),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        // The family decides what a wildcard covers, and an IPv6 wildcard is not canonicalised.
        debug_assert!(header.family == AF_INET6 || socket.local.is_ipv4());
        Some(socket)
    }

    /// Whether this listener takes connections to `address`.
    #[must_use]
    pub fn listens_at(&self, address: SocketAddr) -> bool {
        let covers = match self.local.ip() {
            IpAddr::V6(ip) if ip == Ipv6Addr::UNSPECIFIED => address.is_ipv6() || !self.only_v6,
            ip if ip.is_unspecified() => address.is_ipv4(),
            ip => ip == address.ip(),
        };
        self.state == State::Listen && self.local.port() == address.port() && covers
    }

    /// What the counters prove of the direction: `Some(true)` if this socket dialled.
    ///
    /// The end that dials counts its own SYN among the acknowledged sequence numbers (`tcp_rcv_synsent_state_process`
    /// passes the SYN-ACK through `tcp_ack`), the end that accepts begins behind it (`tcp_create_openreq_child`). So when
    /// nothing is unacknowledged and nothing was repeated, `bytes_acked` exceeds `bytes_sent` by exactly one on the
    /// dialling end and by nothing on the other. An own FIN would count too, so only ends that have not closed are
    /// told. Sockets restored by a checkpoint start at zero: `bytes_sent` and `bytes_acked` both 0 prove nothing.
    #[must_use]
    pub fn dialled(&self) -> Option<bool> {
        if self.state == State::SynSent {
            return Some(true);
        }
        let counters = self.counters.filter(|counters| {
            matches!(self.state, State::Established | State::CloseWait)
                && counters.unacked == 0
                && counters.retransmitted == 0
        })?;
        match counters.bytes_acked.checked_sub(counters.bytes_sent)? {
            1 => Some(true),
            0 if counters.bytes_sent > 0 => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) fn socket(state: State, local: &str, remote: &str) -> Socket {
    Socket {
        cookie: 1,
        inode: 2,
        state,
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        only_v6: false,
        uid: 0,
        cgroup_id: None,
        mptcp: false,
        counters: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(state: State, sent: u64, acked: u64, unacked: u32, retransmitted: u32) -> Option<bool> {
        let counters =
            Counters { unacked, retransmitted, bytes_acked: acked, bytes_received: 0, bytes_sent: sent };
        let mut socket = socket(state, "10.0.0.1:1", "10.0.0.2:2");
        socket.counters = Some(counters);
        socket.dialled()
    }

    #[test]
    fn the_counted_syn_tells_who_dialled() {
        assert_eq!(counted(State::Established, 100, 101, 0, 0), Some(true));
        assert_eq!(counted(State::Established, 0, 1, 0, 0), Some(true));
        assert_eq!(counted(State::CloseWait, 100, 100, 0, 0), Some(false));
    }

    #[test]
    fn counters_that_could_mean_either_prove_nothing() {
        assert_eq!(counted(State::Established, 0, 0, 0, 0), None);
        assert_eq!(counted(State::Established, 101, 101, 1, 0), None);
        assert_eq!(counted(State::Established, 101, 101, 0, 1), None);
        assert_eq!(counted(State::Closing, 100, 101, 0, 0), None);
        assert_eq!(counted(State::Established, 100, 103, 0, 0), None);
        assert_eq!(counted(State::Established, 100, 99, 0, 0), None);
    }

    #[test]
    fn a_wildcard_listener_covers_what_the_kernel_gives_it() {
        let v6 = socket(State::Listen, "[::]:443", "[::]:0");
        assert!(
            v6.listens_at("10.0.0.1:443".parse().unwrap()) && v6.listens_at("[::1]:443".parse().unwrap())
        );
        let only = Socket { only_v6: true, ..v6 };
        assert!(!only.listens_at("10.0.0.1:443".parse().unwrap()));
        let v4 = socket(State::Listen, "0.0.0.0:443", "0.0.0.0:0");
        assert!(
            v4.listens_at("10.0.0.1:443".parse().unwrap()) && !v4.listens_at("[::1]:443".parse().unwrap())
        );
        let one = socket(State::Listen, "127.0.0.1:443", "0.0.0.0:0");
        assert!(
            !one.listens_at("10.0.0.1:443".parse().unwrap())
                && !one.listens_at("127.0.0.1:444".parse().unwrap())
        );
    }
}
