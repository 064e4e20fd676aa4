//! Finds the face of a captured packet, and tells a re-used address tuple from a retransmission.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::{Direction, Flags, Segment};
use crate::engine::FaceKey;

const NONE: usize = usize::MAX;

/// What a packet means for the faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It belongs to a face.
    Face {
        /// Which.
        key: FaceKey,
        /// Which way it travels.
        direction: Direction,
        /// The face is new with this packet.
        opened: bool,
        /// The direction given so far was provisional and wrong; from now on it is the other way round.
        reversed: bool,
        /// The SYN of the new face was seen earlier, while it could not be told from a forged one.
        client_isn: Option<u32>,
        /// The face that had this tuple until now; it is over.
        replaced: Option<FaceKey>,
        /// The face that was given up to make room.
        evicted: Option<FaceKey>,
    },
    /// It trails a closed face.
    Trailing(FaceKey),
    /// A SYN that contradicts a live face; the answer to it will tell.
    Doubtful(FaceKey),
}

#[derive(Debug)]
struct Entry {
    ends: (SocketAddr, SocketAddr),
    key: FaceKey,
    /// Whether the first of `ends` dialled.
    first_dialled: bool,
    certain: bool,
    closed: bool,
    client_isn: Option<u32>,
    /// A SYN with another initial sequence number, by the same end.
    doubtful: Option<u32>,
    older: usize,
    newer: usize,
}

#[derive(Debug)]
struct Queue {
    oldest: usize,
    newest: usize,
}

/// Faces by address tuple, bounded in number. VLAN and tunnel ids do not tell tuples apart. Which face is named
/// what depends on nothing but the packets, in their order.
#[derive(Debug)]
pub struct Table {
    /// The map is keyed at random, so a hostile capture cannot aim at its buckets; nothing walks it.
    places: HashMap<(SocketAddr, SocketAddr), usize>,
    entries: Vec<Entry>,
    /// Open faces and closed ones, each by when they were last used.
    queues: [Queue; 2],
    capacity: usize,
    next: u64,
}

impl Table {
    /// A table for at most `capacity` tuples (at least one), whose faces are named from `first_key` on.
    #[must_use]
    pub fn new(capacity: usize, first_key: u64) -> Self {
        Self {
            places: HashMap::new(),
            entries: Vec::new(),
            queues: [Queue { oldest: NONE, newest: NONE }, Queue { oldest: NONE, newest: NONE }],
            capacity: capacity.max(1),
            next: first_key,
        }
    }

    /// The face of a segment from `source` to `destination`.
    pub fn find(&mut self, source: SocketAddr, destination: SocketAddr, segment: &Segment<'_>) -> Found {
        let syn = segment.flags.contains(Flags::SYN);
        let answer = syn && segment.flags.contains(Flags::ACK);
        let from_first = source <= destination;
        let ends = if from_first { (source, destination) } else { (destination, source) };
        let first_dialled = from_first != answer;
        let isn = if answer { segment.ack.wrapping_sub(1) } else { segment.seq };
        let Some(&at) = self.places.get(&ends) else {
            let evicted = self.make_room();
            let key = self.name();
            let entry = Entry {
                ends,
                key,
                first_dialled,
                certain: syn,
                closed: false,
                client_isn: syn.then_some(isn),
                doubtful: None,
                older: NONE,
                newer: NONE,
            };
            self.add(entry, evicted.map(|(at, _)| at));
            return Found::Face {
                key,
                direction: direction(from_first == first_dialled),
                opened: true,
                reversed: false,
                client_isn: None,
                replaced: None,
                evicted: evicted.and_then(|(_, key)| key),
            };
        };
        self.touch(at);
        let entry = &mut self.entries[at];
        if syn && entry.client_isn.is_some_and(|known| known != isn) {
            // By the same end, or the tuple turned round (a simultaneous open, whose SYN carries no acknowledgement).
            let simultaneous = !answer && first_dialled != entry.first_dialled && !entry.closed;
            let answered = answer && entry.doubtful == Some(isn);
            if (entry.closed && !answer) || answered {
                return self.renew(at, first_dialled, from_first, isn, answered);
            }
            if !simultaneous {
                if !answer && first_dialled == entry.first_dialled {
                    entry.doubtful = Some(isn);
                }
                return if entry.closed { Found::Trailing(entry.key) } else { Found::Doubtful(entry.key) };
            }
        }
        if entry.closed {
            if syn && !answer && entry.client_isn.is_none() {
                return self.renew(at, first_dialled, from_first, isn, false);
            }
            return Found::Trailing(entry.key);
        }
        let mut reversed = false;
        if syn && !entry.certain {
            reversed = entry.first_dialled != first_dialled;
            entry.first_dialled = first_dialled;
            entry.certain = true;
            entry.client_isn = Some(isn);
        }
        Found::Face {
            key: entry.key,
            direction: direction(from_first == entry.first_dialled),
            opened: false,
            reversed,
            client_isn: None,
            replaced: None,
            evicted: None,
        }
    }

