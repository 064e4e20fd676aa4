//! One plain HTTP connection, captured in every way there is: `observer replay` says the same of each.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::SocketAddrV4;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use support::talk::{
    CLIENT, Link, SERVER, Segment, conversation, conversation_from, fragmented, ipv4, ipv6, translated,
};
use support::{Order, Sample, classic_of, enhanced, gzip, interface, section_header, zstd};

fn observer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
    command.args(["replay", "--format", "json"]).env_remove("NO_COLOR");
    command
}

/// The events of a capture, and what was said besides.
fn replay(capture: &[u8]) -> (Vec<Value>, String, i32) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(capture).unwrap();
    let output = observer().arg(file.path()).output().unwrap();
    let events = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events = events.map(|line| serde_json::from_slice(line).unwrap()).collect();
    (events, String::from_utf8(output.stderr).unwrap(), output.status.code().unwrap())
}

/// One connection, told as what it is: classified and closed, from its first byte to its last.
fn is_told(what: &str, capture: &[u8]) -> Vec<Value> {
    let (events, said, code) = replay(capture);
    assert_eq!(code, 0, "{what}: {said}");
    assert_eq!(events.len(), 2, "{what}: {said} {events:#?}");
    for event in &events {
        assert_eq!(event["source"]["port"], CLIENT.port(), "{what}");
        assert_eq!(event["control_plane"]["security"], "plaintext", "{what}: {event:#}");
        assert_eq!(event["http"]["request"]["method"], "GET", "{what}");
        assert_eq!(event["url"]["path"], "/healthz", "{what}");
        assert!(event["control_plane"].get("missing").is_none(), "{what}: {event:#}");
    }
    let closed = &events[1];
    assert_eq!(closed["control_plane"]["connection"]["ending"], "finished", "{what}: {closed:#}");
    let (sent, received) = support::talk::bytes();
    assert_eq!(
        (&closed["source"]["bytes"], &closed["destination"]["bytes"]),
        (&sent.into(), &received.into()),
        "{what}"
    );
    events
}

fn framed(link: Link, packets: &[Vec<u8>]) -> Vec<Sample> {
    let sample = |(n, packet): (usize, &Vec<u8>)| {
        let (seconds, nanoseconds) = (1_700_000_000 + n as u32 / 1000, n as u32 % 1000 * 1_000_000);
        Sample { seconds, nanoseconds, bytes: link.frame(packet) }
    };
    packets.iter().enumerate().map(sample).collect()
}

/// A capture without cut packets.
fn classic(link: Link, packets: &[Vec<u8>]) -> Vec<u8> {
    classic_of(Order::Little, 0xa1b2_c3d4, link.number(), 0, &framed(link, packets))
}

fn packets(wrap: impl Fn(&Segment) -> Vec<u8>) -> Vec<Vec<u8>> {
    conversation().iter().map(wrap).collect()
}

#[test]
fn every_link_layer_with_both_internet_protocols() {
    for link in Link::ALL {
        is_told(&format!("IPv4 in {link:?}"), &classic(link, &packets(ipv4)));
        is_told(&format!("IPv6 in {link:?}"), &classic(link, &packets(|it| ipv6(&[], it))));
    }
}

#[test]
fn extension_headers_of_every_kind() {
    // Hop-by-hop options, destination options, routing, authentication, an atomic fragment; and all in a row.
    let all = [0, 60, 43, 51, 44];
    for one in all {
        is_told(&format!("header {one}"), &classic(Link::Ethernet, &packets(|it| ipv6(&[one], it))));
    }
    is_told("all headers", &classic(Link::Ethernet, &packets(|it| ipv6(&all, it))));
}

#[test]
fn fragments_in_any_order() {
    for wide in [false, true] {
        let pieces = |reversed: bool| -> Vec<Vec<u8>> {
            let cut = |(n, segment): (usize, &Segment)| {
                let mut pieces = fragmented(wide, n as u32, segment);
                if reversed {
                    pieces.reverse();
                }
                pieces
            };
            conversation().iter().enumerate().flat_map(cut).collect()
        };
        assert!(pieces(false).len() > 20);
        is_told("fragments", &classic(Link::Ethernet, &pieces(false)));
        is_told("fragments, the last first", &classic(Link::Ethernet, &pieces(true)));
        let mut lost = pieces(false);
        lost.remove(lost.len() / 2);
        let (_, said, code) = replay(&classic(Link::Ethernet, &lost));
        assert_eq!(code, 0);
        assert!(said.contains("fragments do not make a whole"), "{said}");
    }
}

