//! Entries in a slab, threaded on lists by age: everything that happens "after so long" or "to the oldest" is at the
//! head of a list.

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    list: usize,
    before: u32,
    after: u32,
}

/// A slab whose entries each stand on one of a few lists. All operations take constant time.
#[derive(Debug)]
pub(crate) struct Order<T, L, const LISTS: usize> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    first: [u32; LISTS],
    last: [u32; LISTS],
    lists: core::marker::PhantomData<L>,
}

impl<T, L: Into<usize>, const LISTS: usize> Order<T, L, LISTS> {
    /// An empty slab.
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            first: [NONE; LISTS],
            last: [NONE; LISTS],
            lists: core::marker::PhantomData,
        }
    }

    /// Entries in all.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Puts `value` at the end of `list` and names its slot. The caller bounds the number of entries far below 2³².
    pub(crate) fn insert(&mut self, value: T, list: L) -> u32 {
        let list = list.into();
        let slot = Slot { value: Some(value), list, before: NONE, after: NONE };
        let index = if let Some(index) = self.free.pop() {
            self.slots[index as usize] = slot;
            index
        } else {
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
        };
        self.link(index, list);
        index
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.slots.get_mut(index as usize)?.value.take()?;
        self.unlink(index);
        self.free.push(index);
        Some(value)
    }

    /// The entry in a slot.
    pub(crate) fn value(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.value.as_mut()
    }

    /// Moves an entry to the end of `list`.
    pub(crate) fn put_last(&mut self, index: u32, list: L) {
        let list = list.into();
        if self.slots.get(index as usize).is_none_or(|slot| slot.value.is_none()) {
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
        match self.slots.get_mut(last as usize) {
            Some(slot) => slot.after = index,
            None => self.first[list] = index,
        }
        let slot = &mut self.slots[index as usize];
        (slot.list, slot.before, slot.after) = (list, last, NONE);
    }

    fn unlink(&mut self, index: u32) {
        let Slot { list, before, after, .. } = self.slots[index as usize];
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.after = after,
            None => self.first[list] = after,
        }
        match self.slots.get_mut(after as usize) {
            Some(slot) => slot.before = before,
            None => self.last[list] = before,
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
}
