//! The bytes of both directions that no reader has taken yet.

use crate::flow::{Direction, End, Gap};
use crate::protocol::conversation::Step;
use crate::security::Reason;

/// The most bytes held for one direction while a reader waits for the other: as much as a source copies before the
/// verdict stands. What lies beyond is not kept, and a reader that comes to need it gives up with [`Stop::Full`].
const HELD: usize = 64 * 1024;

/// The longest line of any protocol read here, terminator included. SMTP allows 512 and its extensions more, IMAP
/// recommends 8192 (RFC 7162, section 4).
const LINE: usize = 8 * 1024;

/// Why a stream does not go on behind the bytes that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The peer ended it.
    End(End),
    /// The next bytes are missing for good.
    Gap(Gap),
    /// More bytes were waiting than are kept.
    Full,
    /// The observation ended.
    Concluded(Reason),
}

/// A piece of a stream as it is handed over to a dissector.
#[derive(Debug)]
pub(crate) enum Later {
    Data(Vec<u8>, u64),
    Gap(u64, Gap),
    End(End),
}

/// The bytes of one direction not yet taken, and the acknowledgement marks they came with.
#[derive(Debug, Default)]
struct Waiting {
    held: Vec<u8>,
    /// Bytes at the front of `held` that are taken already.
    taken: usize,
    /// `(offset in the whole stream, acked)` of each run that is still held; ascending.
    marks: Vec<(u64, u64)>,
    /// Bytes at the front (not taken) that hold no line feed.
    searched: usize,
    /// What came behind the place where `held` stops.
    later: Vec<Later>,
    later_bytes: usize,
}

impl Waiting {
    fn bytes(&self) -> &[u8] {
        self.held.get(self.taken..).unwrap_or_default()
    }
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// There only while a reader may still want it: of most connections nothing waits for long.
    waiting: Option<Box<Waiting>>,
    /// Offset in the whole stream of the first byte not taken, whether it came yet or not.
    place: u64,
    /// Bytes to drop before the next one is held.
    skip: u64,
    stop: Option<Stop>,
    /// Any byte came at all.
    spoke: bool,
}

impl Stream {
    /// The bytes that wait to be read.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.waiting.as_deref().map_or(&[], Waiting::bytes)
    }

    pub(crate) const fn stop(&self) -> Option<Stop> {
        self.stop
    }

    pub(crate) const fn spoke(&self) -> bool {
        self.spoke
    }

    /// Offset in the whole stream of the first byte not taken.
    pub(crate) const fn place(&self) -> u64 {
        self.place
    }

    /// The stream begins again `offset` bytes behind its present place, and with nothing held.
    pub(crate) fn restart(&mut self, offset: u64) {
        *self = Self { place: self.place.saturating_add(offset), spoke: self.spoke, ..Self::default() };
    }

    pub(crate) fn push(&mut self, bytes: &[u8], acked: u64) {
        if bytes.is_empty() {
            return;
        }
        self.spoke = true;
        let bytes = self.unskipped(bytes);
        let waiting = self.waiting.get_or_insert_default();
        let room = HELD.saturating_sub(waiting.bytes().len() + waiting.later_bytes);
        let (kept, lost) = bytes.split_at(room.min(bytes.len()));
        if waiting.later.is_empty() {
            if !kept.is_empty() {
                let at = self.place + waiting.bytes().len() as u64;
                if waiting.marks.last().is_none_or(|(_, last)| *last != acked) {
                    waiting.marks.push((at, acked));
                }
                waiting.held.extend_from_slice(kept);
            }
        } else if !kept.is_empty() {
            waiting.later_bytes += kept.len();
            match waiting.later.last_mut() {
                Some(Later::Data(run, mark)) if *mark == acked => run.extend_from_slice(kept),
                _ => waiting.later.push(Later::Data(kept.to_vec(), acked)),
            }
        }
        if !lost.is_empty() {
            self.later(lost.len() as u64, Gap::Overflow);
            self.stop_with(Stop::Full);
        }
    }

    /// `length` bytes are missing here for good.
    pub(crate) fn gap(&mut self, length: u64, why: Gap) {
        self.spoke = true;
        // What a reader skips by length need not have been seen, unless its place in the stream is in doubt.
        let left = self.unskipped_gap(length);
        if left > 0 || length == 0 || why == Gap::Conflict {
            self.later(left, why);
            self.stop_with(Stop::Gap(why));
        }
    }

    /// The part of the next bytes that is not to be skipped.
    pub(crate) fn unskipped<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let dropped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= dropped as u64;
        bytes.get(dropped..).unwrap_or_default()
    }

    /// The part of the next missing bytes that is not to be skipped.
    pub(crate) fn unskipped_gap(&mut self, length: u64) -> u64 {
        let skipped = self.skip.min(length);
        self.skip -= skipped;
        length - skipped
    }

    /// Bytes that are still to be dropped before the next one counts.
    pub(crate) const fn skipping(&self) -> u64 {
        self.skip
    }

    fn later(&mut self, length: u64, why: Gap) {
        let later = &mut self.waiting.get_or_insert_default().later;
        match later.last_mut() {
            Some(Later::Gap(before, same)) if *same == why => *before += length,
            _ => later.push(Later::Gap(length, why)),
        }
    }

    pub(crate) fn end(&mut self, end: End) {
        self.waiting.get_or_insert_default().later.push(Later::End(end));
        self.stop_with(Stop::End(end));
    }

    pub(crate) fn stop_with(&mut self, stop: Stop) {
        if self.stop.is_none() {
            self.stop = Some(stop);
        }
    }

    /// Takes `count` bytes, those included that have not come yet.
    pub(crate) fn skip(&mut self, count: u64) {
        let here = usize::try_from(count).unwrap_or(usize::MAX).min(self.bytes().len());
        self.place += count;
        self.skip += count - here as u64;
        let Some(waiting) = &mut self.waiting else { return };
        waiting.taken += here;
        waiting.searched = waiting.searched.saturating_sub(here);
        if waiting.taken == waiting.held.len() {
            waiting.held.clear();
            waiting.taken = 0;
        } else if waiting.taken >= 4096 && waiting.taken * 2 >= waiting.held.len() {
            waiting.held.drain(..waiting.taken);
            waiting.taken = 0;
        }
        let gone = waiting.marks.iter().take_while(|(at, _)| *at <= self.place).count();
        // The last mark at or before the front still speaks for the front.
        waiting.marks.drain(..gone.saturating_sub(1));
    }

    /// Everything that waits and what lies behind it, in order; afterwards the stream holds nothing.
    pub(crate) fn drain(&mut self) -> Vec<Later> {
        let Some(mut waiting) = self.waiting.take() else { return Vec::new() };
        let bytes = waiting.bytes();
        let mut events = Vec::with_capacity(waiting.marks.len() + waiting.later.len());
        for (index, (at, acked)) in waiting.marks.iter().enumerate() {
            let place = |at: u64| usize::try_from(at.saturating_sub(self.place)).unwrap_or(usize::MAX);
            let from = place(*at).min(bytes.len());
            let to =
                waiting.marks.get(index + 1).map_or(bytes.len(), |(next, _)| place(*next).min(bytes.len()));
            if let Some(run) = bytes.get(from..to)
                && !run.is_empty()
            {
                events.push(Later::Data(run.to_vec(), *acked));
            }
        }
        events.append(&mut waiting.later);
        events
    }

    /// Gives back the memory; nothing more will be read.
    pub(crate) fn discard(&mut self) {
        self.waiting = None;
    }

    pub(crate) fn memory(&self) -> usize {
        self.waiting.as_deref().map_or(0, |waiting| {
            size_of::<Waiting>()
                + waiting.held.capacity()
                + waiting.marks.capacity() * size_of::<(u64, u64)>()
                + waiting.later.capacity() * size_of::<Later>()
                + waiting.later_bytes
        })
    }
}