#[test]
fn vlan_tags_and_padding() {
    let mut tagged = framed(Link::Ethernet, &packets(ipv4));
    for sample in &mut tagged {
        // 802.1ad outside, 802.1Q inside.
        sample.bytes.splice(12..12, [0x88, 0xa8, 0, 5, 0x81, 0, 0, 7]);
        sample.bytes.extend([0; 7]);
    }
    is_told("VLAN tags", &classic_of(Order::Big, 0xa1b2_3c4d, 1, 0, &tagged));
}

/// A snap length that cuts bodies still shows what was asked; what was cut is told as missing.
#[test]
fn snap_lengths() {
    let cut: Vec<Sample> = framed(Link::Ethernet, &packets(ipv4));
    let (events, said, code) = replay(&classic_of(Order::Little, 0xa1b2_c3d4, 1, 160, &cut));
    assert_eq!(code, 0, "{said}");
    let [classified, closed] = &events[..] else { panic!("{events:#?}") };
    assert_eq!(classified["control_plane"]["security"], "plaintext");
    assert_eq!(classified["url"]["path"], "/healthz");
    assert!(closed["control_plane"]["missing"]["bytes"].as_u64().unwrap() > 1000, "{closed:#}");
    assert_eq!(closed["destination"]["bytes"], support::talk::bytes().1, "counted by sequence numbers");
}

/// What a network card is still to cut: an IP length of zero, and a segment longer than 64 KiB.
#[test]
fn offloaded_giants() {
    let giant = |segment: &Segment| {
        let mut packet = ipv4(segment);
        packet[2..4].fill(0);
        packet
    };
    is_told("IPv4 length 0", &classic(Link::Ethernet, &packets(giant)));
    let giant = |segment: &Segment| {
        let mut packet = ipv6(&[], segment);
        packet[4..6].fill(0);
        packet
    };
    is_told("IPv6 length 0", &classic(Link::Raw, &packets(giant)));
    let mut long = conversation();
    let body = vec![b'x'; 100_000];
    let more = body.len() as u32;
    let last = long.iter().rposition(|it| !it.to_server && !it.payload.is_empty()).unwrap();
    long[last].payload.extend(&body);
    let end = long[last].seq.wrapping_add(long[last].payload.len() as u32);
    for later in &mut long[last + 1..] {
        if later.to_server { later.ack = end } else { later.seq = later.seq.wrapping_add(more) }
    }
    let packets: Vec<_> = long.iter().map(giant).collect();
    let (events, ..) = replay(&classic(Link::Ethernet, &packets));
    let sum = support::talk::bytes().1 + u64::from(more);
    assert_eq!(events[1]["destination"]["bytes"], sum, "{:#}", events[1]);
    assert!(events[1]["control_plane"].get("missing").is_none());
}

/// `tcpdump -i any`: each packet once per interface, and a translated connection with both of its faces.
#[test]
fn all_interfaces_at_once() {
    for link in [Link::Sll, Link::Sll2] {
        let twice: Vec<Vec<u8>> = packets(ipv4).into_iter().flat_map(|it| [it.clone(), it]).collect();
        let events = is_told("each packet twice", &classic(link, &twice));
        assert_eq!(events[1]["control_plane"]["connection"]["faces"], 1);
        // To the service's address on one interface, to the backend's on the other; answers the other way round.
        let both: Vec<Vec<u8>> = conversation()
            .iter()
            .flat_map(|it| {
                let (near, far) = (ipv4(it), ipv4(&translated(it)));
                if it.to_server { [near, far] } else { [far, near] }
            })
            .collect();
        let events = is_told("both faces of a translated connection", &classic(link, &both));
        let closed = &events[1];
        assert_eq!(closed["control_plane"]["connection"]["faces"], 2, "{closed:#}");
        assert_eq!(closed["destination"]["ip"], SERVER.ip().to_string());
        assert_eq!(closed["destination"]["nat"]["port"], 8443);
        assert_eq!(closed["source"]["nat"]["port"], 50_001);
    }
}

