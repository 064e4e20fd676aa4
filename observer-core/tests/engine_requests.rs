//! Requests on one kept-alive connection whose large bodies the source need not copy.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test casts numbers that it chose itself"
)]

use observer_core::engine::{
    Closed, Copied, Ending, Engine, FaceKey, Facts, Input, Limits, LossPlace, Lost, Opened, Origin, Report,
    Role, Tuple,
};
use observer_core::event::{HttpCounts, MissingBytes};
use observer_core::flow::{Direction, Flags, Segment};
use observer_core::security::Security;
use observer_core::time::Timestamp;

const KEY: FaceKey = FaceKey(7);
/// So that a body lies across the wrap of sequence numbers.
const ISN: u32 = u32::MAX - 100_000;

/// A source that copies from where it was told on, and the engine behind it.
struct Rig {
    engine: Engine,
    /// Offset in the stream of the first byte that is wanted.
    from: u64,
    told: u32,
    reports: Vec<Report>,
}

impl Rig {
    fn new() -> Self {
        let mut rig = Self { engine: Engine::new(Limits::default()), from: 0, told: 0, reports: Vec::new() };
        rig.feed(Input::Opened(Opened {
            key: KEY,
            time: Timestamp(1),
            tuple: Tuple { client: "10.0.0.1:999".parse().unwrap(), server: "10.0.0.2:80".parse().unwrap() },
            dialled: None,
            role: Role::Client,
            origin: Origin::Handshake,
            subflow: false,
            paired: false,
            client_isn: Some(ISN),
            server_isn: Some(5),
            party: None,
        }));
        rig
    }

    fn feed(&mut self, input: Input<'_>) {
        let mut from = None;
        self.engine.feed(input, &mut |report| {
            if let Report::RequestsOnly { from: Some(seq), .. } = report {
                from = Some(seq);
            }
            self.reports.push(report);
        });
        if let Some(seq) = from {
            self.told += 1;
            self.from += u64::from(seq.wrapping_sub(ISN.wrapping_add(1)).wrapping_sub(self.from as u32));
        }
    }

    /// A segment at `offset`, as the hook sees it; what lies before `from` is not copied.
    fn segment(&mut self, offset: u64, bytes: &[u8]) {
        let cut = usize::try_from(self.from.saturating_sub(offset)).unwrap().min(bytes.len());
        self.copied(offset + cut as u64, &bytes[cut..]);
    }

    fn copied(&mut self, offset: u64, payload: &[u8]) {
        if payload.is_empty() {
            return;
        }
        let segment = Segment {
            time: Timestamp(2),
            seq: ISN.wrapping_add(1).wrapping_add(offset as u32),
            ack: 6,
            flags: Flags::ACK,
            len: payload.len() as u32,
            payload,
        };
        self.feed(Input::Segment { key: KEY, direction: Direction::ToServer, segment, copied: Copied::All });
    }

    fn lost(&mut self, bytes: u64) {
        let place = LossPlace::RequestRate;
        self.feed(Input::Lost(Lost { time: Timestamp(2), place, key: Some(KEY), records: 1, bytes }));
    }

    /// What is known at the end.
    fn close(mut self) -> (Facts, MissingBytes) {
        self.feed(Input::Closed(Closed {
            key: KEY,
            time: Timestamp(3),
            ending: Some(Ending::Finished),
            bytes_to_server: None,
            bytes_to_client: None,
        }));
        let Self { mut engine, mut reports, .. } = self;
        engine.finish(Timestamp(4), &mut |report| reports.push(report));
        let mut last = None;
        for report in reports {
            match report {
                Report::Classified { facts, .. } => last = Some((facts, MissingBytes::default())),
                Report::Closed { facts, missing, .. } => {
                    let before = last.take().map(|(facts, _)| facts);
                    last = facts.or(before).map(|facts| (facts, missing));
                }
                _ => {}
            }
        }
        let (facts, missing) = last.unwrap();
        (*facts, missing)
    }

    fn counts(self) -> (HttpCounts, MissingBytes) {
        let (facts, missing) = self.close();
        assert_eq!(facts.verdict.security, Security::Plaintext);
        (facts.http.unwrap().counts, missing)
    }
}

