//! What is watched, and how that changes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use observer::source::ebpf::{Live, Scope, Settings};
use observer_common::reach;
use observer_core::engine::{Ending, Origin, Role};
use observer_core::flow::Direction;
use observer_core::security::Reason;

use crate::heard::{Ear, watch, watch_with};
use crate::namespace::Namespace;
use crate::needs_probes;

/// A pair of connected sockets.
fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn say(from: &mut TcpStream, to: &mut TcpStream, what: &[u8]) {
    from.write_all(what).unwrap();
    to.read_exact(&mut vec![0; what.len()]).unwrap();
}

/// Waits until the reader has heard what there is.
fn settled(live: &Live<Ear>) {
    std::thread::sleep(std::time::Duration::from_millis(50));
    crate::heard::received(live);
}

#[test]
fn an_unwatched_port_is_silent() {
    needs_probes!();
    let namespace = Namespace::new();
    let (live, ear) = watch(&[17201]);
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:17202").unwrap();
        let (mut client, mut server) = pair(&listener);
        say(&mut client, &mut server, b"nothing to see");
    });
    settled(&live);
    assert_eq!(ear.log().opened.len(), 0);
    assert_eq!(live.counters().unwrap().lifecycle.wanted, 0);
}

#[test]
fn a_connection_that_comes_into_scope_is_midstream_and_one_that_leaves_is_told() {
    needs_probes!();
    let namespace = Namespace::new();
    let (live, ear) = watch(&[]);
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:17203").unwrap();
        let (mut client, mut server) = pair(&listener);
        say(&mut client, &mut server, b"before");
        settled(&live);
        assert_eq!(ear.log().opened.len(), 0);
        let scope = Scope { ports: [17203].into(), ..Scope::default() };
        live.control().set_scope(&scope).unwrap();
        say(&mut client, &mut server, b"within");
        ear.wait("both faces", |log| log.opened.len() == 2);
        {
            let log = ear.log();
            for face in &log.opened {
                assert_eq!(
                    face.origin,
                    Origin::MidStream { reason: Reason::CameIntoScopeLate, oriented: true },
                    "{face:?}"
                );
            }
        }
        ear.wait("the bytes", |log| {
            log.segments.iter().filter(|heard| heard.payload == b"within").count() == 2
        });
        live.control().set_scope(&Scope::default()).unwrap();
        say(&mut client, &mut server, b"after");
        ear.wait("both left", |log| log.closed.len() == 2);
        let log = ear.log();
        assert!(log.closed.iter().all(|closed| closed.ending == Some(Ending::StillOpen)));
        assert!(log.segments.iter().all(|heard| heard.payload != b"after" && heard.payload != b"before"));
    });
}

#[test]
fn a_program_is_watched_by_its_name_at_the_moment_of_the_call_on_any_port() {
    needs_probes!();
    let namespace = Namespace::new();
    let mut settings = Settings::default();
    settings.scope.commands.insert("kube-ebpf-test".into());
    let (live, ear) = watch_with(&settings);
    let mut own = 0;
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                namespace.enter();
                // SAFETY: the name is a C string of fewer than 16 bytes.
                unsafe { libc::prctl(libc::PR_SET_NAME, c"kube-ebpf-test".as_ptr()) };
                drop(pair(&listener));
            });
        });
        ear.wait("the client's end", |log| log.closed.len() == 1);
        let log = ear.log();
        // The listener was bound under another name, so its side is not watched.
        assert_eq!(log.faces(Role::Client).len(), 1);
        assert_eq!(log.opened.len(), 1);
        assert_eq!(log.announced[0].reach, reach::COMMAND);
        let caller = log.announced[0].caller.as_ref().unwrap();
        assert_eq!(caller.command, "kube-ebpf-test");
        assert_eq!(caller.tgid, std::process::id());
        own = caller.tgid;
    });
    // Proven not to be one: the name no longer counts.
    live.control().judge_process(own, Some(false)).unwrap();
    namespace.run(|| {
        // SAFETY: as above.
        unsafe { libc::prctl(libc::PR_SET_NAME, c"kube-ebpf-test".as_ptr()) };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        drop(pair(&listener));
    });
    settled(&live);
    assert_eq!(ear.log().opened.len(), 1);
    // Proven to be one: both ends, whatever their name.
    live.control().judge_process(own, Some(true)).unwrap();
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut client, mut server) = pair(&listener);
        say(&mut client, &mut server, b"hello");
    });
    ear.wait("two more", |log| log.opened.len() == 3);
    assert!(ear.log().announced[1..].iter().all(|announced| announced.reach == reach::PROCESS));
}