/// Two sections of different byte order, with interfaces of different link types and clocks, which share the packets.
#[test]
fn several_sections_interfaces_and_clocks() {
    let packets = packets(ipv4);
    let clocks = [(Link::Ethernet, 6), (Link::Sll, 9), (Link::Raw, 0x80 | 20), (Link::Sll2, 3)];
    let mut capture = Vec::new();
    for (half, order) in [Order::Big, Order::Little].into_iter().enumerate() {
        capture.extend(section_header(order));
        for (link, resolution) in clocks {
            capture.extend(interface(order, link.number(), resolution));
        }
        for (n, packet) in packets.iter().enumerate().filter(|(n, _)| n / 6 == half) {
            let (link, resolution) = clocks[n % clocks.len()];
            let bytes = link.frame(packet);
            let sample = Sample { seconds: 1_700_000_000, nanoseconds: n as u32 * 1_000_000, bytes };
            capture.extend(enhanced(order, (n % clocks.len()) as u32, resolution, &sample));
        }
    }
    assert!((7..=12).contains(&packets.len()));
    for capture in [capture.clone(), gzip(&capture), zstd(&capture)] {
        let events = is_told("pcapng", &capture);
        assert_eq!(events[1]["event"]["start"], "2023-11-14T22:13:20.000000000Z");
        let lasted = events[1]["event"]["duration"].as_u64().unwrap();
        assert!(lasted.abs_diff((packets.len() as u64 - 1) * 1_000_000) < 2_000_000, "{lasted}");
    }
}

/// Events come while the pipe is still open, whatever the number of threads.
#[test]
fn a_live_pipe_is_told_as_it_flows() {
    for threads in ["1", "3"] {
        let mut child = observer()
            .args(["--threads", threads, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let (told, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            stdout.lines().for_each(|line| told.send(line.unwrap()).unwrap_or_default());
        });
        let capture = classic(Link::Ethernet, &packets(ipv4));
        let open = capture.len() - 3 * (16 + 14 + 40);
        stdin.write_all(&capture[..open]).unwrap();
        let line = lines.recv_timeout(Duration::from_secs(30)).expect("told before the end of the pipe");
        assert!(line.contains("connection-classified"), "{line}");
        stdin.write_all(&capture[open..]).unwrap();
        let line =
            lines.recv_timeout(Duration::from_secs(30)).expect("its end is told while nothing else comes");
        assert!(line.contains("connection-closed"), "{line}");
        drop(stdin);
        assert!(child.wait().unwrap().success());
        reader.join().unwrap();
    }
}

/// What lies before a damage is told, then one error names the file and the place.
#[test]
fn a_damage_hides_nothing_before_it() {
    let whole = classic(Link::Ethernet, &packets(ipv4));
    let mut torn = whole.clone();
    torn.extend([0; 8]);
    torn.extend(u32::MAX.to_le_bytes());
    torn.extend([0; 100]);
    for (torn, packed) in [(torn.clone(), false), (gzip(&torn), true), (zstd(&torn), true)] {
        let (events, said, code) = replay(&torn);
        assert_eq!((events.len(), code), (2, 2), "{said}");
        let errors: Vec<_> = said.lines().filter(|line| !line.contains(" packets, ")).collect();
        let [error] = &errors[..] else { panic!("{said}") };
        assert!(error.contains(&whole.len().to_string()), "{error}");
        assert_eq!(error.contains("unpacked"), packed, "{error}");
    }
}

/// A bar is drawn on a terminal, and taken away again; nothing of it goes anywhere else.
#[test]
fn a_bar_shows_on_a_terminal_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.pcap");
    // More events than a pipe and the buffer before it hold: the replay waits in the middle until they are taken.
    let all = (1..=1000).flat_map(|port| conversation_from(SocketAddrV4::new(*CLIENT.ip(), port)));
    let all: Vec<_> = all.map(|segment| ipv4(&segment)).collect();
    fs::write(&path, classic(Link::Ethernet, &all)).unwrap();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let screen = fs::OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut command = observer();
    command.env("TERM", "xterm").arg(&path).stdout(Stdio::piped()).stderr(screen);
    let mut child = command.spawn().unwrap();
    // Ours has the terminal's other side open too.
    drop(command);
    let mut terminal = fs::File::from(terminal);
    let mut drawn = Vec::new();
    while !String::from_utf8_lossy(&drawn).contains("long.pcap") {
        let mut some = [0; 4096];
        let length = terminal.read(&mut some).unwrap();
        drawn.extend(&some[..length]);
    }
    let mut events = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut events).unwrap();
    assert_eq!(events.iter().filter(|byte| **byte == b'\n').count(), 2000);
    // Once the other side is closed everywhere, reading it is an error.
    let _ = terminal.read_to_end(&mut drawn);
    assert!(child.wait().unwrap().success());
    let drawn = String::from_utf8(drawn).unwrap();
    let (bar, after) = drawn.rsplit_once("long.pcap").unwrap();
    assert!(!bar.contains("10000 packets"), "{drawn}");
    assert!(after.contains("\x1b[2K"), "the bar is taken away: {drawn:?}");
    assert!(after.contains("10000 packets, 1000 connections"), "{drawn:?}");
}
