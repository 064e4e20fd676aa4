//! Entries in a slab, threaded on lists by age: everything that happens "after so long" or "to the oldest" is at the
//! head of a list.

use std::collections::BTreeSet;

const NONE: u32 = u32::MAX;

/// Slots allocated at a time: enough that it is rare, and little enough that a slab that has grown once costs no more
/// than what it holds.
const CHUNK: u32 = 128;

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    before: u32,
    /// The next free slot of the chunk, where there is no value.
    after: u32,
    list: u8,
}

/// Slots that are allocated and given back together.
#[derive(Debug)]
struct Chunk<T> {
    slots: Vec<Slot<T>>,
    /// The first free slot among those that were used before.
    free: u32,
    used: u32,
}

/// A slab whose entries each stand on one of a few lists. All operations take constant time, but for the logarithm of
/// the number of chunks when one fills or empties. Slots that are used again are those of the lowest chunk with room, so
/// that what a burst took is given back when it is over.
#[derive(Debug)]
pub(crate) struct Order<T, L, const LISTS: usize> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with a free slot.
    roomy: BTreeSet<u32>,
    len: usize,
    first: [u32; LISTS],
    last: [u32; LISTS],
    lists: core::marker::PhantomData<L>,
}

impl<T, L: Into<usize>, const LISTS: usize> Order<T, L, LISTS> {
    /// An empty slab.
    pub(crate) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            roomy: BTreeSet::new(),
            len: 0,
            first: [NONE; LISTS],
            last: [NONE; LISTS],
            lists: core::marker::PhantomData,
        }
    }

    /// Entries in all.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Puts `value` at the end of `list` and names its slot. The caller bounds the number of entries far below 2³².
    pub(crate) fn insert(&mut self, value: T, list: L) -> u32 {
        let list = list.into();
        let number = self.roomy.first().copied().unwrap_or_else(|| {
            let number = u32::try_from(self.chunks.len()).unwrap_or(NONE);
            self.chunks.push(Chunk { slots: Vec::new(), free: NONE, used: 0 });
            self.roomy.insert(number);
            number
        });
        let chunk = &mut self.chunks[number as usize];
        let slot = Slot { value: Some(value), before: NONE, after: NONE, list: 0 };
        let place = chunk.free;
        let place = if let Some(free) = chunk.slots.get_mut(place as usize) {
            chunk.free = free.after;
            *free = slot;
            place
        } else {
            if chunk.slots.is_empty() {
                chunk.slots.reserve_exact(CHUNK as usize);
            }
            chunk.slots.push(slot);
            chunk.used
        };
        chunk.used += 1;
        if chunk.used == CHUNK {
            self.roomy.remove(&number);
        }
        self.len += 1;
        let index = number * CHUNK + place;
        self.link(index, list);
        index
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.slot(index)?.value.take()?;
        self.unlink(index);
        self.len -= 1;
        let number = index / CHUNK;
        let chunk = &mut self.chunks[number as usize];
        if chunk.used == CHUNK {
            self.roomy.insert(number);
        }
        chunk.used -= 1;
        chunk.slots[(index % CHUNK) as usize].after = chunk.free;
        chunk.free = index % CHUNK;
        // The one that is used next stays.
        if chunk.used == 0 && self.roomy.first() != Some(&number) {
            (chunk.slots, chunk.free) = (Vec::new(), NONE);
        }
        Some(value)
    }

    /// The entry in a slot.
    pub(crate) fn value(&mut self, index: u32) -> Option<&mut T> {
        self.slot(index)?.value.as_mut()
    }

    /// The same, to look at.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.chunks.get((index / CHUNK) as usize)?.slots.get((index % CHUNK) as usize)?.value.as_ref()
    }

    fn slot(&mut self, index: u32) -> Option<&mut Slot<T>> {
        self.chunks.get_mut((index / CHUNK) as usize)?.slots.get_mut((index % CHUNK) as usize)
    }

    /// Moves an entry to the end of `list`.
    pub(crate) fn put_last(&mut self, index: u32, list: L) {
        let list = list.into();
        if self.value(index).is_none() {
            return;
        }
        if self.last[list] == index {
            return;
        }
        self.unlink(index);
        self.link(index, list);
    }

    /// The oldest entry of `list`.
    pub(crate) fn oldest(&self, list: L) -> Option<u32> {
        let index = self.first[list.into()];
        (index != NONE).then_some(index)
    }

    fn link(&mut self, index: u32, list: usize) {
        let last = core::mem::replace(&mut self.last[list], index);
        match self.slot(last) {
            Some(slot) => slot.after = index,
            None => self.first[list] = index,
        }
        if let Some(slot) = self.slot(index) {
            (slot.list, slot.before, slot.after) = (u8::try_from(list).unwrap_or(u8::MAX), last, NONE);
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(&mut Slot { list, before, after, .. }) = self.slot(index) else { return };
        match self.slot(before) {
            Some(slot) => slot.after = after,
            None => self.first[usize::from(list)] = after,
        }
        match self.slot(after) {
            Some(slot) => slot.before = before,
            None => self.last[usize::from(list)] = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    enum List {
        Silent,
        Talking,
        Settled,
    }

    impl From<List> for usize {
        fn from(list: List) -> Self {
            list as Self
        }
    }

    fn drain(order: &mut Order<u32, List, 3>, list: List) -> Vec<u32> {
        core::iter::from_fn(|| order.oldest(list).and_then(|index| order.remove(index))).collect()
    }

    #[test]
    fn keeps_the_order_of_arrival_over_moves_and_removals() {
        let mut order = Order::new();
        let slots: Vec<u32> = (0..6).map(|n| order.insert(n, List::Silent)).collect();
        order.put_last(slots[2], List::Talking);
        order.put_last(slots[0], List::Talking);
        order.put_last(slots[2], List::Talking);
        order.put_last(slots[2], List::Talking);
        assert_eq!(order.remove(slots[4]), Some(4));
        assert_eq!(order.remove(slots[4]), None);
        order.put_last(slots[4], List::Talking);
        assert_eq!(order.len(), 5);
        assert_eq!(order.insert(7, List::Silent), slots[4]);
        assert_eq!(drain(&mut order, List::Silent), [1, 3, 5, 7]);
        assert_eq!(drain(&mut order, List::Talking), [0, 2]);
        assert_eq!(order.len(), 0);
        assert_eq!(order.oldest(List::Settled), None);
    }

    #[test]
    fn a_burst_gives_back_its_slots_and_the_lowest_are_used_again() {
        let mut order = Order::new();
        for round in 0..3 {
            let mut slots: Vec<u32> = (0..10 * CHUNK).map(|n| order.insert(n, List::Silent)).collect();
            slots.sort_unstable();
            assert!(slots.iter().copied().eq(0..10 * CHUNK), "round {round}");
            for slot in slots.iter().filter(|slot| *slot % CHUNK != 5) {
                assert!(order.remove(*slot).is_some());
            }
            assert_eq!(order.len(), 10);
            assert_eq!(drain(&mut order, List::Silent).len(), 10);
            let kept = order.chunks.iter().filter(|chunk| chunk.slots.capacity() > 0).count();
            assert_eq!((order.len(), kept), (0, 1));
        }
        for n in 0..2 * CHUNK {
            order.insert(n, List::Talking);
        }
        assert!(order.remove(200).is_some() && order.remove(7).is_some());
        assert_eq!((order.insert(1, List::Settled), order.insert(2, List::Settled)), (7, 200));
        assert_eq!(order.len(), 2 * CHUNK as usize);
    }
}
