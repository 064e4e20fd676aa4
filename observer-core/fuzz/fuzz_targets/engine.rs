//! The engine and the joiner: inputs of every kind in any order. Each connection is classified once and closed once,
//! nothing is left behind, and the bound on what is held stands.
#![no_main]

use core::time::Duration;
use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use observer_core::connection::{Context, Joiner, JoinerLimits, Seed};
use observer_core::engine::{
    Closed, Copied, Ending, Engine, FaceKey, Input, Limits, LossPlace, Lost, Opened, Origin, Report, Role,
    Tuple,
};
use observer_core::event::{Action, Event};
use observer_core::flow::{Direction, Flags, Segment};
use observer_core::security::Reason;
use observer_core::time::Timestamp;

const PLACES: [LossPlace; 4] =
    [LossPlace::PayloadRing, LossPlace::LifecycleRing, LossPlace::RequestRate, LossPlace::KernelTable];
const ENDINGS: [Option<Ending>; 4] =
    [None, Some(Ending::Finished), Some(Ending::Refused), Some(Ending::NeverAccepted)];

fn opened(key: FaceKey, time: Timestamp, kind: u8, number: u8) -> Opened {
    let end = |last: u8, port: u16| ([10, 0, 0, last], port).into();
    let origin = match kind & 3 {
        0 | 1 => Origin::Handshake,
        oriented => Origin::MidStream { reason: Reason::StartedBeforeObserver, oriented: oriented == 2 },
    };
    let isn = |bit: u8| (kind & bit != 0).then_some(u32::from(number & 3));
    Opened {
        key,
        time,
        tuple: Tuple { client: end(1, 40_000 + u16::from(number & 3)), server: end(2, 443) },
        dialled: (kind & 0x80 != 0).then(|| end(3, 443)),
        role: [Role::Client, Role::Server, Role::Wire][usize::from(kind >> 2 & 3) % 3],
        origin,
        subflow: kind & 0x70 == 0x70,
        paired: kind & 0x70 == 0x60,
        client_isn: isn(0x10),
        server_isn: isn(0x20),
        party: None,
    }
}

fuzz_target!(|input: &[u8]| {
    let context = Context {
        seed: Seed(Box::default()),
        hostname: None,
        log: None,
        since: Timestamp::default(),
        cluster: None,
    };
    let mut joiner = Joiner::new(
        context,
        JoinerLimits { hold: Duration::from_millis(5), close: Duration::from_millis(50), connections: 6 },
    );
    let mut engine = Engine::new(Limits { faces: 5, held: 48 << 10, ..Limits::default() });
    let mut told: HashMap<String, [u32; 2]> = HashMap::new();
    let mut hear = |event: Event| {
        let place = match event.event.action {
            Action::ConnectionClassified => 0,
            Action::ConnectionClosed => 1,
            _ => return,
        };
        if let Some(connection) = &event.control_plane.connection {
            let counts = told.entry(connection.id.to_string()).or_default();
            counts[place] += 1;
            assert_eq!(counts[place], 1, "told twice: {:?}", event.event.action);
        }
    };
    // A key is never used again: each opening in a slot has the next one.
    let mut keys = [0_u64; 8];
    let (mut time, mut rest) = (Timestamp(1), input);
    while let Some((&[what, number, length, at], tail)) = rest.split_first_chunk::<4>() {
        let slot = usize::from(number & 7);
        keys[slot] += if what & 0x0f < 2 { 8 } else { 0 };
        let key = FaceKey(keys[slot] + slot as u64);
        let direction = if what & 0x10 == 0 { Direction::ToServer } else { Direction::ToClient };
        let (payload, tail) = tail.split_at(usize::from(length).min(tail.len()));
        let mut reports: Vec<Report> = Vec::new();
        let mut out = |report: Report| reports.push(report);
        let mut taken = payload;
        match what & 0x0f {
            0 | 1 => {
                taken = &[];
                engine.feed(Input::Opened(opened(key, time, length, number)), &mut out);
            }
            2 => {
                taken = &[];
                let bytes = Some(u64::from(length));
                let closed = Closed {
                    key,
                    time,
                    ending: ENDINGS[usize::from(at & 3)],
                    bytes_to_server: bytes.filter(|_| at & 4 == 0),
                    bytes_to_client: bytes.filter(|_| at & 8 == 0),
                };
                engine.feed(Input::Closed(closed), &mut out);
            }
            3 => {
                taken = &[];
                let lost = Lost {
                    time,
                    place: PLACES[usize::from(at & 3)],
                    key: (at & 4 == 0).then_some(key),
                    records: u64::from(length),
                    bytes: u64::from(length) * 10,
                };
                engine.feed(Input::Lost(lost), &mut out);
            }
            4 => {
                taken = &[];
                engine.feed(Input::Reversed(key), &mut out);
            }
            5 => {
                taken = &[];
                time = time + Duration::from_millis(u64::from(length) << (at & 7));
                engine.advance(time, &mut out);
            }
            flags => {
                let segment = Segment {
                    time,
                    seq: u32::from(number & 3)
                        .wrapping_add(u32::from(at) * if what & 0x20 == 0 { 1 } else { 64 }),
                    ack: u32::from(number & 3).wrapping_add(u32::from(number >> 3) * 32),
                    flags: match flags {
                        6 => Flags::SYN,
                        7 => Flags(Flags::SYN.0 | Flags::ACK.0),
                        8 => Flags(Flags::FIN.0 | Flags::ACK.0),
                        9 => Flags::RST,
                        _ => Flags::ACK,
                    },
                    len: u32::try_from(payload.len()).unwrap_or(0) + if what & 0x40 == 0 { 0 } else { 9 },
                    payload,
                };
                let copied = if what & 0x80 == 0 { Copied::All } else { Copied::BudgetSpent };
                engine.feed(Input::Segment { key, direction, segment, copied }, &mut out);
            }
        }
        assert!(engine.open() <= 6, "{} faces", engine.open());
        for report in reports {
            joiner.report(report, &mut hear);
        }
        joiner.advance(time, &mut hear);
        rest = if taken.is_empty() { &rest[4..] } else { tail };
    }
    let mut reports = Vec::new();
    engine.finish(time, &mut |report| reports.push(report));
    for report in reports {
        joiner.report(report, &mut hear);
    }
    joiner.finish(&mut hear);
    assert_eq!((engine.open(), joiner.open()), (0, 0), "something is left behind");
    for (id, counts) in told {
        assert_eq!(counts, [1, 1], "{id} was not classified once and closed once");
    }
});
