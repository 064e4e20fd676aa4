//! Which older sockets are the two ends of one connection.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use observer_core::engine::{FaceKey, Role};

use super::ExistingSocket;
use super::socket::State;

/// Sockets with the same two addresses that are looked at: more than a few are never certain.
const MOST: usize = 8;

/// Two older sockets that are the two ends of one connection, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// One.
    pub one: FaceKey,
    /// The other.
    pub other: FaceKey,
    /// Whether that is certain.
    pub certain: bool,
}

/// Finds them. Certain are two sockets of one network namespace whose addresses mirror each other, where no third has
/// them, whose counters do not contradict each other and of which one dialled: in one namespace nobody else can have
/// these addresses. Between two namespaces addresses prove nothing, and address translation hides the pair: those are
/// joined by what passes them later, if anything does.
pub(super) fn pairs(sockets: &mut [ExistingSocket]) -> Vec<Pair> {
    let mut by_ends: HashMap<(SocketAddr, SocketAddr), Vec<usize>> = HashMap::new();
    for (at, socket) in sockets.iter().enumerate() {
        if socket.connection.is_some() && socket.socket.state != State::SynSent {
            by_ends.entry((socket.socket.local, socket.socket.remote)).or_default().push(at);
        }
    }
    let mut found = Vec::new();
    for ((local, remote), same) in &by_ends {
        let Some(mirrored) = by_ends.get(&(*remote, *local)) else { continue };
        for one in same.iter().copied().take(MOST) {
            let here = |at: &&usize| sockets[**at].netns == sockets[one].netns;
            let twins: Vec<usize> = mirrored.iter().filter(here).copied().collect();
            let alone = same.iter().filter(here).count() == 1;
            let sure = match twins[..] {
                [twin] if alone && twin != one && agree(&sockets[one.min(twin)], &sockets[one.max(twin)]) => {
                    orient(sockets, one, twin)
                }
                _ => false,
            };
            // Each pair is met from both its ends.
            let others = if sure { &twins } else { mirrored };
            found.extend(others.iter().filter(|other| one < **other).take(MOST).map(|other| Pair {
                one: FaceKey(sockets[one].socket.cookie),
                other: FaceKey(sockets[*other].socket.cookie),
                certain: sure,
            }));
        }
    }
    // One that is certain explains away the others.
    let certain: HashSet<FaceKey> =
        found.iter().filter(|pair| pair.certain).flat_map(|pair| [pair.one, pair.other]).collect();
    found.retain(|pair| pair.certain || !(certain.contains(&pair.one) || certain.contains(&pair.other)));
    found
}

/// Whether the counters of two sockets, the first listed earlier, can be those of one connection: what the first has sent
/// and knows to have arrived has arrived at the second by then, and what it has received the second has sent. A SYN and a
/// FIN may be counted or not.
fn agree(first: &ExistingSocket, second: &ExistingSocket) -> bool {
    const SYN_AND_FIN: u64 = 2;
    let (Some(first), Some(second)) = (first.socket.counters, second.socket.counters) else { return true };
    first.bytes_acked <= second.bytes_received + SYN_AND_FIN
        && first.bytes_received <= second.bytes_sent + SYN_AND_FIN
}

/// Whether one of the two dialled and the other accepted. What is certain of one end is certain of the other.
fn orient(sockets: &mut [ExistingSocket], one: usize, other: usize) -> bool {
    let (Some((role, tuple, sure)), Some((other_role, other_tuple, other_sure))) =
        (sockets[one].connection, sockets[other].connection)
    else {
        return false;
    };
    if role != other_role {
        let sure = sure || other_sure;
        sockets[one].connection = Some((role, tuple, sure));
        sockets[other].connection = Some((other_role, other_tuple, sure));
        return true;
    }
    match (sure, other_sure) {
        (true, false) => sockets[other].connection = Some((opposite(role), tuple, true)),
        (false, true) => sockets[one].connection = Some((opposite(role), other_tuple, true)),
        _ => return false,
    }
    true
}

const fn opposite(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server | Role::Wire => Role::Client,
    }
}

#[cfg(test)]
mod tests {
    use observer_core::connection::Party;
    use observer_core::engine::Tuple;

    use super::super::socket::{Counters, socket};
    use super::*;

