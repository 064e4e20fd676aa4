//! Whole captures through everything from the packet to the event, whole and damaged in every way that a capture can be:
//! cut short, with neighbours swapped, shuffled. A verdict may become unknown; it may never become another one.
//!
//! `OBSERVER_PERMUTATIONS` sets how often each capture is shuffled, and `OBSERVER_CAPTURES=FROM..TO` takes a part of the
//! captures, so that a long run can be done in pieces.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of a test are not inside #[test] functions")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use observer_core::connection::{Context, Joiner, JoinerLimits, Seed};
use observer_core::engine::{Closed, Copied, Engine, FaceKey, Input, Limits, Opened, Origin, Role, Tuple};
use observer_core::event::{Action, Event};
use observer_core::flow::{Direction, Flags, Found, Table};
use observer_core::packet::{Decoded, LinkType, Packet, decode};
use observer_core::security::{ClientCertificate, Reason, Security};
use observer_core::time::Timestamp;

fn packets(pcap: &[u8]) -> Vec<Packet<'_>> {
    let mut packets = Vec::new();
    let mut rest = &pcap[24..];
    while rest.len() >= 16 {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let time = Timestamp(u64::from(word(0)) * 1_000_000_000 + u64::from(word(4)) * 1000);
        let length = word(8) as usize;
        match decode(LinkType::ETHERNET, &rest[16..16 + length], word(12), time).unwrap() {
            Decoded::Segment(packet) => packets.push(packet),
            Decoded::Fragment(fragment) => panic!("{fragment:?}"),
        }
        rest = &rest[16 + length..];
    }
    packets
}

fn open(packet: &Packet<'_>, key: FaceKey, direction: Direction, isns: [Option<u32>; 2]) -> Opened {
    let (client, server): (SocketAddr, SocketAddr) = match direction {
        Direction::ToServer => (packet.source, packet.destination),
        Direction::ToClient => (packet.destination, packet.source),
    };
    let origin = if packet.segment.flags.contains(Flags::SYN) {
        Origin::Handshake
    } else {
        Origin::MidStream { reason: Reason::StartedBeforeObserver, oriented: false }
    };
    Opened {
        key,
        time: packet.segment.time,
        tuple: Tuple { client, server },
        dialled: None,
        role: Role::Wire,
        origin,
        subflow: false,
        paired: false,
        client_isn: isns[0],
        server_isn: isns[1],
        party: None,
    }
}

/// All events of a sequence of packets.
fn events<'a>(packets: impl Iterator<Item = &'a Packet<'a>>) -> Vec<Event> {
    let context = Context {
        seed: Seed(Box::default()),
        hostname: None,
        log: None,
        since: Timestamp::default(),
        cluster: None,
    };
    let limits = JoinerLimits { hold: Duration::ZERO, close: Duration::from_secs(1), connections: 1000 };
    let mut joiner = Joiner::new(context, limits);
    let mut engine = Engine::new(Limits::default());
    let mut table = Table::new(64, 1);
    let mut events = Vec::new();
    let mut now = Timestamp::default();
    for packet in packets {
        now = now.max(packet.segment.time);
        let mut reports = Vec::new();
        let mut feed = |input: Input<'_>| engine.feed(input, &mut |report| reports.push(report));
        if let Found::Face { key, direction, opened, reversed, client_isn, server_isn, replaced, evicted } =
            table.find(packet.source, packet.destination, &packet.segment)
        {
            for gone in [replaced, evicted].into_iter().flatten() {
                feed(Input::Closed(Closed {
                    key: gone,
                    time: now,
                    ending: None,
                    bytes_to_server: None,
                    bytes_to_client: None,
                }));
            }
            if opened {
                feed(Input::Opened(open(packet, key, direction, [client_isn, server_isn])));
            }
            if reversed {
                feed(Input::Reversed(key));
            }
            feed(Input::Segment { key, direction, segment: packet.segment, copied: Copied::All });
        }
        engine.advance(now, &mut |report| reports.push(report));
        for report in reports {
            joiner.report(report, &mut |event| events.push(event));
        }
        joiner.advance(now, &mut |event| events.push(event));
    }
    let mut reports = Vec::new();
    engine.finish(now, &mut |report| reports.push(report));
    for report in reports {
        joiner.report(report, &mut |event| events.push(event));
    }
    joiner.finish(&mut |event| events.push(event));
    assert_eq!((engine.open(), joiner.open()), (0, 0), "nothing is left behind");
    events
}

/// What an event says of the protection.
type Said = (Security, ClientCertificate);

