//! Connections with both ends on this node: the end that dialled tells the bytes for both.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use observer_core::engine::{Ending, Opened, Origin, Role};
use observer_core::flow::Direction;

use crate::heard::{Ear, Heard, Log, received, watch_pairs};
use crate::namespace::Namespace;
use crate::needs_probes;
use crate::socket::{MPTCP, Socket, reset_on_close};

const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn say(from: &mut TcpStream, to: &mut TcpStream, what: &[u8]) {
    from.write_all(what).unwrap();
    let mut heard = vec![0; what.len()];
    to.read_exact(&mut heard).unwrap();
}

/// Question, answer.
fn talk(client: &mut TcpStream, server: &mut TcpStream) {
    say(client, server, QUESTION);
    say(server, client, ANSWER);
}

/// Both ends of the one connection: the client's, heard whole, and the server's, of which no byte was told.
fn both(log: &Log) -> [Opened; 2] {
    assert!(log.premature.is_empty(), "{:?}", log.premature);
    assert!(log.lost.is_empty(), "{:?}", log.lost);
    let (clients, servers) = (log.faces(Role::Client), log.faces(Role::Server));
    assert_eq!((clients.len(), servers.len()), (1, 1), "{:#?}", log.opened);
    let (client, server) = (clients[0].clone(), servers[0].clone());
    assert!(server.paired && !client.paired, "{:#?}", log.opened);
    assert_eq!((client.origin, server.origin), (Origin::Handshake, Origin::Handshake));
    assert_eq!(client.tuple, server.tuple);
    assert_eq!(log.stream(client.key, Direction::ToServer), QUESTION);
    assert_eq!(log.stream(client.key, Direction::ToClient), ANSWER);
    assert!(!log.segments.iter().any(|heard| heard.key == server.key && heard.len > 0));
    let pid = std::process::id();
    assert_eq!(client.party.as_ref().unwrap().process.as_ref().unwrap().pid, pid);
    assert_eq!(server.party.as_ref().unwrap().opened_by.as_ref().unwrap().pid, pid);
    [client, server]
}

/// Whether the kernel runs its hook for the SYN-ACK over IPv6. Until 6.5 it does so only for packets of the very socket
/// that sends them (`BPF_CGROUP_RUN_PROG_INET_EGRESS` in `include/linux/bpf-cgroup.h`), and this one is of the request.
fn answers_over_ipv6_are_seen() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(6))
}

/// Both ends of the one connection, each heard whole.
fn apart(ear: &Ear) {
    ear.wait("both ends", |log| log.closed.len() == 2);
    let log = ear.log();
    assert!(log.premature.is_empty(), "{:?}", log.premature);
    assert!(log.lost.is_empty(), "{:?}", log.lost);
    assert_eq!((log.faces(Role::Client).len(), log.faces(Role::Server).len()), (1, 1), "{:#?}", log.opened);
    for face in &log.opened {
        assert!(!face.paired, "this kernel shows more than we know of: {face:#?}");
        let heard = |direction| {
            let mine = |heard: &&Heard| heard.key == face.key && heard.direction == direction;
            log.segments.iter().filter(mine).flat_map(|heard| heard.payload.clone()).collect::<Vec<_>>()
        };
        assert_eq!(heard(Direction::ToServer), QUESTION, "{:?}", face.role);
        assert_eq!(heard(Direction::ToClient), ANSWER, "{:?}", face.role);
    }
}

fn finished(ear: &Ear) {
    ear.wait("both ends", |log| log.closed.len() == 2);
    let log = ear.log();
    let [client, server] = both(&log);
    assert_eq!(log.ending(client.key), Some(Ending::Finished));
    assert!(matches!(log.ending(server.key), Some(Ending::Finished | Ending::HalfClosedByServer)));
    let count = |key| {
        let closed = log.closed.iter().find(|closed| closed.key == key).unwrap();
        (closed.bytes_to_server.unwrap(), closed.bytes_to_client.unwrap())
    };
    let all = (QUESTION.len() as u64, ANSWER.len() as u64);
    assert_eq!(count(client.key), all);
    // The larger of both counts is told: the server's is never too large.
    let (to_server, to_client) = count(server.key);
    assert!(
        (to_server, to_client) == all || (to_server + 1 >= all.0 && to_server <= all.0 && to_client == all.1)
    );
}

#[test]
fn the_bytes_of_a_connection_within_the_node_are_told_once() {
    needs_probes!();
    for (address, server_first) in
        [("127.0.0.1:17701", true), ("127.0.0.1:17702", false), ("[::1]:17703", true), ("[::1]:17704", false)]
    {
        let address: SocketAddr = address.parse().unwrap();
        let namespace = Namespace::new();
        let (live, ear) = watch_pairs(&[address.port()]);
        namespace.run(|| {
            let listener = TcpListener::bind(address).unwrap();
            let (mut client, mut server) = pair(&listener);
            talk(&mut client, &mut server);
            let (first, mut last) = if server_first { (server, client) } else { (client, server) };
            drop(first);
            assert_eq!(last.read(&mut [0; 1]).unwrap(), 0);
        });
        if address.is_ipv6() && !answers_over_ipv6_are_seen() {
            apart(&ear);
            continue;
        }
        finished(&ear);
        let counters = received(&live);
        let records = counters.lifecycle.wanted + counters.payload.wanted;
        // Announcements 2, payload 2, ends 3, and the listener's.
        assert!(records <= 8, "{records} records: {counters:?}");
    }
}

