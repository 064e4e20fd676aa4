//! TLS 1.3: padding that imitates. A first record of an exact size may be another message, padded to just that size.
//!
//! A client that pads to blocks of 37 bytes sends an empty Certificate as long as a Finished (SHA-256); one that pads to
//! 9, 15 or 45 sends a Finished as long as an empty Certificate and a Finished together. Where the server's flight does
//! not show whether it asked, such a size is believed once each block that could have made it is refuted:
//!
//! * behind an empty Certificate in a record of its own the Finished follows, padded to a size that is known. A second
//!   record of another size refutes it. So does a first record that is a whole flight: the server answered it before
//!   anything followed, or the client closed behind it;
//! * padding of every record leaves no record that is not a multiple of the block.
//!
//! Clients that put an empty Certificate and a Finished into one record, and pad handshake records alone to 9, 15, 45, 53,
//! 61, 69 or 77 bytes, are not told: none is known.

use super::side::Sizes;
use super::sizes::{FULL, Flight, Lengths};

/// Records after which a client that could be padding is taken to be.
pub(super) const ENOUGH: usize = 4;

/// Whether another message, padded, explains the first record as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Imitation {
    /// No: it is what its size says.
    Refuted,
    /// More bytes decide.
    Open,
    /// Yes, and nothing will tell the two apart.
    Stands,
}

impl Lengths {
    /// Whether padding explains a first record that looks like `claim` in a flight of the same record.
    ///
    /// `alone` is whether the first record is a whole flight, `None` while that is open.
    pub(super) fn imitation(self, claim: Flight, sizes: &[u16], alone: Option<bool>) -> Imitation {
        let inner = |record: &u16| usize::from(*record).saturating_sub(self.record(0) - 1);
        let Some(first) = sizes.first().map(inner) else { return Imitation::Open };
        let (empty, finished, both) = self.contents();
        (2..=first)
            .filter(|block| first.is_multiple_of(*block))
            .map(|block| {
                let padded = |content: usize| (content + 1).next_multiple_of(block);
                let apart = if claim != Flight::Declined && padded(empty) == first {
                    let follows = sizes.get(1).map(|second| inner(second) == padded(finished));
                    match (alone, follows) {
                        (Some(true), _) | (_, Some(false)) => Imitation::Refuted,
                        (Some(false), Some(true)) => Imitation::Stands,
                        (_, None) | (None, Some(true)) => Imitation::Open,
                    }
                } else {
                    Imitation::Refuted
                };
                let other = match claim {
                    Flight::Finished => Some(both),
                    Flight::Declined => Some(finished),
                    _ => None,
                };
                let together = if other.is_some_and(|other| padded(other) == first) {
                    // A block that a full record has no room for is cut short.
                    let refutes =
                        |record: &u16| inner(record) < FULL - 1 && !inner(record).is_multiple_of(block);
                    if sizes[1..].iter().take(ENOUGH - 1).any(refutes) {
                        Imitation::Refuted
                    } else if sizes.len() >= ENOUGH {
                        Imitation::Stands
                    } else {
                        Imitation::Open
                    }
                } else {
                    Imitation::Refuted
                };
                apart.max(together)
            })
            .max()
            .unwrap_or(Imitation::Refuted)
    }
}

const _: () = assert!(ENOUGH <= Sizes::KEPT);

#[cfg(test)]
mod tests {
    use super::super::code_point::CipherSuite;
    use super::super::sizes::Asked;
    use super::*;

    fn sha256() -> Lengths {
        Lengths::of(CipherSuite(0x1301), false).unwrap()
    }

    fn sha384() -> Lengths {
        Lengths::of(CipherSuite(0x1302), false).unwrap()
    }

    #[test]
    fn a_finished_is_believed_with_the_next_record_unless_that_is_a_finished_too() {
        let imitation = |sizes: &[u16], alone| sha256().imitation(Flight::Finished, sizes, alone);
        assert_eq!(imitation(&[53], None), Imitation::Open);
        assert_eq!(imitation(&[53], Some(false)), Imitation::Open);
        assert_eq!(imitation(&[53], Some(true)), Imitation::Refuted);
        assert_eq!(imitation(&[53, 90], Some(false)), Imitation::Refuted, "a multiple, but no Finished");
        assert_eq!(imitation(&[53, 53], None), Imitation::Open);
        assert_eq!(imitation(&[53, 53], Some(true)), Imitation::Refuted);
        assert_eq!(imitation(&[53, 53, 19], Some(false)), Imitation::Stands);
    }

