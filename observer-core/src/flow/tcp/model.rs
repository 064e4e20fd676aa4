//! Random flows against the truth: whatever is cut, shuffled, repeated, lost or forged, every delivered byte is the right
//! one at its place, and every place is delivered or told as a gap.

use proptest::prelude::*;

use super::*;
use crate::flow::{End, Gap};

const LONGEST: u32 = 4000;

fn truth(direction: Direction, at: u64) -> u8 {
    u8::try_from((at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) & 0xff).unwrap()
        ^ [0, 0x55][direction.index()]
}

#[derive(Default)]
struct Check {
    place: [u64; 2],
    wrong: [bool; 2],
    gaps: [u32; 2],
    conflict: [bool; 2],
    ended: [bool; 2],
}

impl Delivery for Check {
    fn data(&mut self, direction: Direction, bytes: &[u8], _: u64) {
        let way = direction.index();
        assert!(!bytes.is_empty() && !self.ended[way]);
        for byte in bytes {
            self.wrong[way] |= *byte != truth(direction, self.place[way]);
            self.place[way] += 1;
        }
    }
    fn gap(&mut self, direction: Direction, length: u64, why: Gap) {
        let way = direction.index();
        assert!(!self.ended[way], "{length} {why:?}");
        self.place[way] += length;
        self.gaps[way] += 1;
        self.conflict[way] |= why == Gap::Conflict;
    }
    fn end(&mut self, direction: Direction, _: End) {
        assert!(!core::mem::replace(&mut self.ended[direction.index()], true));
    }
}

/// One segment of the model.
#[derive(Clone, Debug)]
struct Piece {
    way: usize,
    at: u32,
    length: u32,
    ack: u32,
    /// When it is seen, relative to its turn.
    late: i32,
    lost: bool,
    copies: u8,
    /// The second copy differs in its first byte.
    forged: bool,
    /// It lies outside every window.
    stray: bool,
}

#[derive(Clone, Debug)]
struct Model {
    isns: [u32; 2],
    lengths: [u32; 2],
    pieces: Vec<Piece>,
    fins: bool,
}

const WAYS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

fn model(losses: bool, forgeries: bool, acks: bool) -> impl Strategy<Value = Model> {
    let isn = prop_oneof![any::<u32>(), (u32::MAX - LONGEST)..=u32::MAX];
    let one = (1..700_u32, any::<u32>(), -40..40_i32, 0..8_u8, 0..6_u8, 0..8_u8, 0..10_u8, any::<bool>());
    (isn.clone(), isn, proptest::collection::vec(one, 0..40), any::<bool>()).prop_map(
        move |(client, server, cuts, fins)| {
            let (mut lengths, mut pieces) = ([0; 2], Vec::new());
            for (size, ack, late, lost, copies, forged, stray, by_server) in cuts {
                let way = usize::from(by_server);
                let length = size.min(LONGEST - lengths[way]);
                if length == 0 {
                    continue;
                }
                // Cut otherwise the second time: a repeat reaches back.
                let back = if copies == 5 { lengths[way].min(ack % 300) } else { 0 };
                let ack = if acks { ack % (lengths[1 - way] + 1) } else { 0 };
                pieces.push(Piece {
                    way,
                    at: lengths[way] - back,
                    length: length + back,
                    ack,
                    late,
                    lost: losses && lost == 0,
                    copies: 1 + u8::from(copies == 0 || (forgeries && forged == 0)),
                    forged: forgeries && forged == 0,
                    stray: stray == 0,
                });
                lengths[way] += length;
            }
            Model { isns: [client, server], lengths, pieces, fins }
        },
    )
}

impl Model {
    fn run(&self) -> (Check, Flow) {
        let (mut check, mut nth) = (Check::default(), 0);
        let mut flow = Flow::new(Opening::Awaited, Timestamp(0), Limits::default());
        let mut send =
            |flow: &mut Flow, way: usize, at: u32, ack: Option<u32>, flags: Flags, payload: &[u8]| {
                nth += 1;
                let segment = Segment {
                    time: Timestamp(nth * 1_000_000),
                    seq: self.isns[way].wrapping_add(at),
                    ack: ack.map_or(0, |ack| self.isns[1 - way].wrapping_add(ack)),
                    flags: if ack.is_some() { flags | Flags::ACK } else { flags },
                    len: u32::try_from(payload.len()).unwrap(),
                    payload,
                };
                flow.segment(WAYS[way], &segment, &mut check);
                assert!(flow.held() < 512 * 1024);
            };
        send(&mut flow, 0, 0, None, Flags::SYN, b"");
        send(&mut flow, 1, 0, Some(1), Flags::SYN, b"");
        let mut order: Vec<(i32, usize, bool)> = Vec::new();
        for (turn, piece) in self.pieces.iter().enumerate() {
            for copy in 0..piece.copies {
                let place = i32::try_from(turn).unwrap() + piece.late * i32::from(copy + 1);
                order.push((place, turn, copy == 1 && piece.forged));
            }
        }
        order.sort_by_key(|(place, ..)| *place);
        for (_, turn, forged) in order {
            let piece = &self.pieces[turn];
            let mut bytes: Vec<u8> =
                (piece.at..piece.at + piece.length).map(|at| truth(WAYS[piece.way], u64::from(at))).collect();
            if forged {
                bytes[0] ^= 1;
            }
            if piece.stray {
                send(&mut flow, piece.way, piece.at.wrapping_add(0x3000_0000), Some(1), Flags::PSH, b"stray");
                send(&mut flow, piece.way, piece.at + 1, Some(0x5000_0000), Flags::PSH, b"stray");
            }
            if !piece.lost {
                send(&mut flow, piece.way, piece.at + 1, Some(piece.ack + 1), Flags::PSH, &bytes);
            }
        }
        for way in [0, 1] {
            let flags = if self.fins { Flags::FIN } else { Flags::PSH };
            send(&mut flow, way, self.lengths[way] + 1, Some(self.lengths[1 - way] + 1), flags, b"");
        }
        for way in [0, 1] {
            let fin = u32::from(self.fins);
            let (own, other) = (self.lengths[way] + 1 + fin, self.lengths[1 - way] + 1 + fin);
            send(&mut flow, way, own, Some(other), Flags::PSH, b"");
        }
        flow.finish(&mut check);
        (check, flow)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_shuffled_and_repeated_gives_the_streams(model in model(false, false, true)) {
        let (check, flow) = model.run();
        for way in [0, 1] {
            prop_assert_eq!(check.place[way], u64::from(model.lengths[way]));
            prop_assert!(!check.wrong[way] && check.gaps[way] == 0);
            prop_assert_eq!(check.ended[way], model.fins);
            prop_assert_eq!(flow.sent(WAYS[way]).bytes, u64::from(model.lengths[way]));
        }
        prop_assert_eq!(flow.ending() == Ending::Finished, model.fins);
    }

    #[test]
    fn whatever_is_lost_is_told_and_the_rest_is_right(model in model(true, false, true)) {
        let (check, _) = model.run();
        for way in [0, 1] {
            prop_assert_eq!(check.place[way], u64::from(model.lengths[way]));
            prop_assert!(!check.wrong[way] && !check.conflict[way]);
        }
    }

    #[test]
    fn whatever_is_forged_within_the_window_is_told(model in model(false, true, false)) {
        let (check, _) = model.run();
        for way in [0, 1] {
            let forged = model.pieces.iter().any(|piece| piece.forged && piece.way == way);
            prop_assert_eq!(check.conflict[way], forged);
            prop_assert!(forged || !check.wrong[way]);
        }
    }
}