#[test]
fn a_peer_is_watched_by_its_address_on_both_sides() {
    needs_probes!();
    let namespace = Namespace::new();
    let mut settings = Settings::default();
    settings.scope.addresses.insert("127.7.0.0/16".parse().unwrap());
    let (live, ear) = watch_with(&settings);
    namespace.run(|| {
        let listener = TcpListener::bind("127.7.0.1:0").unwrap();
        let (mut client, mut server) = pair(&listener);
        say(&mut client, &mut server, b"hello");
        drop((client, server));
        let elsewhere = TcpListener::bind("127.8.0.1:0").unwrap();
        drop(pair(&elsewhere));
    });
    ear.wait("the client's end", |log| log.closed.len() == 1);
    settled(&live);
    let log = ear.log();
    // The client's peer is 127.7.0.1; the server's peer is 127.0.0.1, out of the range.
    assert_eq!(log.opened.len(), 1);
    assert_eq!(log.opened[0].role, Role::Client);
    assert_eq!(log.announced[0].reach, reach::ADDRESS);
}

#[test]
fn an_accepted_connection_is_watched_by_its_peer_alone() {
    needs_probes!();
    let namespace = Namespace::new();
    let mut settings = Settings::default();
    settings.scope.addresses.insert("127.0.0.1".parse().unwrap());
    let (_live, ear) = watch_with(&settings);
    namespace.run(|| {
        // Dialling 127.7.0.1 takes 127.0.0.1 as its own address, so only the accepted side has a watched peer.
        let listener = TcpListener::bind("127.7.0.1:0").unwrap();
        let (mut client, mut server) = pair(&listener);
        say(&mut client, &mut server, b"hello");
        say(&mut server, &mut client, b"there");
        drop((client, server));
    });
    ear.wait("the server's end", |log| log.closed.len() == 1);
    let log = ear.log();
    assert_eq!(log.opened.len(), 1);
    assert_eq!(log.opened[0].role, Role::Server);
    assert_eq!(log.stream(log.opened[0].key, Direction::ToServer), b"hello");
    assert_eq!(log.stream(log.opened[0].key, Direction::ToClient), b"there");
}

#[test]
fn a_cgroup_is_watched_by_its_id() {
    needs_probes!();
    let namespace = Namespace::new();
    let root = observer::source::ebpf::cgroup_root().unwrap();
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or("");
    let id = std::fs::metadata(root.join(path)).unwrap().ino();
    let mut settings = Settings::default();
    settings.scope.cgroups.insert(id);
    let (_live, ear) = watch_with(&settings);
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut client, mut server) = pair(&listener);
        say(&mut client, &mut server, b"hello");
    });
    ear.wait("both faces", |log| log.opened.len() >= 2);
    assert!(ear.log().announced.iter().all(|announced| announced.reach & reach::CGROUP != 0));
}

