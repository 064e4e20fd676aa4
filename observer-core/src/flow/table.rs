//! Finds the face of a captured packet, and tells a re-used address tuple from a retransmission.

use core::hash::{BuildHasher, Hash};
use std::net::SocketAddr;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::ends::Ends;
use super::occupant::{Agreed, Occupant};
use super::{Direction, Flags, Found, Segment};
use crate::engine::FaceKey;
use crate::order::Order;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    /// The one that was quiet longest comes first.
    Open,
    /// Likewise.
    Closed,
}

impl From<List> for usize {
    fn from(list: List) -> Self {
        list as Self
    }
}

/// Faces by address tuple, bounded in number. VLAN and tunnel ids do not tell tuples apart. Which face is named what
/// depends on nothing but the packets, in their order.
///
/// A live face keeps its tuple until both ends speak of a new handshake: a SYN and its answer, in either order, an
/// answer and its acknowledgement, or a SYN and its refusal. A closed face gives it up to any SYN that is not its own.
#[derive(Debug)]
pub struct Table {
    /// Seeded for each process, so a hostile capture cannot aim at its buckets; nothing walks it.
    hasher: RandomState,
    /// Occupants by their ends. The key is with the occupant and not here: small tables stay in the processor's cache.
    places: HashTable<u32>,
    /// Occupants that are open, by their face.
    faces: HashTable<u32>,
    occupants: Order<Occupant, List, 2>,
    open: usize,
    capacity: usize,
    next: u64,
}

impl Table {
    /// A table for at most `capacity` live faces (at least one), and an eighth more of tuples whose face is closed;
    /// faces are named from `first_key` on.
    #[must_use]
    pub fn new(capacity: usize, first_key: u64) -> Self {
        let capacity = capacity.max(1);
        // Never more than half full: a map that is gets rid of the traces of what it forgot without growing.
        let room = 2 * (capacity + capacity / 8);
        Self {
            hasher: RandomState::default(),
            places: HashTable::with_capacity(room),
            faces: HashTable::with_capacity(2 * capacity),
            occupants: Order::new(),
            open: 0,
            capacity,
            next: first_key,
        }
    }

    /// The face of a segment from `source` to `destination`.
    pub fn find(&mut self, source: SocketAddr, destination: SocketAddr, segment: &Segment<'_>) -> Found {
        let (ends, from_first) = Ends::new(source, destination);
        self.find_between(ends, from_first, segment)
    }

    /// The face of a segment between `ends`, sent by the first of them or by the second.
    pub fn find_between(&mut self, ends: Ends, from_first: bool, segment: &Segment<'_>) -> Found {
        let sender = usize::from(!from_first);
        let Some(index) = self.place(ends) else { return self.open(ends, sender, segment) };
        let Some(occupant) = self.occupants.value(index) else { return Found::Unclaimed };
        let syn = segment.flags.contains(Flags::SYN);
        let list = if occupant.closed { List::Closed } else { List::Open };
        let mut reversed = false;
        if syn && !occupant.agrees(sender, segment) {
            if occupant.closed {
                let agreed = Occupant::at_its_word(sender, segment);
                return self.renew(index, sender, agreed, [None; 2]);
            }
            let (key, earlier) = (occupant.key, occupant.doubt(sender, segment));
            self.occupants.put_last(index, list);
            return match earlier {
                Some(agreed) => self.renew_earlier(index, sender, agreed, segment),
                None => Found::Doubtful(key),
            };
        }
        if occupant.closed {
            let key = occupant.key;
            self.occupants.put_last(index, list);
            return Found::Trailing(key);
        }
        if syn {
            let answer = segment.flags.contains(Flags::ACK);
            let dialler = if answer { 1 - sender } else { sender };
            if !occupant.certain {
                reversed = occupant.dialler != dialler;
                occupant.dialler = dialler;
                occupant.certain = true;
            }
            occupant.learn(sender, segment);
        } else if let Some(agreed) = occupant.confirmed(sender, segment) {
            return self.renew(index, sender, agreed, agreed.isns);
        }
        let (key, dialler) = (occupant.key, occupant.dialler);
        self.occupants.put_last(index, list);
        Found::Face {
            key,
            direction: direction(sender, dialler),
            opened: false,
            reversed,
            client_isn: None,
            server_isn: None,
            replaced: None,
            evicted: None,
        }
    }

    /// The face on this tuple is over: what follows trails it, until a SYN opens the tuple anew or room is needed.
    pub fn close(&mut self, one: SocketAddr, other: SocketAddr) {
        if let Some(index) = self.place(Ends::new(one, other).0) {
            self.close_at(index);
        }
    }

    fn close_at(&mut self, index: u32) {
        let Some(occupant) = self.occupants.value(index) else { return };
        if !core::mem::replace(&mut occupant.closed, true) {
            let key = occupant.key;
            self.forget_face(index, key);
            self.occupants.put_last(index, List::Closed);
        }
    }

    fn hash(&self, it: impl Hash) -> u64 {
        self.hasher.hash_one(it)
    }