#[test]
fn ends_in_two_namespaces_are_a_pair() {
    needs_probes!();
    let (near, far) = (Namespace::new(), Namespace::new());
    near.cable(&far, "10.98.0.1/24", "10.98.0.2/24");
    let (_live, ear) = watch_pairs(&[17705]);
    far.run(|| {
        let listener = TcpListener::bind("10.98.0.2:17705").unwrap();
        let mut client = near.run(|| TcpStream::connect("10.98.0.2:17705").unwrap());
        let (mut server, _) = listener.accept().unwrap();
        talk(&mut client, &mut server);
        drop(client);
        assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
    });
    finished(&ear);
}

#[test]
fn a_silent_pair_is_told_as_two_ends() {
    needs_probes!();
    let namespace = Namespace::new();
    let (_live, ear) = watch_pairs(&[17706]);
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:17706").unwrap();
        let (mut client, mut server) = pair(&listener);
        ear.wait("the accepted side", |log| log.faces(Role::Server).len() == 1);
        talk(&mut client, &mut server);
        drop(server);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    });
    ear.wait("both ends", |log| log.closed.len() == 2);
    let log = ear.log();
    assert_eq!(log.faces(Role::Server).len(), 1, "announced once, under one name");
    let client = log.faces(Role::Client)[0].key;
    assert_eq!(log.stream(client, Direction::ToServer), QUESTION);
    assert_eq!(log.ending(client), Some(Ending::Finished));
}

#[test]
fn data_on_the_third_segment_of_a_pair_is_told_once() {
    needs_probes!();
    let namespace = Namespace::new();
    let address: SocketAddr = "127.0.0.1:17707".parse().unwrap();
    let (_live, ear) = watch_pairs(&[17707]);
    namespace.run(|| {
        let listener = TcpListener::bind(address).unwrap();
        let socket = Socket::new(address, 0).unwrap();
        socket.set(libc::IPPROTO_TCP, libc::TCP_QUICKACK, 0).unwrap();
        socket.connect(address).unwrap();
        let mut client = socket.stream();
        client.write_all(QUESTION).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.read_exact(&mut vec![0; QUESTION.len()]).unwrap();
        say(&mut server, &mut client, ANSWER);
        drop(client);
        assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
    });
    finished(&ear);
}

#[test]
fn a_reset_and_a_half_close_of_a_pair_are_told() {
    needs_probes!();
    let namespace = Namespace::new();
    let (_live, ear) = watch_pairs(&[17708]);
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:17708").unwrap();
        for by_client in [true, false] {
            let (mut client, mut server) = pair(&listener);
            say(&mut client, &mut server, b"hello");
            let (first, last) = if by_client { (client, server) } else { (server, client) };
            reset_on_close(&first);
            drop((first, last));
        }
        ear.wait("four ends", |log| log.closed.len() == 4);
        let (mut client, mut server) = pair(&listener);
        say(&mut client, &mut server, b"ask");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(ear.log().closed.len(), 4, "a half-closed connection is open");
        say(&mut server, &mut client, &[b'y'; 5000]);
    });
    ear.wait("six ends", |log| log.closed.len() == 6);
    let log = ear.log();
    let endings = |role| log.faces(role).iter().map(|face| log.ending(face.key).unwrap()).collect::<Vec<_>>();
    use Ending::{Finished, ResetByClient, ResetByServer};
    assert_eq!(endings(Role::Client), [ResetByClient, ResetByServer, Finished]);
    assert_eq!(endings(Role::Server)[..2], [ResetByClient, ResetByServer]);
    let last = log.faces(Role::Client)[2].key;
    assert_eq!(log.stream(last, Direction::ToClient), [b'y'; 5000]);
}

#[test]
fn what_is_no_plain_handshake_is_told_by_each_end() {
    needs_probes!();
    let namespace = Namespace::new();
    let address: SocketAddr = "127.0.0.1:17709".parse().unwrap();
    let (_live, ear) = watch_pairs(&[17709]);
    let multipath = namespace.run(|| {
        std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", "519").unwrap();
        let socket = Socket::new(address, 0).unwrap();
        socket.bind(address).unwrap();
        socket.set(libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 16).unwrap();
        let listener = socket.listen(16).unwrap();
        let socket = Socket::new(address, 0).unwrap();
        assert_eq!(socket.send_fast(QUESTION, address).unwrap(), QUESTION.len());
        let mut client = socket.stream();
        let (mut server, _) = listener.accept().unwrap();
        server.read_exact(&mut vec![0; QUESTION.len()]).unwrap();
        say(&mut server, &mut client, ANSWER);
        drop((client, server, listener));
        std::thread::sleep(Duration::from_millis(50));
        let Ok(socket) = Socket::new(address, MPTCP) else { return false };
        socket.bind(address).unwrap();
        let listener = socket.listen(16).unwrap();
        let socket = Socket::new(address, MPTCP).unwrap();
        socket.connect(address).unwrap();
        let mut client = socket.stream();
        let (mut server, _) = listener.accept().unwrap();
        talk(&mut client, &mut server);
        true
    });
    let faces = if multipath { 4 } else { 2 };
    ear.wait("all ends", |log| log.closed.len() == faces);
    let log = ear.log();
    assert!(!log.opened.iter().any(|opened| opened.paired));
    for face in &log.opened {
        assert_eq!(log.stream(face.key, Direction::ToServer), QUESTION, "{:?}", face.role);
        assert_eq!(log.stream(face.key, Direction::ToClient), ANSWER, "{:?}", face.role);
    }
}