#[test]
fn a_connection_and_a_listener_older_than_the_programs_are_taken_up() {
    needs_probes!();
    let namespace = Namespace::new();
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:17204").unwrap();
        let (mut client, mut server) = pair(&listener);
        say(&mut client, &mut server, b"before");
        let (_live, ear) = watch(&[17204]);
        say(&mut client, &mut server, b"later");
        ear.wait("both faces", |log| log.opened.len() == 2);
        for face in &ear.log().opened {
            assert!(matches!(face.origin, Origin::MidStream { reason: Reason::StartedBeforeObserver, .. }));
        }
        drop((client, server));
        ear.wait("both ends", |log| log.closed.len() == 2);
        // The old listener's new children are whole.
        let (mut client, mut server) = pair(&listener);
        say(&mut client, &mut server, b"anew");
        drop((client, server));
        ear.wait("both ends", |log| log.closed.len() == 4);
        let log = ear.log();
        let fresh = &log.opened[2..];
        assert_eq!(fresh.len(), 2);
        for face in fresh {
            assert_eq!(face.origin, Origin::Handshake);
            assert_eq!(log.stream(face.key, Direction::ToServer), b"anew");
        }
    });
}

#[test]
fn nothing_is_copied_once_enough_was_seen_and_requests_go_on_where_wished() {
    needs_probes!();
    let namespace = Namespace::new();
    let (live, ear) = watch(&[17205]);
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:17205").unwrap();
        let (mut client, mut server) = pair(&listener);
        say(&mut client, &mut server, b"request 1");
        say(&mut server, &mut client, b"response 1");
        ear.wait("four segments", |log| log.segments.iter().filter(|heard| heard.len > 0).count() == 4);
        let client_face = ear.log().faces(Role::Client)[0].key;
        let server_face = ear.log().faces(Role::Server)[0].key;
        live.control().enough(client_face);
        live.control().read_requests(server_face, None);
        say(&mut client, &mut server, b"request 2");
        say(&mut server, &mut client, b"response 2");
        say(&mut client, &mut server, b"request 3");
        ear.wait("the third request", |log| log.segments.iter().any(|heard| heard.payload == b"request 3"));
        drop((client, server));
        ear.wait("both ends", |log| log.closed.len() == 2);
        let log = ear.log();
        assert_eq!(log.stream(client_face, Direction::ToServer), b"request 1");
        assert_eq!(log.stream(server_face, Direction::ToServer), b"request 1request 2request 3");
        assert_eq!(log.stream(server_face, Direction::ToClient), b"response 1");
    });
}

#[test]
fn the_rate_of_requests_is_bounded_and_what_is_skipped_is_counted() {
    needs_probes!();
    let namespace = Namespace::new();
    let mut settings = Settings { request_rate: 10_000, ..Settings::default() };
    settings.scope.ports.insert(17206);
    let (live, ear) = watch_with(&settings);
    namespace.run(|| {
        let listener = TcpListener::bind("127.0.0.1:17206").unwrap();
        let (mut client, mut server) = pair(&listener);
        say(&mut client, &mut server, b"x");
        ear.wait("both faces", |log| log.opened.len() == 2);
        let keys: Vec<_> = ear.log().opened.iter().map(|opened| opened.key).collect();
        for key in &keys {
            live.control().read_requests(*key, None);
        }
        let began = Instant::now();
        for _ in 0..50 {
            say(&mut client, &mut server, &[b'r'; 1000]);
        }
        // A second's worth at once, and then by time: however long a busy machine took.
        let allowed = 10_000.0 * (began.elapsed().as_secs_f64() + 1.0) + 2000.0;
        drop((client, server));
        ear.wait("both ends", |log| log.closed.len() == 2);
        let log = ear.log();
        let mut all = 0;
        for key in keys {
            let copied: usize = log
                .segments
                .iter()
                .filter(|heard| heard.key == key && heard.direction == Direction::ToServer)
                .map(|heard| heard.payload.len())
                .sum();
            let skipped: u64 =
                log.lost.iter().filter(|lost| lost.key == Some(key)).map(|lost| lost.bytes).sum();
            assert_eq!(copied as u64 + skipped, 50_001);
            assert!(copied as f64 <= allowed, "{copied} copied, {allowed} allowed");
            all += skipped;
        }
        assert_eq!(live.counters().unwrap().bytes_skipped, all);
    });
}
