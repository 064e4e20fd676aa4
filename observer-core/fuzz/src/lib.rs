//! What the fuzz targets share: a script of two byte streams, and the promises that hold for every one.

use core::fmt::Debug;

use observer_core::flow::{Direction, End, Gap};
use observer_core::protocol::{Detect, Dissector, Progress, Verdict};
use observer_core::security::Reason;

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

/// Feeds the script in three ways and checks that what is learnt of it is the same, however the streams were cut and
/// whichever came first. `learnt` picks what has to be the same.
pub fn same_however_fed<D: Dissector, T: PartialEq + Debug>(
    input: &[u8],
    new: impl Fn() -> D,
    learnt: impl Fn(&mut D) -> T,
) {
    let steps = script(input);
    let by = |direction| steps.iter().copied().filter(move |step| step.direction() == direction);
    let as_written = feed(new(), steps.iter().copied(), usize::MAX, &learnt);
    let client_first = feed(new(), by(Direction::ToServer).chain(by(Direction::ToClient)), 7, &learnt);
    let server_first = feed(new(), by(Direction::ToClient).chain(by(Direction::ToServer)), 1, &learnt);
    assert_eq!(as_written, client_first, "as written, and the client first, seven bytes at a time");
    assert_eq!(as_written, server_first, "as written, and the server first, byte by byte");
}

fn feed<'a, D: Dissector, T>(
    mut dissector: D,
    steps: impl Iterator<Item = Step<'a>>,
    cut: usize,
    learnt: impl Fn(&mut D) -> T,
) -> T {
    let mut stood = None;
    for step in steps {
        match step {
            Step::Data { direction, bytes, acked } => {
                for piece in bytes.chunks(cut.min(bytes.len()).max(1)) {
                    let progress = dissector.data(direction, piece, acked);
                    assert!(dissector.held() <= MOST_HELD, "{} bytes held", dissector.held());
                    keeps_its_word(&mut stood, progress, dissector.verdict());
                }
            }
            Step::Gap { direction, length } => {
                let progress = dissector.gap(direction, length, Gap::Unseen);
                keeps_its_word(&mut stood, progress, dissector.verdict());
            }
        }
    }
    for direction in [Direction::ToServer, Direction::ToClient] {
        dissector.end(direction, End::Fin);
    }
    dissector.conclude(Reason::Truncated);
    keeps_its_word(&mut stood, Progress::Decided, dissector.verdict());
    learnt(&mut dissector)
}

/// A verdict that stood never changes.
fn keeps_its_word(stood: &mut Option<Verdict>, progress: Progress, verdict: Verdict) {
    if let Some(stood) = stood {
        assert_eq!(*stood, verdict, "a verdict that stood has changed");
    } else if progress != Progress::Undecided {
        *stood = Some(verdict);
    }
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