    /// The face on this tuple is over: what follows trails it, until a SYN opens the tuple anew or room is needed.
    pub fn close(&mut self, one: SocketAddr, other: SocketAddr) {
        let ends = if one <= other { (one, other) } else { (other, one) };
        if let Some(&at) = self.places.get(&ends)
            && !self.entries[at].closed
        {
            self.unlink(at);
            self.entries[at].closed = true;
            self.link(at);
        }
    }

    /// Tuples held, closed ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no tuple is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn name(&mut self) -> FaceKey {
        let key = FaceKey(self.next);
        self.next += 1;
        key
    }

    fn renew(&mut self, at: usize, first_dialled: bool, from_first: bool, isn: u32, answered: bool) -> Found {
        let key = self.name();
        self.unlink(at);
        let entry = &mut self.entries[at];
        let replaced = (!entry.closed).then_some(entry.key);
        entry.key = key;
        entry.first_dialled = first_dialled;
        entry.certain = true;
        entry.closed = false;
        entry.client_isn = Some(isn);
        entry.doubtful = None;
        self.link(at);
        Found::Face {
            key,
            direction: direction(from_first == first_dialled),
            opened: true,
            reversed: false,
            client_isn: answered.then_some(isn),
            replaced,
            evicted: None,
        }
    }

    /// Frees a place if there is none: the oldest closed tuple, or else the face that was idle longest.
    fn make_room(&mut self) -> Option<(usize, Option<FaceKey>)> {
        if self.entries.len() < self.capacity {
            return None;
        }
        let at = if self.queues[1].oldest == NONE { self.queues[0].oldest } else { self.queues[1].oldest };
        self.unlink(at);
        let entry = &self.entries[at];
        self.places.remove(&entry.ends);
        Some((at, (!entry.closed).then_some(entry.key)))
    }

    fn add(&mut self, entry: Entry, free: Option<usize>) {
        let ends = entry.ends;
        let at = free.unwrap_or(self.entries.len());
        if at == self.entries.len() {
            self.entries.push(entry);
        } else {
            self.entries[at] = entry;
        }
        self.places.insert(ends, at);
        self.link(at);
    }

    fn touch(&mut self, at: usize) {
        if self.entries[at].newer != NONE {
            self.unlink(at);
            self.link(at);
        }
    }

    fn link(&mut self, at: usize) {
        let queue = &mut self.queues[usize::from(self.entries[at].closed)];
        let newest = queue.newest;
        queue.newest = at;
        if newest == NONE {
            queue.oldest = at;
        } else {
            self.entries[newest].newer = at;
        }
        self.entries[at].older = newest;
        self.entries[at].newer = NONE;
    }

    fn unlink(&mut self, at: usize) {
        let Entry { older, newer, closed, .. } = self.entries[at];
        let queue = &mut self.queues[usize::from(closed)];
        if older == NONE {
            queue.oldest = newer
        } else {
            self.entries[older].newer = newer
        }
        let queue = &mut self.queues[usize::from(closed)];
        if newer == NONE { queue.newest = older } else { self.entries[newer].older = older }
    }
}

