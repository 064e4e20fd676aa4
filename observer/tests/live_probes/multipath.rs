//! Connections of Multipath TCP whose bytes travel on several subflows.

use std::io::{Read, Write};
use std::net::SocketAddr;

use observer::source::ebpf::Settings;
use observer_core::flow::{Direction, Flags};

use crate::heard::watch_with;
use crate::namespace::Namespace;
use crate::needs_probes;
use crate::socket::{MPTCP, Socket};

const LENGTH: usize = 900_000;

fn pattern(seed: u32) -> Vec<u8> {
    (0..LENGTH as u32).map(|index| ((index ^ seed).wrapping_mul(2_654_435_761) >> 23) as u8).collect()
}

/// A large exchange each way, with a further subflow from `also`; `false` if the kernel cannot.
fn exchange(namespace: &Namespace, address: SocketAddr, also: &str) -> bool {
    let set = |arguments: &[&str]| {
        // A child is where the thread is that starts it. Busybox's `ip` knows nothing of Multipath TCP.
        namespace.run(|| {
            std::process::Command::new("ip").args(arguments).status().is_ok_and(|status| status.success())
        })
    };
    if !set(&["mptcp", "limits", "set", "subflow", "2", "add_addr_accepted", "2"])
        || !set(&["mptcp", "endpoint", "add", also, "dev", "lo", "subflow"])
    {
        return false;
    }
    namespace.run(|| {
        let Ok(socket) = Socket::new(address, MPTCP) else { return false };
        socket.bind(address).unwrap();
        let listener = socket.listen(16).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                namespace.enter();
                let socket = Socket::new(address, MPTCP).unwrap();
                socket.connect(address).unwrap();
                let mut stream = socket.stream();
                stream.write_all(&pattern(1)[..100]).unwrap();
                // The further subflow is made once the server has answered.
                stream.read_exact(&mut [0; 100]).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(300));
                stream.write_all(&pattern(1)[100..]).unwrap();
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).unwrap();
                assert!(rest == pattern(2)[100..]);
            });
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 100]).unwrap();
            stream.write_all(&pattern(2)[..100]).unwrap();
            let mut rest = vec![0; LENGTH - 100];
            stream.read_exact(&mut rest).unwrap();
            assert!(rest == pattern(1)[100..]);
            stream.write_all(&pattern(2)[100..]).unwrap();
        });
        true
    })
}

#[test]
fn bytes_of_another_subflow_are_a_hole_and_never_closed_up() {
    needs_probes!();
    let namespace = Namespace::new();
    let address: SocketAddr = "127.0.0.1:17601".parse().unwrap();
    let mut settings = Settings { budget: 2 << 20, payload_ring: 16 << 20, ..Settings::default() };
    settings.scope.ports.insert(17601);
    let (_live, ear) = watch_with(&settings);
    if !exchange(&namespace, address, "127.0.0.2") {
        println!("skipped: this kernel or iproute2 has no MPTCP");
        return;
    }
    ear.wait("all ends", |log| log.closed.len() >= 4);
    let log = ear.log();
    let joined: Vec<_> = log.opened.iter().filter(|opened| opened.subflow).map(|opened| opened.key).collect();
    assert_eq!(joined.len(), 2, "both ends of one further subflow");
    let bytes = |keys: &[_]| -> usize {
        log.segments.iter().filter(|heard| keys.contains(&heard.key)).map(|heard| heard.payload.len()).sum()
    };
    println!("{} bytes on the further subflow", bytes(&joined));
    assert!(bytes(&joined) > 0, "the kernel used one subflow alone");
    for face in log.opened.iter().filter(|opened| !opened.subflow) {
        for (direction, seed) in [(Direction::ToServer, 1), (Direction::ToClient, 2)] {
            let sent = pattern(seed);
            let mine: Vec<_> = log
                .segments
                .iter()
                .filter(|heard| heard.key == face.key && heard.direction == direction)
                .collect();
            let syn = mine.iter().find(|heard| heard.flags.contains(Flags::SYN)).unwrap();
            let mut heard_bytes = 0;
            for heard in mine.iter().filter(|heard| !heard.payload.is_empty()) {
                let offset = heard.seq.wrapping_sub(syn.seq.wrapping_add(1)) as usize;
                assert!(
                    sent.get(offset..offset + heard.payload.len()) == Some(&heard.payload[..]),
                    "{direction:?} of {:?}: bytes in a wrong place at {offset}",
                    face.role
                );
                heard_bytes += heard.payload.len();
            }
            assert!(heard_bytes >= 100, "{direction:?} of {:?}: {heard_bytes} bytes", face.role);
            if let Some(fin) = mine.iter().find(|heard| heard.flags.contains(Flags::FIN)) {
                let end = fin.seq.wrapping_add(fin.len).wrapping_sub(syn.seq.wrapping_add(1)) as usize;
                let whole = log.stream(face.key, direction).len();
                assert!(whole == LENGTH || end > whole, "{direction:?}: an end without a hole at {whole}");
            }
        }
    }
}