    fn end(cookie: u64, netns: u32, local: &str, remote: &str, role: Role, sure: bool) -> ExistingSocket {
        let mut socket = socket(State::Established, local, remote);
        socket.cookie = cookie;
        let (client, server) =
            if role == Role::Client { (socket.local, socket.remote) } else { (socket.remote, socket.local) };
        let connection = Some((role, Tuple { client, server }, sure));
        ExistingSocket { socket, netns, owner: Party::default(), connection }
    }

    const A: &str = "127.0.0.1:40000";
    const B: &str = "127.0.0.1:6443";

    fn told(sockets: &mut [ExistingSocket]) -> Vec<(u64, u64, bool)> {
        let mut told: Vec<_> =
            pairs(sockets).iter().map(|pair| (pair.one.0, pair.other.0, pair.certain)).collect();
        told.sort_unstable();
        told
    }

    #[test]
    fn both_ends_in_one_namespace_are_a_pair() {
        let client = end(1, 7, A, B, Role::Client, true);
        let server = end(2, 7, B, A, Role::Server, true);
        assert_eq!(told(&mut [client, server]), [(1, 2, true)]);
    }

    #[test]
    fn equal_addresses_in_two_namespaces_are_two_pairs() {
        let mut sockets = [
            end(1, 7, A, B, Role::Client, true),
            end(2, 8, A, B, Role::Client, true),
            end(3, 7, B, A, Role::Server, true),
            end(4, 8, B, A, Role::Server, true),
        ];
        assert_eq!(told(&mut sockets), [(1, 3, true), (2, 4, true)]);
    }

    #[test]
    fn ends_in_two_namespaces_are_doubtful() {
        let mut sockets = [end(1, 7, A, B, Role::Client, true), end(2, 8, B, A, Role::Server, true)];
        assert_eq!(told(&mut sockets), [(1, 2, false)]);
        let mut alone =
            [end(1, 7, A, B, Role::Client, true), end(2, 8, B, "127.0.0.1:1", Role::Server, true)];
        assert_eq!(told(&mut alone), []);
    }

    #[test]
    fn a_third_with_the_same_addresses_makes_it_doubtful() {
        let mut sockets = [
            end(1, 7, A, B, Role::Client, true),
            end(2, 7, A, B, Role::Client, true),
            end(3, 7, B, A, Role::Server, true),
        ];
        assert_eq!(told(&mut sockets), [(1, 3, false), (2, 3, false)]);
    }

    #[test]
    fn counters_that_contradict_make_it_doubtful() {
        let counted = |mut socket: ExistingSocket, acked, sent, received| {
            socket.socket.counters = Some(Counters {
                bytes_acked: acked,
                bytes_sent: sent,
                bytes_received: received,
                ..Counters::default()
            });
            socket
        };
        let client = |acked| counted(end(1, 7, A, B, Role::Client, true), acked, 100, 40);
        let server = |sent| counted(end(2, 7, B, A, Role::Server, true), 40, sent, 100);
        assert_eq!(told(&mut [client(101), server(40)]), [(1, 2, true)]);
        assert_eq!(told(&mut [client(150), server(40)]), [(1, 2, false)]);
        assert_eq!(told(&mut [client(101), server(10)]), [(1, 2, false)]);
    }

    #[test]
    fn the_direction_of_one_end_is_that_of_the_other() {
        let mut sockets = [end(1, 7, A, B, Role::Client, false), end(2, 7, B, A, Role::Server, true)];
        assert_eq!(told(&mut sockets), [(1, 2, true)]);
        assert!(sockets[0].connection.unwrap().2);
        let mut sockets = [end(1, 7, A, B, Role::Client, true), end(2, 7, B, A, Role::Client, false)];
        assert_eq!(told(&mut sockets), [(1, 2, true)]);
        let (role, tuple, sure) = sockets[1].connection.unwrap();
        assert_eq!((role, tuple.server, sure), (Role::Server, B.parse().unwrap(), true));
        let mut sockets = [end(1, 7, A, B, Role::Client, false), end(2, 7, B, A, Role::Client, false)];
        assert_eq!(told(&mut sockets), [(1, 2, false)], "nothing says who dialled");
    }

    #[test]
    fn a_socket_that_is_connected_to_itself_is_no_pair() {
        assert_eq!(told(&mut [end(1, 7, A, A, Role::Client, true)]), []);
    }
}