fn head(length: usize) -> Vec<u8> {
    format!("PUT /objects HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

/// Requests with bodies of these lengths, as one stream.
fn stream(bodies: &[usize]) -> Vec<u8> {
    let mut stream = Vec::new();
    for length in bodies {
        stream.extend_from_slice(&head(*length));
        // A body that looks like requests.
        let fake = b"GET /fake HTTP/1.1\r\nHost: y\r\n\r\n".iter().copied().cycle();
        stream.extend(fake.take(*length));
    }
    stream
}

#[test]
fn every_head_is_read_where_bodies_are_passed_over() {
    let bodies = [3_000_000, 5, 0, 200_000, 70_000, 0, 900_000];
    let stream = stream(&bodies);
    for size in [700, 1460, 65_483] {
        let mut rig = Rig::new();
        for (index, bytes) in stream.chunks(size).enumerate() {
            rig.segment((index * size) as u64, bytes);
        }
        let told = rig.told;
        let (counts, missing) = rig.counts();
        assert_eq!(counts.requests, bodies.len() as u64, "{size}");
        assert_eq!((counts.missed, counts.missed_unknown, counts.resynchronised), (0, false, 0), "{size}");
        assert_eq!(missing, MissingBytes::default(), "{size}");
        assert!(told < 20, "told {told} times");
    }
}

#[test]
fn a_source_that_learns_late_changes_nothing_as_long_as_it_copies() {
    // Everything is copied: nothing of it may be taken for a request because a wish was under way.
    let bodies = [300_000, 10, 80_000];
    let stream = stream(&bodies);
    let mut rig = Rig::new();
    for (index, bytes) in stream.chunks(1460).enumerate() {
        rig.copied((index * 1460) as u64, bytes);
    }
    let (counts, missing) = rig.counts();
    assert_eq!((counts.requests, counts.missed, counts.missed_unknown), (3, 0, false));
    assert_eq!(missing, MissingBytes::default());
}

#[test]
fn what_was_skipped_within_the_body_is_no_missed_request() {
    let mut rig = Rig::new();
    let stream = stream(&[1_000_000, 0]);
    let next = (stream.len() - head(0).len()) as u64;
    rig.segment(0, &stream[..65_000]);
    // The source could not keep up before it knew that nobody wanted them.
    rig.lost(500_000);
    rig.copied(next, &stream[next as usize..]);
    let (counts, missing) = rig.counts();
    assert_eq!((counts.requests, counts.missed, counts.missed_unknown), (2, 0, false));
    assert_eq!((missing.bytes, missing.gaps), (0, 0));
}

#[test]
fn what_was_skipped_behind_the_body_is_told_as_missed() {
    let mut rig = Rig::new();
    let stream = stream(&[1_000_000, 20_000, 0, 0, 0]);
    let second = head(1_000_000).len() + 1_000_000;
    rig.segment(0, &stream[..65_000]);
    // The wish came too late: the second request's head passed uncopied.
    rig.lost(1000);
    let rest = second + 1000;
    for (index, bytes) in stream[rest..].chunks(1000).enumerate() {
        rig.copied((rest + index * 1000) as u64, bytes);
    }
    let (counts, missing) = rig.counts();
    assert!(counts.missed_unknown, "{counts:?}");
    assert!(counts.resynchronised > 0, "{counts:?}");
    assert_eq!(missing.bytes, 1000);
}

#[test]
fn the_rest_of_a_large_chunk_is_passed_over_too() {
    let mut stream = b"POST /upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..4 {
        stream.extend_from_slice(b"186a0\r\n");
        stream.extend(std::iter::repeat_n(b'x', 100_000));
        stream.extend_from_slice(b"\r\n");
    }
    stream.extend_from_slice(b"0\r\n\r\n");
    stream.extend_from_slice(&head(0));
    let mut rig = Rig::new();
    let mut copied = 0;
    for (index, bytes) in stream.chunks(1460).enumerate() {
        let at = (index * 1460) as u64;
        copied += bytes.len() - usize::try_from(rig.from.saturating_sub(at)).unwrap().min(bytes.len());
        rig.segment(at, bytes);
    }
    let (counts, _) = rig.counts();
    assert_eq!((counts.requests, counts.missed, counts.missed_unknown), (2, 0, false));
    assert!(copied < 20_000, "{copied} bytes");
}

#[test]
fn a_connection_that_ends_within_a_body_misses_nothing() {
    let mut rig = Rig::new();
    let stream = stream(&[1_000_000]);
    rig.segment(0, &stream[..65_000]);
    let segment = Segment {
        time: Timestamp(2),
        seq: ISN.wrapping_add(1).wrapping_add(300_000),
        ack: 6,
        flags: Flags::FIN | Flags::ACK,
        len: 0,
        payload: &[],
    };
    rig.feed(Input::Segment { key: KEY, direction: Direction::ToServer, segment, copied: Copied::All });
    let (counts, missing) = rig.counts();
    assert_eq!((counts.requests, counts.missed, counts.missed_unknown), (1, 0, false));
    assert_eq!(missing, MissingBytes::default());
}

/// The other end may close the connection while this one still waits for its peer's FIN, which no hook may see.
#[test]
fn what_was_asked_is_told_when_the_client_ends_or_lets_go() {
    let stream = stream(&[0, 0, 0]);
    let learned = |rig: &Rig| {
        rig.reports.iter().rev().find_map(|report| match report {
            Report::Learned { facts, .. } => facts.http.as_ref().map(|http| http.counts.requests),
            _ => None,
        })
    };
    for fin in [true, false] {
        let mut rig = Rig::new();
        for (index, bytes) in stream.chunks(head(0).len()).enumerate() {
            rig.segment((index * head(0).len()) as u64, bytes);
        }
        assert_eq!(learned(&rig), None);
        if fin {
            let seq = ISN.wrapping_add(1).wrapping_add(stream.len() as u32);
            let flags = Flags::ACK | Flags::FIN;
            let segment = Segment { time: Timestamp(2), seq, ack: 6, flags, len: 0, payload: &[] };
            let direction = Direction::ToServer;
            rig.feed(Input::Segment { key: KEY, direction, segment, copied: Copied::All });
        } else {
            rig.feed(Input::Released(KEY));
        }
        assert_eq!(learned(&rig), Some(3), "fin: {fin}");
    }
}

#[test]
fn a_paired_end_has_no_verdict_and_ends_by_its_sources_account() {
    let mut engine = Engine::new(Limits::default());
    let mut reports = Vec::new();
    let mut feed = |input| _ = engine.feed(input, &mut |report| reports.push(report));
    feed(Input::Opened(Opened {
        key: KEY,
        time: Timestamp(1),
        tuple: Tuple { client: "10.0.0.1:999".parse().unwrap(), server: "10.0.0.2:80".parse().unwrap() },
        dialled: None,
        role: Role::Server,
        origin: Origin::Handshake,
        subflow: false,
        paired: true,
        client_isn: Some(1),
        server_isn: Some(2),
        party: None,
    }));
    let segment = Segment { time: Timestamp(1), seq: 1, ack: 0, flags: Flags::SYN, len: 0, payload: &[] };
    feed(Input::Segment { key: KEY, direction: Direction::ToServer, segment, copied: Copied::All });
    feed(Input::Closed(Closed {
        key: KEY,
        time: Timestamp(3),
        ending: Some(Ending::Finished),
        bytes_to_server: Some(5),
        bytes_to_client: Some(6),
    }));
    engine.advance(Timestamp(120_000_000_000), &mut |report| reports.push(report));
    assert!(reports.iter().any(|report| matches!(report, Report::Numbers { client: 1, server: 2, .. })));
    assert!(!reports.iter().any(|report| matches!(report, Report::Classified { .. } | Report::Enough(_))));
    assert!(reports.iter().any(|report| matches!(
        report,
        Report::Closed { facts: None, bytes_to_server: 5, bytes_to_client: 6, ending: Ending::Finished, .. }
    )));
}

/// The source copies what the server says until it is told to copy requests alone.
#[test]
fn what_an_upgrade_became_is_read_before_the_source_copies_requests_alone() {
    let mut rig = Rig::new();
    let alone = |rig: &Rig| rig.reports.iter().any(|it| matches!(it, Report::RequestsOnly { .. }));
    let request = b"GET /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    rig.copied(0, request);
    assert!(rig.reports.iter().any(|it| matches!(it, Report::Classified { .. })));
    assert!(!alone(&rig), "the answer is still to come");
    let payload = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let segment = Segment {
        time: Timestamp(2),
        seq: 6,
        ack: ISN.wrapping_add(1 + request.len() as u32),
        flags: Flags::ACK,
        len: payload.len() as u32,
        payload,
    };
    rig.feed(Input::Segment { key: KEY, direction: Direction::ToClient, segment, copied: Copied::All });
    let learned = rig.reports.into_iter().find_map(|report| match report {
        Report::Learned { facts, .. } => Some(facts),
        _ => None,
    });
    let http = learned.unwrap().http.unwrap();
    assert_eq!(http.counts.upgraded_to.as_deref(), Some("websocket"));
    assert_eq!(http.field.response.unwrap().status_code, 101);
    assert_eq!(http.counts.responses, Some(1));
}

#[test]
fn requests_alone_are_wanted_once_one_was_answered_or_much_was_asked() {
    for answered in [true, false] {
        let mut rig = Rig::new();
        let alone = |rig: &Rig| rig.reports.iter().any(|it| matches!(it, Report::RequestsOnly { .. }));
        let request = b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n";
        rig.copied(0, request);
        assert!(!alone(&rig));
        if answered {
            let payload = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            let (len, seq, ack) = (payload.len() as u32, 6, ISN.wrapping_add(1 + request.len() as u32));
            let segment = Segment { time: Timestamp(2), seq, ack, flags: Flags::ACK, len, payload };
            rig.feed(Input::Segment {
                key: KEY,
                direction: Direction::ToClient,
                segment,
                copied: Copied::All,
            });
        } else {
            for at in 1..=200 {
                rig.copied(at * request.len() as u64, request);
            }
        }
        assert!(alone(&rig));
        let counts = rig.close().0.http.unwrap().counts;
        // How many answers there were is not known where reading them ended.
        assert_eq!(counts.responses, answered.then_some(1));
    }
}