    #[test]
    fn blocks_that_make_a_finished_look_like_both_are_refuted_by_what_is_no_multiple() {
        let imitation = |sizes: &[u16]| sha256().imitation(Flight::Declined, sizes, Some(true));
        assert_eq!(imitation(&[61]), Imitation::Open);
        assert_eq!(imitation(&[61, 16 + 20]), Imitation::Refuted);
        assert_eq!(imitation(&[61, 16 + 18]), Imitation::Open, "a multiple of 9");
        assert_eq!(imitation(&[61, 16 + 18, 16 + 15, 19]), Imitation::Refuted);
        assert_eq!(imitation(&[61, 16 + 18, 16 + 36, 16 + 90]), Imitation::Stands);
    }

    #[test]
    fn no_size_of_a_flight_that_nothing_imitates_waits_for_more() {
        // Every block from 2 on makes an empty Certificate and a Finished in records of their own of other sizes.
        assert_eq!(sha384().imitation(Flight::Finished, &[69], None), Imitation::Open, "53 is 53 times one");
        for lengths in [sha256(), sha384()] {
            let (empty, finished, _) = lengths.contents();
            for block in 2..=64_usize {
                let padded = |content: usize| (content + 1).next_multiple_of(block);
                assert!(padded(empty) != empty + 1 || padded(finished) != finished + 1, "{block}");
            }
        }
    }
    /// What a client that pads to `block` sends: its messages, a record each or `together`, and then application data.
    fn padded_flight(
        lengths: Lengths,
        messages: &[usize],
        together: bool,
        block: usize,
        rest: &[usize],
    ) -> Vec<u16> {
        let record = |content: usize| {
            u16::try_from(lengths.record((content + 1).next_multiple_of(block).min(FULL) - 1)).unwrap()
        };
        let flight = if together { vec![messages.iter().sum()] } else { messages.to_vec() };
        flight.iter().chain(rest).map(|content| record(*content)).collect()
    }

    #[test]
    fn no_block_of_padding_gives_a_wrong_answer() {
        let rests: [&[usize]; 6] =
            [&[], &[2], &[36, 36, 36], &[52, 200, 2], &[100, 100, 100, 100], &[16384, 16384, 16384, 3]];
        for lengths in [sha256(), sha384()] {
            let (empty, finished, _) = lengths.contents();
            let flights: [(Flight, &[usize]); 7] = [
                (Flight::Finished, &[finished]),
                (Flight::Declined, &[empty, finished]),
                (Flight::Presented, &[300, 79, finished]),
                (Flight::Presented, &[510, 264, finished]),
                (Flight::Presented, &[1700, 136, finished]),
                (Flight::Presented, &[57, 72, finished]),
                (Flight::Presented, &[16384, 3000, 264, finished]),
            ];
            for (truth, messages) in flights {
                for (block, together) in (1..=1400).flat_map(|block| [(block, false), (block, true)]) {
                    for rest in rests {
                        let sizes = padded_flight(lengths, messages, together, block, rest);
                        let whole = if together { 1 } else { messages.len() };
                        for alone in [None, Some(whole == 1)] {
                            let seen = lengths.flight(&sizes[..].into(), Asked::NoAnswer, alone, true);
                            assert!(
                                seen == truth || matches!(seen, Flight::Unclear(_)),
                                "{truth:?} padded to {block}, together {together}: {sizes:?} gives {seen:?}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn padding_of_the_handshake_alone_gives_no_wrong_answer_where_messages_have_records_of_their_own() {
        for lengths in [sha256(), sha384()] {
            let (empty, finished, _) = lengths.contents();
            for (truth, messages) in [
                (Flight::Finished, &[finished][..]),
                (Flight::Declined, &[empty, finished]),
                (Flight::Presented, &[510, 264, finished]),
            ] {
                for block in 1..=161 {
                    let mut sizes = padded_flight(lengths, messages, false, block, &[]);
                    sizes.extend([77, 90, 19]);
                    let seen =
                        lengths.flight(&sizes[..].into(), Asked::NoAnswer, Some(messages.len() == 1), true);
                    let unlikely = truth == Flight::Finished && matches!(block, 9 | 15 | 45 | 61 | 77);
                    assert!(
                        seen == truth || unlikely || matches!(seen, Flight::Unclear(_)),
                        "{truth:?} padded to {block}: {sizes:?} gives {seen:?}"
                    );
                }
            }
        }
    }
}