/// Both directions.
#[derive(Debug, Default)]
pub(crate) struct Streams([Stream; 2]);

impl Streams {
    pub(crate) fn of(&self, direction: Direction) -> &Stream {
        match direction {
            Direction::ToServer => &self.0[0],
            Direction::ToClient => &self.0[1],
        }
    }

    pub(crate) fn of_mut(&mut self, direction: Direction) -> &mut Stream {
        match direction {
            Direction::ToServer => &mut self.0[0],
            Direction::ToClient => &mut self.0[1],
        }
    }

    /// What waits of one direction, if it is at least `count` bytes.
    pub(crate) fn peek(&self, direction: Direction, count: usize) -> Result<&[u8], Step> {
        let bytes = self.of(direction).bytes();
        if bytes.len() < count { Err(Step::Wait(direction)) } else { Ok(bytes) }
    }

    /// Takes the next line, without its end (CR LF or LF). A line that is too long is no line of any protocol here.
    pub(crate) fn line(&mut self, direction: Direction) -> Result<Vec<u8>, Step> {
        let stream = self.of_mut(direction);
        let Some(waiting) = &mut stream.waiting else { return Err(Step::Wait(direction)) };
        let searched = waiting.searched;
        let bytes = waiting.bytes();
        let fresh = bytes.get(searched..).unwrap_or_default();
        let Some(found) = fresh.iter().position(|byte| *byte == b'\n') else {
            let held = bytes.len();
            waiting.searched = held;
            return Err(if held > LINE { Step::Reject } else { Step::Wait(direction) });
        };
        let end = searched + found;
        let line = bytes.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        stream.skip(end as u64 + 1);
        if let Some(waiting) = &mut stream.waiting {
            waiting.searched = 0;
        }
        Ok(line)
    }

    pub(crate) fn skip(&mut self, direction: Direction, count: u64) {
        self.of_mut(direction).skip(count);
    }

    /// Whether any byte came, in either direction.
    pub(crate) fn spoke(&self) -> bool {
        self.0.iter().any(Stream::spoke)
    }

    pub(crate) fn discard(&mut self) {
        self.0.iter_mut().for_each(Stream::discard);
    }

    /// Exchanges the two directions: the content showed that they had been guessed the wrong way round.
    pub(crate) fn reverse(&mut self) {
        self.0.swap(0, 1);
    }

    pub(crate) fn memory(&self) -> usize {
        self.0.iter().map(Stream::memory).sum()
    }
}
