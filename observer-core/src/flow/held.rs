//! The bytes of one direction that arrived ahead of their turn.

use std::collections::BTreeMap;

use super::{Gap, Limits};

/// What the sender of a run had acknowledged when it first sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The segment had no acknowledgement.
    Unknown,
    /// A first SYN: nothing was acknowledged yet.
    Nothing,
    /// The acknowledgement number.
    At(u32),
}

#[derive(Debug)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    /// A place whose bytes are known to be missing, and why. Bytes may still fill it, unless it is a conflict.
    Missing(u64, Gap),
}

#[derive(Debug)]
pub(super) struct Run {
    pub(super) content: Content,
    pub(super) mark: Mark,
    /// Came on a SYN, so that the receiver may have refused it (RFC 7413, section 4.2).
    pub(super) on_syn: bool,
}

impl Run {
    pub(super) fn len(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Missing(length, _) => *length,
        }
    }

    fn cost(&self) -> usize {
        let bytes = match &self.content {
            Content::Bytes(bytes) => bytes.capacity(),
            Content::Missing(..) => 0,
        };
        bytes + Limits::RUN_OVERHEAD
    }
}

/// What became of bytes that were put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inserted {
    /// Bytes that were held already.
    pub(super) repeated: u64,
    /// Some of those differed from what was held.
    pub(super) conflict: bool,
}

/// Runs that do not overlap, by the place of their first byte. Every operation costs the logarithm of the number of
/// runs, and insertion besides that only the bytes inserted.
#[derive(Debug, Default)]
pub(super) struct Held {
    runs: BTreeMap<u64, Run>,
    cost: usize,
    /// The places from the first to the last byte that was given up at the bound.
    overflowed: Option<Box<(u64, u64)>>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Heap bytes, with the overhead of the runs.
    pub(super) const fn cost(&self) -> usize {
        self.cost
    }

    /// The place, the length and the reason of the first run; the reason is `None` for bytes.
    pub(super) fn first(&self) -> Option<(u64, &Run)> {
        self.runs.first_key_value().map(|(key, run)| (*key, run))
    }

    pub(super) fn pop_first(&mut self) -> Option<(u64, Run)> {
        let (key, run) = self.runs.pop_first()?;
        self.cost -= run.cost();
        Some((key, run))
    }

    /// Whether bytes between `from` and `to` were given up at the bound.
    pub(super) fn overflowed(&self, from: u64, to: u64) -> bool {
        self.overflowed.as_deref().is_some_and(|(first, last)| *first < to && from < *last)
    }

    /// Puts in `bytes` at `key`. What is held already stays, is compared, and becomes a conflict if it differs.
    pub(super) fn insert(&mut self, key: u64, bytes: &[u8], mark: Mark) -> Inserted {
        let mut inserted = Inserted::default();
        let end = key + bytes.len() as u64;
        let mut at = key;
        while at < end {
            let from = slice(bytes, at - key, end - key);
            let Some((run_key, run)) = self.covering(at) else {
                let next = self.runs.range(at..end).next().map_or(end, |(next, _)| *next);
                self.put(at, slice(bytes, at - key, next - key), mark);
                at = next;
                continue;
            };
            let run_end = run_key + run.len();
            let stop = run_end.min(end);
            match &run.content {
                Content::Missing(_, Gap::Conflict) => {}
                Content::Missing(_, why) => {
                    let why = *why;
                    self.remove(run_key);
                    self.put_missing(run_key, at - run_key, why);
                    self.put(at, slice(bytes, at - key, stop - key), mark);
                    self.put_missing(stop, run_end - stop, why);
                }
                Content::Bytes(held) => {
                    inserted.repeated += stop - at;
                    if slice(held, at - run_key, stop - run_key) != slice(from, 0, stop - at) {
                        inserted.conflict = true;
                        self.distrust(run_key, at);
                    }
                }
            }
            at = stop;
        }
        inserted
    }

