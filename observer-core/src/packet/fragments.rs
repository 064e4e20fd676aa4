//! Joins the fragments of IP packets (RFC 791 section 3.2, RFC 8200 section 4.5).

use core::time::Duration;
use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::quality::RandomState;

use super::datagram::{Added, Datagram};
use super::{Fragment, Whole};
use crate::order::Order;
use crate::time::Timestamp;

/// The bounds of [`Fragments`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentLimits {
    /// Datagrams remembered at one time, joined and discarded ones included. At least one.
    pub datagrams: usize,
    /// Bytes held for all of them, with the overhead of each piece.
    pub bytes: usize,
    /// Pieces of one datagram. A datagram of 64 KiB in packets of 576 bytes has 119.
    pub pieces: usize,
    /// How long a datagram may take from its first piece (RFC 791: 15 s and more, RFC 8200: 60 s, Linux: 30 s).
    pub timeout: Duration,
    /// How long copies of a joined datagram's pieces are recognised: a capture of several interfaces has each more
    /// than once. Short, because busy senders use a 16-bit identification again soon.
    pub repeats: Duration,
}

impl Default for FragmentLimits {
    fn default() -> Self {
        Self {
            datagrams: 4096,
            bytes: 4 << 20,
            pieces: 128,
            timeout: Duration::from_secs(30),
            repeats: Duration::from_millis(500),
        }
    }
}

/// What became of fragments and of the datagrams they belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentCounts {
    /// Fragments that were pushed.
    pub fragments: u64,
    /// Fragments that were there already.
    pub repeated: u64,
    /// Fragments that came after their datagram was discarded.
    pub trailing: u64,
    /// Datagrams joined.
    pub joined: u64,
    /// Datagrams discarded because two fragments claim the same bytes (RFC 5722) or disagree about the end.
    pub overlapping: u64,
    /// Datagrams discarded because a fragment was empty, ended off the 8-byte grid or beyond 64 KiB.
    pub malformed: u64,
    /// Datagrams discarded because of too many pieces.
    pub too_many: u64,
    /// Datagrams that were not complete in time.
    pub timed_out: u64,
    /// Incomplete datagrams given up for newer ones.
    pub evicted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Gathering,
    Discarded,
    Joined,
}

impl From<List> for usize {
    fn from(list: List) -> Self {
        list as Self
    }
}

/// A fragment carries TCP and nothing else, so the protocol is not part of it.
type Key = (IpAddr, IpAddr, u32);

#[derive(Debug)]
struct Entry {
    key: Key,
    since: Timestamp,
    list: List,
    datagram: Datagram,
}

/// Joins fragments to whole datagrams. What it gives depends on nothing but the fragments, their order and times.
///
/// Overlaps discard a datagram, those of IPv4 too: which copy its receiver took cannot be known. What is discarded
/// leaves a hole in a TCP stream, which is told there.
#[derive(Debug)]
pub struct Fragments {
    limits: FragmentLimits,
    places: HashMap<Key, u32, RandomState>,
    entries: Order<Entry, List, 3>,
    bytes: usize,
    counts: FragmentCounts,
}

impl Fragments {
    /// Nothing held yet.
    #[must_use]
    pub fn new(limits: FragmentLimits) -> Self {
        let entries = Order::new();
        Self { limits, places: HashMap::default(), entries, bytes: 0, counts: FragmentCounts::default() }
    }

    /// Takes in a fragment, seen at `time`; gives the datagram that it completes.
    pub fn push(&mut self, fragment: &Fragment<'_>, time: Timestamp) -> Option<Whole> {
        self.counts.fragments += 1;
        self.expire(time);
        let key = (fragment.source, fragment.destination, fragment.identification);
        let index = self.places.get(&key).copied().unwrap_or_else(|| self.open(key, time));
        let entry = self.entries.value(index)?;
        match entry.list {
            List::Gathering => {}
            List::Joined => {
                self.counts.repeated += 1;
                return None;
            }
            List::Discarded => {
                self.counts.trailing += 1;
                return None;
            }
        }
        let before = entry.datagram.cost();
        let added = entry.datagram.add(fragment, self.limits.pieces);
        self.bytes = self.bytes + entry.datagram.cost() - before;
        match added {
            Added::More => {
                self.make_room();
                return None;
            }
            Added::Repeated => {
                self.counts.repeated += 1;
                return None;
            }
            Added::Complete => {
                self.counts.joined += 1;
                let datagram = self.retire(index, List::Joined, time)?;
                return Some(datagram.join(fragment.source, fragment.destination, time));
            }
            Added::Overlapping => self.counts.overlapping += 1,
            Added::Malformed => self.counts.malformed += 1,
            Added::TooMany => self.counts.too_many += 1,
        }
        self.retire(index, List::Discarded, time);
        None
    }

    /// What became of everything so far. `fragments` less the others' shares are still waited for.
    #[must_use]
    pub const fn counts(&self) -> &FragmentCounts {
        &self.counts
    }

    /// Datagrams that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no datagram is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, with the overhead of the pieces.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.bytes
    }

    /// Nothing more will come: whatever is incomplete counts as timed out.
    pub fn finish(&mut self) {
        while let Some(index) = self.entries.oldest(List::Gathering) {
            self.counts.timed_out += 1;
            self.forget(index);
        }
    }

    fn expire(&mut self, now: Timestamp) {
        let Self { limits: FragmentLimits { timeout, repeats, .. }, .. } = *self;
        for (list, patience) in
            [(List::Gathering, timeout), (List::Discarded, timeout), (List::Joined, repeats)]
        {
            while let Some(index) = self.entries.oldest(list)
                && self.entries.value(index).is_some_and(|entry| now.since(entry.since) >= patience)
            {
                self.counts.timed_out += u64::from(list == List::Gathering);
                self.forget(index);
            }
        }
    }

    fn open(&mut self, key: Key, time: Timestamp) -> u32 {
        while self.entries.len() >= self.limits.datagrams.max(1) && self.give_up_oldest() {}
        let entry = Entry { key, since: time, list: List::Gathering, datagram: Datagram::default() };
        let index = self.entries.insert(entry, List::Gathering);
        self.places.insert(key, index);
        index
    }

    /// Keeps the sum of what is held within its bound; the oldest goes first, even if it is the one just added to.
    fn make_room(&mut self) {
        while self.bytes > self.limits.bytes
            && let Some(index) = self.entries.oldest(List::Gathering)
        {
            self.counts.evicted += 1;
            self.forget(index);
        }
    }

    fn give_up_oldest(&mut self) -> bool {
        let oldest = [List::Joined, List::Discarded, List::Gathering]
            .into_iter()
            .find_map(|list| Some((self.entries.oldest(list)?, list)));
        let Some((index, list)) = oldest else { return false };
        self.counts.evicted += u64::from(list == List::Gathering);
        self.forget(index);
        true
    }

    /// Remembers only that the datagram was there.
    fn retire(&mut self, index: u32, list: List, time: Timestamp) -> Option<Datagram> {
        let entry = self.entries.value(index)?;
        entry.list = list;
        entry.since = time;
        let datagram = core::mem::take(&mut entry.datagram);
        self.bytes -= datagram.cost();
        self.entries.put_last(index, list);
        Some(datagram)
    }

    fn forget(&mut self, index: u32) {
        if let Some(entry) = self.entries.remove(index) {
            self.bytes -= entry.datagram.cost();
            self.places.remove(&entry.key);
        }
    }
}

impl Default for Fragments {
    fn default() -> Self {
        Self::new(FragmentLimits::default())
    }
}

#[cfg(test)]
#[path = "fragments_tests.rs"]
mod tests;
