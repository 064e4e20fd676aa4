//! What the fuzz targets share: a script of two byte streams, and the promises that hold for every one.

use observer_core::flow::{Direction, End, Gap};
use observer_core::protocol::{Detect, Dissector, Verdict};
use observer_core::security::{Reason, Security};

/// More than any dissector may hold on to: a handshake message or a request head in each direction, with room.
const MOST_HELD: usize = 512 << 10;

/// A piece of one direction.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    Data { direction: Direction, bytes: &'a [u8], acked: u64 },
    Gap { direction: Direction, length: u64 },
}

impl Step<'_> {
    fn direction(&self) -> Direction {
        match self {
            Self::Data { direction, .. } | Self::Gap { direction, .. } => *direction,
        }
    }
}

/// Reads a script: two bytes, little-endian, whose highest bit is the direction and whose others are a length, then that
/// many bytes. Length 0 is a gap, whose length follows as two bytes. Each step acknowledges all that the other direction
/// had before it.
pub fn script(mut input: &[u8]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut sent = [0_u64; 2];
    while let Some((head, rest)) = input.split_first_chunk::<2>() {
        let head = u16::from_le_bytes(*head);
        let direction = if head & 0x8000 == 0 { Direction::ToServer } else { Direction::ToClient };
        let length = usize::from(head & 0x7fff);
        if length == 0 {
            let Some((length, rest)) = rest.split_first_chunk::<2>() else { break };
            let length = u64::from(u16::from_le_bytes(*length)) + 1;
            steps.push(Step::Gap { direction, length });
            sent[direction.index()] += length;
            input = rest;
        } else {
            let (bytes, rest) = rest.split_at(length.min(rest.len()));
            let acked = sent[direction.reversed().index()];
            steps.push(Step::Data { direction, bytes, acked });
            sent[direction.index()] += bytes.len() as u64;
            input = rest;
        }
    }
    steps
}

/// Feeds the script in three ways and checks that no two verdicts contradict each other, however the streams were cut and
/// whichever came first: they are the same, or one of them is that it is not known.
pub fn same_verdict_however_fed<D: Dissector>(input: &[u8], new: impl Fn() -> D) {
    same_verdict_of(&script(input), new);
}

/// As [`same_verdict_however_fed`], behind something that each side said before; each had read what the other said.
pub fn same_verdict_behind<D: Dissector>(said: &[(Direction, &[u8])], input: &[u8], new: impl Fn() -> D) {
    let mut sent = [0_u64; 2];
    let mut steps = Vec::new();
    for (direction, bytes) in said {
        let acked = sent[direction.reversed().index()];
        steps.push(Step::Data { direction: *direction, bytes, acked });
        sent[direction.index()] += bytes.len() as u64;
    }
    steps.extend(script(input).into_iter().map(|step| match step {
        Step::Data { direction, bytes, acked } => {
            Step::Data { direction, bytes, acked: acked + sent[direction.reversed().index()] }
        }
        gap => gap,
    }));
    same_verdict_of(&steps, new);
}

fn same_verdict_of<D: Dissector>(steps: &[Step<'_>], new: impl Fn() -> D) {
    let as_written = feed(new(), steps.iter().copied(), usize::MAX);
    let by = |direction| steps.iter().copied().filter(move |step| step.direction() == direction);
    let client_first = feed(new(), by(Direction::ToServer).chain(by(Direction::ToClient)), 7);
    let server_first = feed(new(), by(Direction::ToClient).chain(by(Direction::ToServer)), 1);
    agree(as_written, client_first, "client first, seven bytes at a time");
    agree(as_written, server_first, "server first, byte by byte");
    agree(client_first, server_first, "client first, server first");
}

fn agree(one: Verdict, other: Verdict, how: &str) {
    let unknown = |it: &Verdict| it.security == Security::Unknown;
    // TLS of which no more is known agrees with every more exact verdict on TLS.
    let tls = |it: &Verdict| matches!(it.security, Security::Tls | Security::ServerTls | Security::MutualTls);
    let vague = |it: &Verdict| it.security == Security::Tls;
    let agreed = unknown(&one)
        || unknown(&other)
        || (one.security, one.client_certificate) == (other.security, other.client_certificate)
        || (tls(&one) && tls(&other) && (vague(&one) || vague(&other)));
    assert!(agreed, "{how}: {one:?} contradicts {other:?}");
}

fn feed<'a, D: Dissector>(mut dissector: D, steps: impl Iterator<Item = Step<'a>>, cut: usize) -> Verdict {
    for step in steps {
        match step {
            Step::Data { direction, bytes, acked } => {
                for piece in bytes.chunks(cut.min(bytes.len()).max(1)) {
                    dissector.data(direction, piece, acked);
                    assert!(dissector.held() <= MOST_HELD, "{} bytes held", dissector.held());
                }
            }
            Step::Gap { direction, length } => {
                dissector.gap(direction, length, Gap::Unseen);
            }
        }
    }
    for direction in [Direction::ToServer, Direction::ToClient] {
        dissector.end(direction, End::Fin);
    }
    dissector.conclude(Reason::Truncated);
    dissector.verdict()
}

/// Once a detector has said yes or no of a prefix, it says the same of everything longer.
pub fn never_changes_its_mind(bytes: &[u8], detect: impl Fn(&[u8]) -> Detect) {
    let mut said = None;
    // Enough for every first record, and few enough to try every cut.
    for end in 0..=bytes.len().min(2048) {
        let now = detect(&bytes[..end]);
        if let Some((at, before)) = said {
            assert_eq!(now, before, "said at {at} bytes, changed at {end}");
        } else if now != Detect::NeedMore {
            said = Some((end, now));
        }
    }
}
