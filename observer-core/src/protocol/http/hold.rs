//! Bytes of one direction that wait for the other, and what is handed over when a tunnel opens.

use super::MAX_HELD;
use crate::flow::{Direction, End, Gap};
use crate::protocol::Dissector;

/// What lies at a place of the held bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// From here on the sender had acknowledged so many bytes.
    Acked(u64),
    /// Missing bytes.
    Gap(u64, Gap),
    /// The end of the stream.
    End(End),
}

/// What comes next out of a [`Hold`].
#[derive(Debug)]
pub(super) enum Next {
    Data,
    Gap(u64, Gap),
    End(End),
}

/// Bytes, gaps and the end of one direction, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Hold {
    bytes: Vec<u8>,
    start: usize,
    marks: Vec<(usize, Mark)>,
    mark: usize,
    acked: Option<u64>,
    /// The mark that holds at `start`.
    current: u64,
}

impl Hold {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.bytes.len() && self.mark == self.marks.len()
    }

    pub(super) fn push(&mut self, bytes: &[u8], acked: u64) {
        if self.start > self.bytes.len() / 2 && self.start > 4096 {
            self.compact();
        }
        if self.acked != Some(acked) {
            self.acked = Some(acked);
            self.marks.push((self.bytes.len(), Mark::Acked(acked)));
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn push_mark(&mut self, mark: Mark) {
        // One gap behind another is one gap: marks do not grow with the number of bytes that are given up.
        let open = self.mark < self.marks.len();
        if let (Mark::Gap(more, _), Some((at, Mark::Gap(length, _)))) = (mark, self.marks.last_mut())
            && open
            && *at == self.bytes.len()
        {
            *length = length.saturating_add(more);
            return;
        }
        self.marks.push((self.bytes.len(), mark));
    }

    fn compact(&mut self) {
        self.bytes.drain(..self.start);
        self.marks.drain(..self.mark);
        for (at, _) in &mut self.marks {
            *at -= self.start.min(*at);
        }
        (self.start, self.mark) = (0, 0);
    }

    /// The next thing in order, skipping acknowledgement marks; data is looked at with [`Hold::data`].
    pub(super) fn next(&mut self) -> Option<Next> {
        while let Some((at, mark)) = self.marks.get(self.mark) {
            match mark {
                Mark::Acked(acked) if *at <= self.start => {
                    self.current = *acked;
                    self.mark += 1;
                }
                Mark::Gap(length, why) if *at == self.start => return Some(Next::Gap(*length, *why)),
                Mark::End(end) if *at == self.start => return Some(Next::End(*end)),
                _ => break,
            }
        }
        (self.start < self.bytes.len()).then_some(Next::Data)
    }

    /// The bytes up to the next gap or end.
    pub(super) fn data(&self) -> &[u8] {
        let end = self.marks[self.mark..]
            .iter()
            .find(|(_, mark)| !matches!(mark, Mark::Acked(_)))
            .map_or(self.bytes.len(), |(at, _)| *at);
        &self.bytes[self.start..end]
    }

    /// Whether a gap or the end follows [`Hold::data`].
    pub(super) fn is_cut(&self) -> bool {
        self.marks[self.mark..].iter().any(|(_, mark)| !matches!(mark, Mark::Acked(_)))
    }

    /// The bytes up to the next mark of any kind.
    pub(super) fn run(&self) -> &[u8] {
        let end = self.marks.get(self.mark).map_or(self.bytes.len(), |(at, _)| *at);
        &self.bytes[self.start..end]
    }

    /// The acknowledgement mark that holds for [`Hold::run`].
    pub(super) const fn acked(&self) -> u64 {
        self.current
    }

    /// The first `n` bytes of [`Hold::data`] are done with.
    pub(super) fn consume(&mut self, n: usize) {
        self.start += n;
        if self.is_empty() {
            self.bytes.clear();
            self.marks.clear();
            (self.start, self.mark, self.acked) = (0, 0, None);
        }
    }

    /// The gap or end that [`Hold::next`] told is done with.
    pub(super) fn consume_mark(&mut self) {
        self.mark += 1;
        self.consume(0);
    }

    /// Bytes waiting, with a charge for marks.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start + (self.marks.len() - self.mark) * size_of::<(usize, Mark)>()
    }

    pub(super) fn is_over(&self) -> bool {
        self.len() > MAX_HELD
    }

    pub(super) fn held(&self) -> usize {
        self.bytes.capacity() + self.marks.capacity() * size_of::<(usize, Mark)>()
    }
}

/// Both directions behind a successful `CONNECT`: a new conversation begins in them.
#[derive(Clone, Debug)]
pub struct Handover {
    pub(super) starts: [u64; 2],
    pub(super) holds: [Hold; 2],
}

impl Handover {
    /// Offset in the outer stream of `direction` of the inner stream's first byte.
    #[must_use]
    pub const fn start(&self, direction: Direction) -> u64 {
        self.starts[direction.index()]
    }

    /// An acknowledgement mark of the outer stream as the inner conversation has to be told it; give it the `acked` of
    /// bytes travelling in `direction`.
    #[must_use]
    pub const fn rebase(&self, direction: Direction, acked: u64) -> u64 {
        if acked == u64::MAX {
            acked
        } else {
            acked.saturating_sub(self.starts[direction.reversed().index()])
        }
    }

    /// Feeds what was already read of the inner streams. Later bytes are fed by the caller, with
    /// [`Handover::rebase`].
    pub fn feed(&self, inner: &mut impl Dissector) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let index = direction.index();
            let (hold, mut acked) = (&self.holds[index], self.holds[index].current);
            let mut at = hold.start;
            let mut send = |inner: &mut dyn Dissector, to: usize, acked: u64| {
                if to > at {
                    inner.data(direction, &hold.bytes[at..to], self.rebase(direction, acked));
                    at = to;
                }
            };
            for (place, mark) in &hold.marks[hold.mark..] {
                send(inner, *place, acked);
                match *mark {
                    Mark::Acked(new) => acked = new,
                    Mark::Gap(length, why) => _ = inner.gap(direction, length, why),
                    Mark::End(end) => _ = inner.end(direction, end),
                }
            }
            send(inner, hold.bytes.len(), acked);
        }
    }
}
