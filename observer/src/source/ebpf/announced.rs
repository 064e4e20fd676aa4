//! What the kernel knows about a connection when it becomes known, for whoever finds its owner.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use observer_common::{Address, Announcement, mark, role};
use observer_core::connection::{Party, Process};
use observer_core::engine::{FaceKey, Role};
use observer_core::time::Timestamp;

use super::Clock;

/// The task that called connect, or bound the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Thread group ("pid") in the initial pid namespace.
    pub tgid: u32,
    /// Command name of the thread at that moment, at most 15 bytes; proves nothing.
    pub command: String,
    /// cgroup v2 id.
    pub cgroup: u64,
    /// When it called.
    pub time: Timestamp,
}

/// A connection that becomes known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Its name.
    pub key: FaceKey,
    /// Cookie of its socket; 0 while the accepted socket has shown no packet of its own.
    pub cookie: u64,
    /// Cookie of the listener that it was accepted from.
    pub listener: Option<u64>,
    /// Cookie of its network namespace, where the kernel says.
    pub netns_cookie: Option<u64>,
    /// Its own address.
    pub local: SocketAddr,
    /// Its peer's, as the socket has it.
    pub remote: SocketAddr,
    /// Its part in the connection; `None` if only user space can tell (the socket is older than the programs).
    pub role: Option<Role>,
    /// Why it is watched: bits of `observer_common::reach`. A command name alone is a candidate.
    pub reach: u32,
    /// Who connected, or bound the listener.
    pub caller: Option<Caller>,
    /// Who accepted it (a thread group), and when, if that was seen.
    pub holder: Option<(u32, Timestamp)>,
    /// An MPTCP subflow that joined another connection: its bytes are a part of that one's.
    pub joined: bool,
}

impl Announced {
    /// What a record says, under the name `key`.
    pub(super) fn of(record: &Announcement, key: FaceKey, joined: bool, clock: &Clock) -> Self {
        Self {
            key,
            cookie: record.key & 0xffff_ffff_ffff,
            listener: Some(record.listener).filter(|cookie| *cookie != 0),
            netns_cookie: Some(record.netns).filter(|cookie| *cookie != 0),
            local: address(&record.local),
            remote: address(&record.remote),
            role: match record.role {
                role::CLIENT => Some(Role::Client),
                role::SERVER => Some(Role::Server),
                _ => None,
            },
            reach: record.reach,
            caller: (record.marks & mark::OWNER != 0).then(|| Caller {
                tgid: record.tgid,
                command: command(record.command),
                cgroup: record.cgroup,
                time: clock.utc(record.called),
            }),
            holder: (record.holder != 0
                && record.role == role::SERVER
                && record.marks & mark::WAS_RELEASED == 0)
                .then(|| (record.holder, clock.utc(record.held))),
            joined,
        }
    }

    /// The owner as far as the kernel knows it: who connected holds the socket at first; who bound a listener only opened
    /// it.
    #[must_use]
    pub fn party(&self) -> Option<Box<Party>> {
        let caller = self.caller.as_ref()?;
        let process = Process { pid: caller.tgid, name: caller.command.clone(), ..Process::default() };
        let mut party = Party { cgroup_id: Some(caller.cgroup).filter(|id| *id != 0), ..Party::default() };
        if self.role == Some(Role::Server) {
            party.opened_by = Some(process);
        } else {
            party.process = Some(process);
        }
        Some(Box::new(party))
    }
}

/// An address as the records have it; IPv4-mapped ones as IPv4.
pub(super) fn address(address: &Address) -> SocketAddr {
    let ip = Ipv6Addr::from(address.octets());
    SocketAddr::new(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4), address.port)
}

fn command(words: [u64; 2]) -> String {
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