    /// Notes that the bytes from `key` on are missing because of `why`, where nothing is held.
    pub(super) fn insert_missing(&mut self, key: u64, length: u64, why: Gap) {
        let end = key + length;
        let mut at = key;
        while at < end {
            if let Some((run_key, run)) = self.covering(at) {
                at = run_key + run.len();
                continue;
            }
            let next = self.runs.range(at..end).next().map_or(end, |(next, _)| *next);
            self.put_missing(at, next - at, why);
            at = next;
        }
    }

    /// Puts in the payload of a SYN where nothing is held; the receiver may refuse it.
    pub(super) fn insert_on_syn(&mut self, key: u64, bytes: &[u8]) {
        if self.is_empty() && !bytes.is_empty() {
            self.add(key, Run { content: Content::Bytes(bytes.to_vec()), mark: Mark::Nothing, on_syn: true });
        }
    }

    /// Forgets the payload of a SYN that was not accepted.
    pub(super) fn remove_on_syn(&mut self) {
        if self.first().is_some_and(|(_, run)| run.on_syn) {
            self.pop_first();
        }
    }

    /// Forgets everything below `key`.
    pub(super) fn forget_below(&mut self, key: u64) {
        while let Some((first, run)) = self.first() {
            if first >= key {
                break;
            }
            let end = first + run.len();
            let Some((_, mut run)) = self.pop_first() else { break };
            if end > key {
                match &mut run.content {
                    Content::Bytes(bytes) => {
                        bytes.drain(..usize::try_from(key - first).unwrap_or(usize::MAX).min(bytes.len()));
                    }
                    Content::Missing(length, _) => *length -= key - first,
                }
                self.add(key, run);
            }
        }
    }

    /// Gives up the runs that are furthest ahead until the cost is within `limit`: what comes next is worth most.
    pub(super) fn shrink_to(&mut self, limit: usize) {
        while self.cost > limit {
            let Some((key, run)) = self.runs.pop_last() else { break };
            self.cost -= run.cost();
            let end = key + run.len();
            let places = self.overflowed.get_or_insert_with(|| Box::new((key, end)));
            **places = (places.0.min(key), places.1.max(end));
        }
    }

    fn covering(&self, at: u64) -> Option<(u64, &Run)> {
        let (key, run) = self.runs.range(..=at).next_back()?;
        (key + run.len() > at).then_some((*key, run))
    }

    fn put(&mut self, key: u64, bytes: &[u8], mark: Mark) {
        if bytes.is_empty() {
            return;
        }
        // One run for bytes that follow each other under the same mark keeps trickled bytes cheap.
        if let Some((before, run)) = self.runs.range_mut(..key).next_back()
            && run.mark == mark
            && !run.on_syn
            && before + run.len() == key
            && matches!(run.content, Content::Bytes(_))
        {
            self.cost -= run.cost();
            if let Content::Bytes(held) = &mut run.content {
                held.extend_from_slice(bytes);
            }
            self.cost += run.cost();
            return;
        }
        self.add(key, Run { content: Content::Bytes(bytes.to_vec()), mark, on_syn: false });
    }

    fn put_missing(&mut self, key: u64, length: u64, why: Gap) {
        if length > 0 {
            self.add(key, Run { content: Content::Missing(length, why), mark: Mark::Unknown, on_syn: false });
        }
    }

    /// Takes back the bytes of a run from `from` to its end: all of them followed a place that two segments dispute.
    fn distrust(&mut self, run_key: u64, from: u64) {
        let Some(mut run) = self.remove(run_key) else { return };
        let end = run_key + run.len();
        if let Content::Bytes(bytes) = &mut run.content {
            bytes.truncate(usize::try_from(from - run_key).unwrap_or(usize::MAX));
        }
        if from > run_key {
            self.add(run_key, run);
        }
        self.put_missing(from, end - from, Gap::Conflict);
    }

    fn add(&mut self, key: u64, run: Run) {
        self.cost += run.cost();
        self.runs.insert(key, run);
    }

    fn remove(&mut self, key: u64) -> Option<Run> {
        let run = self.runs.remove(&key)?;
        self.cost -= run.cost();
        Some(run)
    }
}

/// `bytes[from..to]`, empty where that lies outside.
fn slice(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(index(from)..index(to)).unwrap_or_default()
}