    /// The occupant of a tuple.
    fn place(&self, ends: Ends) -> Option<u32> {
        let found = |&index: &u32| self.occupants.get(index).is_some_and(|occupant| occupant.ends == ends);
        self.places.find(self.hash(Some(ends)), found).copied()
    }

    /// An occupant's face is open from now on.
    fn remember_face(&mut self, index: u32, key: FaceKey) {
        let (hasher, occupants) = (&self.hasher, &self.occupants);
        let rehash = |&index: &u32| hasher.hash_one(occupants.get(index).map(|occupant| occupant.key));
        self.faces.insert_unique(hasher.hash_one(Some(key)), index, rehash);
        self.open += 1;
    }

    /// It is not any more.
    fn forget_face(&mut self, index: u32, key: FaceKey) {
        if let Ok(face) = self.faces.find_entry(self.hash(Some(key)), |&at| at == index) {
            face.remove();
        }
        self.open -= 1;
    }

    /// The same, by the face. One that has its tuple no longer is over already.
    pub fn close_face(&mut self, key: FaceKey) {
        let (hash, occupants) = (self.hash(Some(key)), &self.occupants);
        let face = self
            .faces
            .find(hash, |&index| occupants.get(index).is_some_and(|occupant| occupant.key == key))
            .copied();
        if let Some(index) = face {
            self.close_at(index);
        }
    }

    /// Tuples held, closed ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.occupants.len()
    }

    /// Whether no tuple is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn name(&mut self) -> FaceKey {
        let key = FaceKey(self.next);
        self.next += 1;
        key
    }

    fn open(&mut self, ends: Ends, sender: usize, segment: &Segment<'_>) -> Found {
        if segment.flags.contains(Flags::RST) {
            return Found::Unclaimed;
        }
        let evicted = self.make_room();
        let key = self.name();
        let occupant = Occupant::new(ends, key, sender, segment);
        let direction = direction(sender, occupant.dialler);
        let index = self.occupants.insert(occupant, List::Open);
        let (hasher, occupants) = (&self.hasher, &self.occupants);
        let rehash = |&index: &u32| hasher.hash_one(occupants.get(index).map(|occupant| occupant.ends));
        self.places.insert_unique(hasher.hash_one(Some(ends)), index, rehash);
        self.remember_face(index, key);
        Found::Face {
            key,
            direction,
            opened: true,
            reversed: false,
            client_isn: None,
            server_isn: None,
            replaced: None,
            evicted,
        }
    }

    /// Both halves of a new handshake were seen, of which `segment` is the second.
    fn renew_earlier(&mut self, index: u32, sender: usize, agreed: Agreed, segment: &Segment<'_>) -> Found {
        let mut earlier = agreed.isns;
        earlier[sender] = None;
        debug_assert_eq!(agreed.isns[sender], Some(segment.seq), "a SYN carries its own number");
        self.renew(index, sender, agreed, earlier)
    }

    fn renew(&mut self, index: u32, sender: usize, agreed: Agreed, earlier: [Option<u32>; 2]) -> Found {
        let evicted = self.make_room_for_one_more(index);
        let key = self.name();
        let Some(occupant) = self.occupants.value(index) else { return Found::Unclaimed };
        let replaced = (!occupant.closed).then_some(occupant.key);
        *occupant = occupant.renewed(key, agreed);
        if let Some(replaced) = replaced {
            self.forget_face(index, replaced);
        }
        self.remember_face(index, key);
        self.occupants.put_last(index, List::Open);
        Found::Face {
            key,
            direction: direction(sender, agreed.dialler),
            opened: true,
            reversed: false,
            client_isn: earlier[agreed.dialler],
            server_isn: earlier[1 - agreed.dialler],
            replaced,
            evicted,
        }
    }

    /// Frees a place if there is none: the tuple that was closed longest, or else the face that was quiet longest.
    fn make_room(&mut self) -> Option<FaceKey> {
        if self.open >= self.capacity {
            return self.give_up(List::Open);
        }
        if self.len() >= self.capacity + self.capacity / 8 {
            self.give_up(List::Closed);
        }
        None
    }

    /// The same for a closed tuple that becomes a live face again; its own place stays.
    fn make_room_for_one_more(&mut self, index: u32) -> Option<FaceKey> {
        let closed = self.occupants.value(index).is_some_and(|occupant| occupant.closed);
        if closed && self.open >= self.capacity { self.give_up(List::Open) } else { None }
    }

    fn give_up(&mut self, list: List) -> Option<FaceKey> {
        let index = self.occupants.oldest(list)?;
        let occupant = self.occupants.remove(index)?;
        if let Ok(place) = self.places.find_entry(self.hash(Some(occupant.ends)), |&at| at == index) {
            place.remove();
        }
        if occupant.closed {
            return None;
        }
        self.forget_face(index, occupant.key);
        Some(occupant.key)
    }
}

const fn direction(sender: usize, dialler: usize) -> Direction {
    if sender == dialler { Direction::ToServer } else { Direction::ToClient }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
