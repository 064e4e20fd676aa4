//! Who dialled an older connection.

use std::collections::HashMap;
use std::net::SocketAddr;

use observer_core::engine::{Role, Tuple};

use super::socket::{Socket, State};

/// The listeners of one network namespace by port.
#[derive(Debug, Default)]
pub(crate) struct Listening<'a>(HashMap<u16, Vec<&'a Socket>>);

impl<'a> Listening<'a> {
    pub(crate) fn of(sockets: &'a [Socket]) -> Self {
        let mut by_port: HashMap<u16, Vec<&Socket>> = HashMap::new();
        for socket in sockets.iter().filter(|socket| socket.state == State::Listen) {
            by_port.entry(socket.local.port()).or_default().push(socket);
        }
        // With SO_REUSEPORT many listeners share one address: one of each is enough to answer.
        for listeners in by_port.values_mut() {
            listeners.sort_by_key(|socket| (socket.local, socket.only_v6));
            listeners.dedup_by_key(|socket| (socket.local, socket.only_v6));
        }
        Self(by_port)
    }

    fn at(&self, address: SocketAddr) -> bool {
        self.0.get(&address.port()).is_some_and(|listeners| listeners.iter().any(|it| it.listens_at(address)))
    }
}

/// The role of a connected socket and its ends, and whether that is certain.
///
/// Evidence: the counted SYN ([`Socket::dialled`]), and a listener at the local address in the same namespace. Both
/// together, or the counters alone where no listener is left to ask, are certain; a listener alone is, too, since the
/// kernel gives a port with a listener to no dialling socket. If they contradict each other, or neither says anything
/// (the listener may have been closed after it accepted), the role is a guess that is marked as one.
pub(crate) fn orient(socket: &Socket, listening: &Listening<'_>) -> (Role, Tuple, bool) {
    let (dialled, certain) = match (socket.dialled(), listening.at(socket.local)) {
        (Some(true), false) => (true, true),
        (Some(false) | None, true) => (false, true),
        (Some(false), false) => (false, true),
        (Some(true), true) => (true, false),
        (None, false) => (true, false),
    };
    if dialled {
        (Role::Client, Tuple { client: socket.local, server: socket.remote }, certain)
    } else {
        (Role::Server, Tuple { client: socket.remote, server: socket.local }, certain)
    }
}

#[cfg(test)]
mod tests {
    use super::super::socket::{Counters, socket};
    use super::*;

    fn with(acked: u64, sent: u64) -> Socket {
        let counters = Counters { bytes_acked: acked, bytes_sent: sent, ..Counters::default() };
        Socket { counters: Some(counters), ..socket(State::Established, "10.0.0.1:443", "10.0.0.2:5000") }
    }

    #[test]
    fn a_listener_at_the_local_address_means_accepted() {
        let listeners = [socket(State::Listen, "[::]:443", "[::]:0")];
        let (role, tuple, certain) = orient(&with(0, 0), &Listening::of(&listeners));
        assert_eq!((role, certain), (Role::Server, true));
        assert_eq!(tuple.client, "10.0.0.2:5000".parse().unwrap());
    }

    #[test]
    fn the_counters_tell_when_the_listener_is_gone() {
        assert_eq!(orient(&with(9, 9), &Listening::default()).0, Role::Server);
        let (role, _, certain) = orient(&with(10, 9), &Listening::default());
        assert_eq!((role, certain), (Role::Client, true));
    }

    #[test]
    fn without_evidence_the_direction_is_not_certain() {
        assert!(!orient(&with(0, 0), &Listening::default()).2);
        let listeners = [socket(State::Listen, "0.0.0.0:443", "0.0.0.0:0")];
        assert!(!orient(&with(10, 9), &Listening::of(&listeners)).2, "the two contradict each other");
    }
}
