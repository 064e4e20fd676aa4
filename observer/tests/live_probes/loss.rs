//! Nothing is lost silently.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use observer::source::ebpf::{Announced, Hear, Live, Settings};
use observer_core::connection::Party;
use observer_core::engine::{Input, Opened, Role};
use observer_core::flow::Direction;

use crate::heard::{Ear, received, watch_with};
use crate::namespace::Namespace;
use crate::needs_probes;

const PORT: u16 = 17301;

/// `count` short connections, one after the other.
fn flood(namespace: &Namespace, port: u16, count: u32) {
    namespace.run(|| {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                namespace.enter();
                for _ in 0..count {
                    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
                    client.write_all(b"hello").unwrap();
                    client.read_to_end(&mut Vec::new()).unwrap();
                }
            });
            for _ in 0..count {
                let (mut server, _) = listener.accept().unwrap();
                server.read_exact(&mut [0; 5]).unwrap();
                server.write_all(b"goodbye").unwrap();
            }
        });
    });
}

fn accounted(live: &Live<impl Hear + Send + 'static>) {
    let counters = received(live);
    println!("{counters:?}");
    for ring in [counters.lifecycle, counters.payload] {
        assert_eq!(ring.wanted, ring.submitted + ring.full + ring.shed, "{counters:?}");
    }
    assert_eq!(live.received().undecoded.load(Ordering::Relaxed), 0);
}

#[test]
fn a_flood_of_short_connections_is_heard_without_a_loss() {
    needs_probes!();
    let namespace = Namespace::new();
    let (live, ear) = crate::heard::watch(&[PORT]);
    flood(&namespace, PORT, 3000);
    ear.wait("every end", |log| log.closed.len() == 6000);
    accounted(&live);
    let counters = live.counters().unwrap();
    assert_eq!(counters.lifecycle.dropped() + counters.payload.dropped(), 0);
    let log = ear.log();
    assert!(log.premature.is_empty());
    assert_eq!(log.faces(Role::Client).len(), 3000);
    assert_eq!(log.faces(Role::Server).len(), 3000);
}

/// Stops the reader while it is told to.
#[derive(Clone)]
struct Halting {
    ear: Ear,
    halt: Arc<AtomicBool>,
    gate: Arc<Mutex<()>>,
}

impl Hear for Halting {
    fn announced(&mut self, announced: &Announced) -> Option<Box<Party>> {
        self.ear.announced(announced)
    }

    fn input(&mut self, input: Input<'_>) {
        if self.halt.load(Ordering::Acquire) {
            drop(self.gate.lock());
        }
        self.ear.input(input);
    }
}

#[test]
fn with_the_reader_stopped_every_loss_is_counted_and_told() {
    needs_probes!();
    for (pairs, port) in [(false, PORT + 1), (true, PORT + 3)] {
        reader_stopped(pairs, port);
    }
}

fn reader_stopped(pairs: bool, port: u16) {
    let namespace = Namespace::new();
    let mut settings =
        Settings { lifecycle_ring: 128 << 10, payload_ring: 64 << 10, pairs, ..Settings::default() };
    settings.scope.ports.insert(port);
    let hear = Halting {
        ear: Ear::default(),
        halt: Arc::new(AtomicBool::new(true)),
        gate: Arc::new(Mutex::new(())),
    };
    let ear = hear.ear.clone();
    let (halt, gate) = (Arc::clone(&hear.halt), Arc::clone(&hear.gate));
    let live = Live::start(&settings, hear).unwrap();
    let closed = gate.lock().unwrap();
    flood(&namespace, port, 2000);
    halt.store(false, Ordering::Release);
    drop(closed);
    // What comes after the flood is heard whole.
    let counters = received(&live);
    ear.wait("every loss told", |log| {
        let told = log.lost.iter().filter(|lost| lost.key.is_none()).map(|lost| lost.records);
        told.sum::<u64>() == counters.lifecycle.dropped() + counters.payload.dropped()
    });
    accounted(&live);
    let counters = live.counters().unwrap();
    assert!(counters.lifecycle.full > 0 && counters.payload.dropped() > 0, "{counters:?}");
    {
        let log = ear.log();
        assert!(log.premature.is_empty(), "{:?}", &log.premature[..3.min(log.premature.len())]);
        let mut told = BTreeMap::new();
        for lost in log.lost.iter().filter(|lost| lost.key.is_none()) {
            *told.entry(lost.place).or_insert(0) += lost.records;
        }
        use observer_core::engine::LossPlace::{LifecycleRing, PayloadRing};
        assert_eq!(told.get(&LifecycleRing).copied().unwrap_or(0), counters.lifecycle.dropped());
        assert_eq!(told.get(&PayloadRing).copied().unwrap_or(0), counters.payload.dropped());
        // A stream that was heard is right, or short; and a short one belongs to a face that was told of a loss or
        // never closed.
        for face in log.opened.iter().filter(|face| !face.paired) {
            let to_server = log.stream(face.key, Direction::ToServer);
            assert!(b"hello".starts_with(to_server.as_slice()));
            let to_client = log.stream(face.key, Direction::ToClient);
            assert!(b"goodbye".starts_with(to_client.as_slice()));
            let whole = to_server == b"hello" && to_client == b"goodbye";
            let told = log.lost.iter().any(|lost| lost.key == Some(face.key));
            let closed = log.closed.iter().any(|closed| closed.key == face.key);
            assert!(whole || told || !closed, "{face:?} lost bytes in silence");
        }
    }
    let opened = ear.log().opened.len();
    flood(&namespace, port, 10);
    ear.wait("ten more on both sides, to their ends", |log| {
        let closed = |face: &Opened| log.closed.iter().any(|closed| closed.key == face.key);
        log.opened.len() == opened + 20 && log.opened[opened..].iter().all(closed)
    });
    let log = ear.log();
    for face in log.opened[opened..].iter().filter(|face| !face.paired) {
        assert_eq!(log.stream(face.key, Direction::ToServer), b"hello");
        assert_eq!(log.stream(face.key, Direction::ToClient), b"goodbye");
    }
}

/// Programs of ours that the kernel holds, whoever loaded them.
fn loaded(tag: &str) -> usize {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .filter(|info| info.name_as_str().is_some_and(|name| name.starts_with(tag)))
        .count()
}

#[test]
fn a_daemon_in_a_child_process() {
    needs_probes!();
    if std::env::var_os("OBSERVER_TEST_CHILD").is_none() {
        return;
    }
    let mut settings = Settings::default();
    settings.scope.ports.insert(PORT + 2);
    let (_live, _ear) = watch_with(&settings);
    println!("attached");
    std::thread::sleep(Duration::from_secs(30));
}

#[test]
fn a_killed_daemon_leaves_nothing_behind() {
    needs_probes!();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "loss::a_daemon_in_a_child_process", "--nocapture"])
        .env("OBSERVER_TEST_CHILD", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("attached") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut output, &mut line).unwrap() > 0, "the child ended");
    }
    let ids = maps_of(child.id());
    assert!(!ids.is_empty(), "the child holds maps");
    assert!(loaded("observer_") >= 7);
    child.kill().unwrap();
    child.wait().unwrap();
    for _ in 0..600 {
        if !ids.iter().any(|id| map_exists(*id)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("maps of the killed daemon are still there");
}

/// Ids of the maps that a process holds.
fn maps_of(pid: u32) -> Vec<u32> {
    std::fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("map_id:")?.trim().parse().ok()))
        .collect()
}

fn map_exists(id: u32) -> bool {
    aya::maps::loaded_maps().filter_map(Result::ok).any(|info| info.id() == id)
}