fn said(event: &Event) -> Said {
    let own = &event.control_plane;
    let certificate = own.client_certificate.map_or(ClientCertificate::Unknown, |field| field.state);
    (own.security.unwrap(), certificate)
}

/// The verdict of each connection at its end; checks that each is classified once and closed once.
fn verdicts(events: &[Event]) -> Vec<Said> {
    let of = |action: Action| events.iter().filter(move |event| event.event.action == action);
    let ids = |action: Action| {
        let mut ids: Vec<_> =
            of(action).map(|event| event.control_plane.connection.as_ref().unwrap().id.clone()).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all, "{action:?} told twice");
        ids
    };
    assert_eq!(ids(Action::ConnectionClassified), ids(Action::ConnectionClosed));
    for classified in of(Action::ConnectionClassified) {
        let id = &classified.control_plane.connection.as_ref().unwrap().id;
        let closed = of(Action::ConnectionClosed)
            .find(|event| event.control_plane.connection.as_ref().unwrap().id == *id)
            .unwrap();
        assert!(allowed(said(classified), said(closed)), "{:?} became {:?}", said(classified), said(closed));
    }
    of(Action::ConnectionClosed).map(said).collect()
}

/// Whether `less` may be said where the truth is `whole`: the same, or less of it.
fn allowed(less: Said, whole: Said) -> bool {
    let security = match (less.0, whole.0) {
        (Security::Unknown, _) => true,
        (Security::Tls, Security::MutualTls | Security::ServerTls) => true,
        (less, whole) => less == whole,
    };
    security && (less.1 == ClientCertificate::Unknown || less.1 == whole.1)
}

/// The captures that this run takes, by their place in the list of labels.
fn part() -> core::ops::Range<usize> {
    let Ok(text) = std::env::var("OBSERVER_CAPTURES") else { return 0..usize::MAX };
    let (from, to) = text.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for i in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(i, usize::try_from(seed >> 33).unwrap() % (i + 1));
    }
}

#[test]
fn damage_to_a_capture_makes_a_verdict_unknown_but_never_another() {
    let Some(corpus) = support::corpus() else { return println!("skipped: no labelled captures") };
    let permutations: u64 = std::env::var("OBSERVER_PERMUTATIONS").map_or(3, |text| text.parse().unwrap());
    let (mut runs, mut kept, mut wrong) = (0_u64, 0_u64, Vec::new());
    let labels = std::fs::read_to_string(corpus.join("labels.jsonl")).unwrap();
    let part = part();
    for (number, line) in labels.lines().enumerate().filter(|(number, _)| part.contains(number)) {
        let label = support::Label(serde_json::from_str(line).unwrap());
        let file = label.text("file");
        let pcap = std::fs::read(corpus.join(file)).unwrap();
        let packets = packets(&pcap);
        let whole = verdicts(&events(packets.iter()));
        assert_eq!(whole.len(), 1, "{file}: one connection a capture");
        let mut check = |packets: &mut dyn Iterator<Item = &Packet<'_>>, how: String| {
            runs += 1;
            let all: Vec<Packet<'_>> = packets.copied().collect();
            for verdict in verdicts(&events(all.iter())) {
                kept += u64::from(verdict == whole[0]);
                // A server that answers TLS in plaintext: without the client's bytes, plaintext is all there is.
                if matches!(label.text("corpus_case"), "nontls:tls-to-http-port" | "nontls:tls-alert-only")
                    && how.starts_with("from packet")
                    && verdict.0 == Security::Plaintext
                {
                    continue;
                }
                if !allowed(verdict, whole[0]) && wrong.len() < 20 {
                    wrong.push(format!("{file}, {how}: {verdict:?} instead of {:?}", whole[0]));
                }
            }
        };
        for cut in 0..packets.len() {
            check(&mut packets[..cut].iter(), format!("first {cut} packets"));
            check(&mut packets[cut..].iter(), format!("from packet {cut} on"));
            let without = packets[..cut].iter().chain(&packets[cut + 1..]);
            check(&mut without.into_iter(), format!("without packet {cut}"));
        }
        for at in 1..packets.len() {
            let mut order: Vec<&Packet<'_>> = packets.iter().collect();
            order.swap(at - 1, at);
            check(&mut order.into_iter(), format!("packets {} and {at} swapped", at - 1));
        }
        for seed in 0..permutations {
            let mut order: Vec<&Packet<'_>> = packets.iter().collect();
            shuffle(&mut order, seed ^ (number as u64) << 32);
            check(&mut order.into_iter(), format!("shuffled with seed {seed}"));
        }
    }
    println!("{runs} runs, {kept} with the whole capture's verdict");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
