//! What the programs cost: the verifier, the packets, the connections.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use observer::source::ebpf::{Hear, Live, Settings};
use observer_core::engine::Input;

use crate::namespace::Namespace;
use crate::needs_probes;

struct Deaf;

impl Hear for Deaf {
    fn input(&mut self, _: Input<'_>) {}
}

#[test]
fn no_program_surprises_the_verifier() {
    needs_probes!();
    let live = Live::start(&Settings::default(), Deaf).unwrap();
    for cost in live.costs() {
        // The kernel tells since 5.16.
        let verified = cost.verified_instructions.map_or("unknown".into(), |count| count.to_string());
        println!(
            "measured: {:<16} {verified:>7} instructions verified, {:>6} bytes",
            cost.name, cost.machine_code
        );
        assert!(cost.verified_instructions.is_none_or(|count| count < 50_000), "{cost:?}");
    }
}

fn connections(namespace: &Namespace, port: u16, time: Duration) -> f64 {
    namespace.run(|| {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let server = std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = [0; 64];
                let length = stream.read(&mut request).unwrap_or(0);
                if &request[..length] == b"stop" {
                    return;
                }
                let _ = stream.write_all(b"ok");
            }
        });
        let start = Instant::now();
        let mut count = 0_u32;
        while start.elapsed() < time {
            let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
            client.write_all(b"hello").unwrap();
            client.read_to_end(&mut Vec::new()).unwrap();
            count += 1;
        }
        let rate = f64::from(count) / start.elapsed().as_secs_f64();
        TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"stop").unwrap();
        server.join().unwrap();
        rate
    })
}

/// `cargo test … -- --ignored --nocapture cost::`: a measurement, not a verdict.
#[test]
#[ignore = "a measurement"]
fn measures_connections_per_second() {
    needs_probes!();
    let namespace = Namespace::new();
    let mut ratios = Vec::new();
    for _ in 0..12 {
        let without = connections(&namespace, 17501, Duration::from_millis(700));
        let mut settings = Settings::default();
        settings.scope.ports.insert(17501);
        if let Some(size) = std::env::var("OBSERVER_TEST_RING").ok().and_then(|size| size.parse().ok()) {
            (settings.lifecycle_ring, settings.payload_ring) = (size, size);
        }
        let live = Live::start(&settings, Deaf).unwrap();
        let before = reader_ticks();
        let with = connections(&namespace, 17501, Duration::from_millis(700));
        let reader = f64::from(reader_ticks() - before) * 10_000.0 / (with * 0.7);
        let counters = live.counters().unwrap();
        drop(live);
        println!(
            "{without:.0} {with:.0} {:.3}, reader {reader:.1} µs a connection, {} dropped",
            with / without,
            counters.lifecycle.dropped() + counters.payload.dropped()
        );
        ratios.push(with / without);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median {:.3}, from {:.3} to {:.3}", ratios[6], ratios[0], ratios[11]);
}

/// CPU time of the reader's thread, in ticks of 10 ms.
fn reader_ticks() -> u32 {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .filter(|stat| stat.contains("(rings)"))
        .filter_map(|stat| {
            let mut fields = stat.rsplit(") ").next()?.split(' ').skip(11);
            Some(fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?)
        })
        .sum()
}

/// As above, for packets: watched and undecided, unwatched, decided.
#[test]
#[ignore = "a measurement"]
fn measures_nanoseconds_per_packet() {
    needs_probes!();
    std::fs::write("/proc/sys/kernel/bpf_stats_enabled", "1").unwrap();
    for case in ["unwatched", "watched", "decided", "connect"] {
        let namespace = Namespace::new();
        let mut settings = Settings::default();
        settings.scope.ports.insert(if case == "unwatched" { 1 } else { 17502 });
        let keys = Keys::default();
        let live = Live::start(&settings, keys.clone()).unwrap();
        if case == "connect" {
            connections(&namespace, 17502, Duration::from_secs(1));
        } else {
            ping(&namespace, &live, &keys, case);
        }
        for cost in live.costs().iter().filter(|cost| cost.runs > 0) {
            println!(
                "{case:<10} {:<16} {:>8} runs {:>6} ns",
                cost.name,
                cost.runs,
                cost.nanoseconds / u128::from(cost.runs)
            );
        }
    }
    std::fs::write("/proc/sys/kernel/bpf_stats_enabled", "0").unwrap();
}

#[derive(Clone, Default)]
struct Keys(std::sync::Arc<std::sync::Mutex<Vec<observer_core::engine::FaceKey>>>);

impl Hear for Keys {
    fn input(&mut self, input: Input<'_>) {
        if let Input::Opened(opened) = input {
            self.0.lock().unwrap().push(opened.key);
        }
    }
}

fn ping(namespace: &Namespace, live: &Live<Keys>, keys: &Keys, case: &str) {
    namespace.run(|| {
        let listener = TcpListener::bind(("127.0.0.1", 17502)).unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", 17502)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let mut buffer = [0; 64];
        let mut turn = |count: u32| {
            for _ in 0..count {
                client.write_all(&[7; 64]).unwrap();
                server.read_exact(&mut buffer).unwrap();
                server.write_all(&[7; 64]).unwrap();
                client.read_exact(&mut buffer).unwrap();
            }
        };
        if case == "decided" {
            turn(10);
            std::thread::sleep(Duration::from_millis(20));
            for key in keys.0.lock().unwrap().iter() {
                live.control().enough(*key);
            }
            turn(10);
        }
        let before = live.costs();
        turn(if case == "watched" { 500 } else { 20_000 });
        for (before, after) in before.iter().zip(live.costs()).filter(|(_, after)| after.name.len() < 13) {
            let runs = after.runs - before.runs;
            if runs > 0 {
                println!(
                    "{case:<10} {:<16} {:>8} runs {:>6} ns net of set-up",
                    after.name,
                    runs,
                    (after.nanoseconds - before.nanoseconds) / u128::from(runs)
                );
            }
        }
    });
}
