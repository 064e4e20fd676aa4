//! How connections begin.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use observer_core::engine::{Ending, Origin, Role};
use observer_core::flow::Direction;

use crate::heard::{Ear, watch};
use crate::namespace::Namespace;
use crate::needs_probes;
use crate::socket::{MPTCP, Socket};

const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

fn listen(address: SocketAddr) -> std::net::TcpListener {
    let socket = Socket::new(address, 0).unwrap();
    socket.bind(address).unwrap();
    socket.listen(16).unwrap()
}

/// Answers one connection.
fn serve(listener: &std::net::TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut question = vec![0; QUESTION.len()];
    stream.read_exact(&mut question).unwrap();
    stream.write_all(ANSWER).unwrap();
}

fn ask(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, ANSWER);
}

/// Both faces were heard whole.
fn both_whole(ear: &Ear) {
    ear.wait("both faces closed", |log| log.closed.len() >= 2);
    let log = ear.log();
    assert!(log.premature.is_empty(), "{:?}", log.premature);
    assert_eq!(log.lost.len(), 0, "{:?}", log.lost);
    for role in [Role::Client, Role::Server] {
        let faces = log.faces(role);
        assert_eq!(faces.len(), 1, "{role:?}: {faces:#?}");
        let face = faces[0];
        assert_eq!(face.origin, Origin::Handshake, "{role:?}");
        assert_eq!(log.stream(face.key, Direction::ToServer), QUESTION, "{role:?}");
        assert_eq!(log.stream(face.key, Direction::ToClient), ANSWER, "{role:?}");
        // The server closes first. Once its FIN is acknowledged a time-wait entry takes its place, and whether the client's
        // comes before that is a matter of luck.
        let ended = log.ending(face.key).unwrap();
        let allowed = ended == Ending::HalfClosedByServer && role == Role::Server;
        assert!(allowed || ended == Ending::Finished, "{role:?}: {ended:?}");
        let closed = log.closed.iter().find(|closed| closed.key == face.key).unwrap();
        assert_eq!(closed.bytes_to_server, Some(QUESTION.len() as u64), "{role:?}");
        assert_eq!(closed.bytes_to_client, Some(ANSWER.len() as u64), "{role:?}");
        let party = face.party.as_ref().unwrap();
        let owner = if role == Role::Client { &party.process } else { &party.opened_by };
        assert_eq!(owner.as_ref().unwrap().pid, std::process::id(), "{role:?}");
    }
    assert_eq!(log.faces(Role::Client)[0].tuple, log.faces(Role::Server)[0].tuple);
}

fn exchange(bind: &str, dial: &str) {
    let namespace = Namespace::new();
    let (bind, dial): (SocketAddr, SocketAddr) = (bind.parse().unwrap(), dial.parse().unwrap());
    let (_live, ear) = watch(&[bind.port()]);
    namespace.run(|| {
        let listener = listen(bind);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                namespace.enter();
                let socket = Socket::new(dial, 0).unwrap();
                socket.connect(dial).unwrap();
                let mut stream = socket.stream();
                stream.write_all(QUESTION).unwrap();
                ask(&mut stream);
            });
            serve(&listener);
        });
    });
    both_whole(&ear);
}

#[test]
fn both_faces_of_an_ipv4_connection_are_heard() {
    needs_probes!();
    exchange("127.0.0.1:17001", "127.0.0.1:17001");
}

#[test]
fn both_faces_of_an_ipv6_connection_are_heard() {
    needs_probes!();
    exchange("[::1]:17002", "[::1]:17002");
}

#[test]
fn a_mapped_address_is_told_as_ipv4() {
    needs_probes!();
    exchange("[::]:17003", "[::ffff:127.0.0.1]:17003");
}

#[test]
fn a_dual_listener_is_heard_over_ipv4() {
    needs_probes!();
    exchange("[::]:17004", "127.0.0.1:17004");
}

#[test]
fn fast_open_data_is_heard_once_and_whole() {
    needs_probes!();
    let namespace = Namespace::new();
    let address: SocketAddr = "127.0.0.1:17005".parse().unwrap();
    let (_live, ear) = watch(&[17005]);
    namespace.run(|| {
        // Client and server, no cookies asked for (Documentation/networking/ip-sysctl.rst, tcp_fastopen).
        std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", "519").unwrap();
        let socket = Socket::new(address, 0).unwrap();
        socket.bind(address).unwrap();
        socket.set(libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 16).unwrap();
        let listener = socket.listen(16).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                namespace.enter();
                let socket = Socket::new(address, 0).unwrap();
                assert_eq!(socket.send_fast(QUESTION, address).unwrap(), QUESTION.len());
                ask(&mut socket.stream());
            });
            serve(&listener);
        });
    });
    both_whole(&ear);
    let log = ear.log();
    let on_syn = log.announced.iter().filter(|announced| announced.role == Some(Role::Server)).count();
    assert_eq!(on_syn, 1);
}