const fn direction(by_dialler: bool) -> Direction {
    if by_dialler { Direction::ToServer } else { Direction::ToClient }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    const ACK: Flags = Flags::ACK;

    fn find(table: &mut Table, from: &str, to: &str, flags: Flags, seq: u32, ack: u32) -> Found {
        let segment = Segment { time: Timestamp(0), seq, ack, flags, len: 0, payload: b"" };
        table.find(from.parse().unwrap(), to.parse().unwrap(), &segment)
    }

    fn face(found: Found) -> (u64, Direction, bool, bool) {
        match found {
            Found::Face { key, direction, opened, reversed, .. } => (key.0, direction, opened, reversed),
            other => panic!("{other:?}"),
        }
    }

    const A: &str = "10.0.0.9:4000";
    const B: &str = "10.0.0.1:443";

    #[test]
    fn the_handshake_gives_the_direction_even_when_its_segments_are_swapped() {
        let mut table = Table::new(4, 1);
        let synack = find(&mut table, B, A, Flags::SYN | ACK, 70, 8);
        assert_eq!(face(synack), (1, Direction::ToClient, true, false));
        let syn = find(&mut table, A, B, Flags::SYN, 7, 0);
        assert_eq!(face(syn), (1, Direction::ToServer, false, false));
    }

    #[test]
    fn a_provisional_direction_is_turned_round_by_a_late_syn() {
        let mut table = Table::new(4, 1);
        assert_eq!(face(find(&mut table, B, A, ACK, 71, 8)).1, Direction::ToServer);
        assert_eq!(face(find(&mut table, A, B, Flags::SYN, 7, 0)), (1, Direction::ToServer, false, true));
        assert_eq!(face(find(&mut table, B, A, ACK, 71, 8)).1, Direction::ToClient);
    }

    #[test]
    fn a_forged_syn_opens_nothing_unless_it_is_answered() {
        let mut table = Table::new(4, 1);
        find(&mut table, A, B, Flags::SYN, 7, 0);
        find(&mut table, B, A, Flags::SYN | ACK, 70, 8);
        assert_eq!(find(&mut table, A, B, Flags::SYN, 900, 0), Found::Doubtful(FaceKey(1)));
        assert_eq!(face(find(&mut table, A, B, ACK, 8, 71)).0, 1);
        let Found::Face { key, opened, client_isn, replaced, .. } =
            find(&mut table, B, A, Flags::SYN | ACK, 5, 901)
        else {
            panic!()
        };
        assert_eq!((key.0, opened, client_isn, replaced), (2, true, Some(900), Some(FaceKey(1))));
    }

    #[test]
    fn what_trails_a_closed_face_opens_nothing_and_a_syn_does() {
        let mut table = Table::new(4, 1);
        find(&mut table, A, B, Flags::SYN, 7, 0);
        table.close(A.parse().unwrap(), B.parse().unwrap());
        assert_eq!(find(&mut table, B, A, ACK, 9, 9), Found::Trailing(FaceKey(1)));
        assert_eq!(find(&mut table, A, B, Flags::SYN, 7, 0), Found::Trailing(FaceKey(1)));
        assert_eq!(face(find(&mut table, A, B, Flags::SYN, 99, 0)).0, 2);
    }

    #[test]
    fn room_is_made_by_a_closed_face_first_and_then_by_the_idlest() {
        let mut table = Table::new(2, 1);
        find(&mut table, "1.1.1.1:1", B, ACK, 0, 0);
        find(&mut table, "1.1.1.2:1", B, ACK, 0, 0);
        table.close("1.1.1.2:1".parse().unwrap(), B.parse().unwrap());
        let Found::Face { evicted: None, .. } = find(&mut table, "1.1.1.3:1", B, ACK, 0, 0) else { panic!() };
        let Found::Face { evicted, .. } = find(&mut table, "1.1.1.4:1", B, ACK, 0, 0) else { panic!() };
        assert_eq!(evicted, Some(FaceKey(1)));
        assert_eq!(table.len(), 2);
    }
}
