//! How connections end, and what never becomes one.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use observer_core::engine::{Ending, Role};
use observer_core::flow::Direction;

use crate::heard::watch;
use crate::namespace::Namespace;
use crate::needs_probes;
use crate::socket::reset_on_close;

#[test]
fn a_refused_connection_says_so() {
    needs_probes!();
    let namespace = Namespace::new();
    let (_live, ear) = watch(&[17101]);
    namespace.run(|| TcpStream::connect("127.0.0.1:17101").unwrap_err());
    ear.wait("the end", |log| log.closed.len() == 1);
    let log = ear.log();
    assert_eq!(log.ending(log.opened[0].key), Some(Ending::Refused));
    assert_eq!(log.faces(Role::Server).len(), 0);
}

#[test]
fn a_connection_that_nobody_answers_is_timed_out() {
    needs_probes!();
    let namespace = Namespace::new();
    // A wire whose other end is nobody's.
    namespace.ip(&["link", "add", "hole", "type", "veth", "peer", "name", "end"]);
    namespace.ip(&["addr", "add", "10.99.0.1/24", "dev", "hole"]);
    // Without address resolution every packet is sent, and to nobody.
    namespace.ip(&["link", "set", "hole", "arp", "off"]);
    // The other end's name is not always the one that was asked for: busybox leaves it to the kernel.
    let devices = namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
    for device in devices.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()) {
        namespace.ip(&["link", "set", device, "up"]);
    }
    let (_live, ear) = watch(&[17102]);
    namespace.run(|| {
        let address: SocketAddr = "10.99.0.2:17102".parse().unwrap();
        TcpStream::connect_timeout(&address, Duration::from_millis(200)).unwrap_err();
    });
    ear.wait("the end", |log| log.closed.len() == 1);
    let log = ear.log();
    assert_eq!(log.ending(log.opened[0].key), Some(Ending::TimedOut));
}

#[test]
fn a_reset_names_the_end_that_sent_it() {
    needs_probes!();
    let namespace = Namespace::new();
    let (_live, ear) = watch(&[17103]);
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:17103").unwrap();
        for by_client in [true, false] {
            let mut client = TcpStream::connect("127.0.0.1:17103").unwrap();
            let (mut server, _) = listener.accept().unwrap();
            client.write_all(b"hello").unwrap();
            server.read_exact(&mut [0; 5]).unwrap();
            let (first, last) = if by_client { (client, server) } else { (server, client) };
            reset_on_close(&first);
            drop(first);
            drop(last);
        }
    });
    ear.wait("four ends", |log| log.closed.len() == 4);
    let log = ear.log();
    let mut endings: Vec<_> =
        log.opened.iter().map(|face| (face.role, log.ending(face.key).unwrap())).collect();
    endings.sort_by_key(|(role, ending)| format!("{role:?}{ending:?}"));
    assert_eq!(
        endings,
        [
            (Role::Client, Ending::ResetByClient),
            (Role::Client, Ending::ResetByServer),
            (Role::Server, Ending::ResetByClient),
            (Role::Server, Ending::ResetByServer),
        ]
    );
}

#[test]
fn a_connection_that_was_never_accepted_says_so() {
    needs_probes!();
    let namespace = Namespace::new();
    let (_live, ear) = watch(&[17104]);
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:17104").unwrap();
        let mut client = TcpStream::connect("127.0.0.1:17104").unwrap();
        client.write_all(b"is anyone there").unwrap();
        ear.wait("the queued side", |log| log.faces(Role::Server).len() == 1);
        drop(listener);
    });
    ear.wait("both ends", |log| log.closed.len() == 2);
    let log = ear.log();
    let server = log.faces(Role::Server)[0].key;
    assert_eq!(log.ending(server), Some(Ending::NeverAccepted));
    assert_eq!(log.stream(server, Direction::ToServer), b"is anyone there");
    assert_eq!(log.ending(log.faces(Role::Client)[0].key), Some(Ending::ResetByServer));
}

#[test]
fn bytes_after_a_half_close_are_heard() {
    needs_probes!();
    let namespace = Namespace::new();
    let (_live, ear) = watch(&[17105]);
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:17105").unwrap();
        let mut client = TcpStream::connect("127.0.0.1:17105").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"ask").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        server.read_to_end(&mut all).unwrap();
        assert!(ear.log().closed.is_empty());
        server.write_all(&[b'y'; 5000]).unwrap();
        drop(server);
        client.read_to_end(&mut all).unwrap();
    });
    ear.wait("both ends", |log| log.closed.len() == 2);
    let log = ear.log();
    for face in &log.opened {
        assert_eq!(log.ending(face.key), Some(Ending::Finished));
        assert_eq!(log.stream(face.key, Direction::ToServer), b"ask");
        assert_eq!(log.stream(face.key, Direction::ToClient), [b'y'; 5000]);
    }
}