#[test]
fn data_on_the_third_segment_is_heard_on_the_accepted_side() {
    needs_probes!();
    let namespace = Namespace::new();
    let address: SocketAddr = "127.0.0.1:17006".parse().unwrap();
    let (_live, ear) = watch(&[17006]);
    namespace.run(|| {
        let listener = listen(address);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                namespace.enter();
                let socket = Socket::new(address, 0).unwrap();
                // In "pingpong" the acknowledgement of the SYN-ACK waits for data to ride on.
                socket.set(libc::IPPROTO_TCP, libc::TCP_QUICKACK, 0).unwrap();
                socket.connect(address).unwrap();
                let mut stream = socket.stream();
                stream.write_all(QUESTION).unwrap();
                ask(&mut stream);
            });
            serve(&listener);
        });
    });
    both_whole(&ear);
    let log = ear.log();
    let server = log.faces(Role::Server)[0].key;
    let first = log.segments.iter().find(|heard| heard.key == server && !heard.payload.is_empty()).unwrap();
    assert_eq!(first.payload, QUESTION);
}

#[test]
fn an_idle_connection_is_told_before_its_first_byte() {
    needs_probes!();
    let namespace = Namespace::new();
    let address: SocketAddr = "127.0.0.1:17007".parse().unwrap();
    let (_live, ear) = watch(&[17007]);
    namespace.run(|| {
        let listener = listen(address);
        let mut client = TcpStream::connect(address).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        ear.wait("the accepted side", |log| log.faces(Role::Server).len() == 1);
        client.write_all(QUESTION).unwrap();
        let mut question = vec![0; QUESTION.len()];
        server.read_exact(&mut question).unwrap();
        server.write_all(ANSWER).unwrap();
        drop(server);
        ask(&mut client);
    });
    ear.wait("both ends", |log| log.closed.len() == 2);
    let log = ear.log();
    assert_eq!(log.faces(Role::Server).len(), 1, "announced once, under one name");
    let key = log.faces(Role::Server)[0].key;
    assert_eq!(log.stream(key, Direction::ToServer), QUESTION);
    assert_eq!(log.stream(key, Direction::ToClient), ANSWER);
    assert_eq!(log.ending(key), Some(Ending::Finished));
}

#[test]
fn a_socket_that_is_connected_again_is_another_connection() {
    needs_probes!();
    let namespace = Namespace::new();
    let address: SocketAddr = "127.0.0.1:17008".parse().unwrap();
    let (_live, ear) = watch(&[17008]);
    namespace.run(|| {
        let listener = listen(address);
        let socket = Socket::new(address, 0).unwrap();
        socket.connect(address).unwrap();
        let (server, _) = listener.accept().unwrap();
        socket.disconnect().unwrap();
        drop(server);
        socket.connect(address).unwrap();
        let mut stream = socket.stream();
        stream.write_all(QUESTION).unwrap();
        serve(&listener);
        ask(&mut stream);
    });
    ear.wait("three or more ends", |log| log.closed.len() >= 3);
    let log = ear.log();
    let clients = log.faces(Role::Client);
    assert_eq!(clients.len(), 2);
    assert_ne!(clients[0].key, clients[1].key);
    assert_eq!(log.ending(clients[0].key), Some(Ending::ResetByClient));
    assert_eq!(log.stream(clients[0].key, Direction::ToServer), b"");
    assert_eq!(log.stream(clients[1].key, Direction::ToServer), QUESTION);
    assert_eq!(log.ending(clients[1].key), Some(Ending::Finished));
}

#[test]
fn mptcp_subflows_are_heard_like_tcp() {
    needs_probes!();
    let namespace = Namespace::new();
    let address: SocketAddr = "127.0.0.1:17009".parse().unwrap();
    let (_live, ear) = watch(&[17009]);
    let supported = namespace.run(|| {
        let Ok(socket) = Socket::new(address, MPTCP) else { return false };
        socket.bind(address).unwrap();
        let listener = socket.listen(16).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                namespace.enter();
                let socket = Socket::new(address, MPTCP).unwrap();
                socket.connect(address).unwrap();
                let mut stream = socket.stream();
                stream.write_all(QUESTION).unwrap();
                ask(&mut stream);
            });
            serve(&listener);
        });
        true
    });
    if !supported {
        println!("skipped: this kernel has no MPTCP");
        return;
    }
    both_whole(&ear);
    assert!(ear.log().announced.iter().all(|announced| !announced.joined));
}

#[test]
fn a_tcp_client_of_an_mptcp_listener_is_heard() {
    needs_probes!();
    let namespace = Namespace::new();
    let address: SocketAddr = "127.0.0.1:17010".parse().unwrap();
    let (_live, ear) = watch(&[17010]);
    let supported = namespace.run(|| {
        let Ok(socket) = Socket::new(address, MPTCP) else { return false };
        socket.bind(address).unwrap();
        let listener = socket.listen(16).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                namespace.enter();
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(QUESTION).unwrap();
                ask(&mut stream);
            });
            serve(&listener);
        });
        true
    });
    if !supported {
        println!("skipped: this kernel has no MPTCP");
        return;
    }
    both_whole(&ear);
}
