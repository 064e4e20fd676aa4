//! One direction of a flow: where it is, what is held, and what may be handed on.
//!
//! Places in the stream are 64-bit keys. A sequence number becomes the key nearest to where the stream stands, so
//! nothing else has to think of wrap-around.

mod acknowledge;
mod advance;
mod take;

pub(super) use take::Piece;

use super::backlog::Backlog;
use super::held::Mark;
use super::trouble::Trouble;
use super::{Delivery, Direction, End, Gap, Sent};
use crate::time::Timestamp;

/// Key of the anchor: far enough from zero that no sequence number near it gets a negative key.
const ORIGIN: u64 = 1 << 33;

/// How far ahead of the receiver a segment is believed. No stock receiver grows its buffer as far (Linux:
/// `tcp_rmem`, 6 to 32 MiB), and a blind guess falls into it once in 64 tries.
const WINDOW: u64 = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct Stream {
    anchor: u32,
    anchored: bool,
    /// The place of the first byte is known.
    started: bool,
    /// It is known from the SYN.
    synchronised: bool,
    /// Only counting from here on.
    stopped: bool,
    /// The source said that it lost something of this direction.
    lossy: bool,
    acknowledged: bool,
    ended: bool,
    /// Key of the first byte of the stream.
    zero: u64,
    /// Key of the next byte to deliver.
    next: u64,
    /// Highest key that the other side acknowledged and the sender is known to have reached.
    acked: u64,
    /// The last acknowledgement of a place that the sender is not known to have reached; 0 if there is none. Segments
    /// were missed, or the acknowledgement is forged.
    claimed: u64,
    /// Highest key that any believed segment reached.
    reached: u64,
    /// Key just behind the last byte, once a FIN said so; 0 before.
    fin: u64,
    trouble: Option<Box<Trouble>>,
    backlog: Option<Box<Backlog>>,
}

impl Stream {
    /// What the packets showed.
    pub(super) fn sent(&self) -> Sent {
        let trouble = self.trouble.as_deref().copied().unwrap_or_default();
        Sent {
            isn: self.isn(),
            bytes: self.bytes(),
            repeated: trouble.repeated,
            unverified: trouble.unverified,
            missing: trouble.missing,
            gaps: trouble.gaps,
            conflicts: trouble.conflicts,
            strays: trouble.strays,
            finished: self.finished(),
        }
    }

    /// The sequence number of the SYN, if it was seen.
    pub(super) fn isn(&self) -> Option<u32> {
        self.synchronised.then(|| self.seq(self.zero).wrapping_sub(1))
    }

    pub(super) const fn started(&self) -> bool {
        self.started
    }

    pub(super) const fn anchored(&self) -> bool {
        self.anchored
    }

    /// Bytes that the sender sent and, as far as that was seen, the receiver took.
    fn bytes(&self) -> u64 {
        let end = self.next.max(self.acked).max(if self.acknowledged { 0 } else { self.reached });
        let end = if self.fin == 0 { end } else { end.min(self.fin) };
        end.saturating_sub(self.zero)
    }

    pub(super) fn held(&self) -> usize {
        let trouble = if self.trouble.is_some() { size_of::<Trouble>() } else { 0 };
        trouble + self.backlog.as_ref().map_or(0, |backlog| backlog.cost())
    }

    /// Since when something waits that further segments or time could release.
    pub(super) fn waiting(&self) -> Option<(u32, Timestamp)> {
        self.backlog.as_ref().filter(|backlog| !backlog.held.is_empty()).and_then(|backlog| backlog.waiting)
    }

    fn seq(&self, key: u64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers count modulo 2^32")]
        let distance = key.wrapping_sub(ORIGIN) as u32;
        self.anchor.wrapping_add(distance)
    }

    /// The key of `seq` that is nearest to where the stream stands.
    pub(super) fn key(&self, seq: u32) -> u64 {
        let reference = self.next.max(self.acked).max(if self.started { 0 } else { ORIGIN });
        let distance = seq.wrapping_sub(self.seq(reference)).cast_signed();
        reference.saturating_add_signed(i64::from(distance))
    }

    /// Whether a segment that reaches from `from` to `to` can concern this stream: it begins no further ahead of
    /// the receiver than [`WINDOW`], and ends no further behind it.
    pub(super) fn believable(&self, from: u64, to: u64) -> bool {
        let receiver = self.next.max(self.acked);
        if !self.started {
            return from <= ORIGIN.max(self.acked) + WINDOW && to + WINDOW >= ORIGIN;
        }
        from <= receiver.max(self.wanted()) + WINDOW && to + WINDOW >= receiver && to >= self.zero
    }

    /// The number of bytes of this stream that an acknowledgement `mark` covers.
    fn covered(&self, mark: Mark) -> u64 {
        match mark {
            Mark::Unknown => u64::MAX,
            Mark::Nothing => 0,
            Mark::At(_) if !self.started => u64::MAX,
            Mark::At(ack) => {
                let key = self.key(ack);
                let key = if self.fin == 0 { key } else { key.min(self.fin) };
                key.saturating_sub(self.zero)
            }
        }
    }

    /// The first thing heard of this direction: everything is placed relative to it until the beginning is known.
    pub(super) fn anchor(&mut self, seq: u32) {
        if !self.anchored {
            self.anchored = true;
            self.anchor = seq;
        }
    }

    /// Forgets a direction of which nothing was delivered yet and places it anew.
    pub(super) fn anchor_anew(&mut self, seq: u32) {
        let trouble = self.trouble.take();
        *self = Self { trouble, stopped: self.stopped, lossy: self.lossy, ..Self::default() };
        self.anchor(seq);
    }

    /// The stream begins at `seq`, the number of the SYN plus one. False if it began elsewhere already.
    pub(super) fn synchronise(&mut self, seq: u32) -> bool {
        if self.started {
            return self.synchronised && self.seq(self.zero) == seq;
        }
        if self.anchored && !self.believable(self.key(seq), self.key(seq)) {
            self.anchor_anew(seq);
        }
        self.anchor(seq);
        self.begin(self.key(seq));
        self.synchronised = true;
        true
    }

    /// The stream begins at `key`.
    fn begin(&mut self, key: u64) {
        self.started = true;
        self.zero = key;
        self.next = key;
        self.acked = self.acked.max(key);
        self.reach(key);
        if let Some(backlog) = &mut self.backlog {
            backlog.held.forget_below(key);
        }
        if self.fin != 0 && self.fin < key {
            self.fin = 0;
        }
    }

    /// The beginning was not seen and will not be: the stream begins with what is held, or else with what the other
    /// side expects next, or else with `seq`.
    pub(super) fn begin_midway(&mut self, seq: Option<u32>) {
        let held = self.backlog.as_ref().and_then(|backlog| backlog.held.first()).map(|(key, _)| key);
        let acked = self.acknowledged.then_some(self.acked.max(self.claimed));
        if let Some(key) = held.or(acked) {
            self.begin(key);
        } else if let Some(seq) = seq {
            self.anchor(seq);
            self.begin(self.key(seq));
        }
    }

    /// Only counts from here on.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        if let Some(backlog) = self.backlog.take()
            && let Some((key, _)) = backlog.held.first()
        {
            // What was held was sent; whether it was taken the acknowledgements say.
            self.reach(key);
        }
    }

    pub(super) const fn stopped(&self) -> bool {
        self.stopped
    }

    /// The next `length` bytes are not wanted.
    pub(super) fn skip(&mut self, length: u64) {
        if self.started && !self.stopped {
            self.backlog.get_or_insert_default().wanted = self.next + length;
        }
    }

    /// Key of the first byte that is wanted.
    fn wanted(&self) -> u64 {
        self.next.max(self.backlog.as_ref().map_or(0, |backlog| backlog.wanted))
    }

    /// Its sequence number, if it is known where the stream stands.
    pub(super) fn wanted_from(&self) -> Option<u32> {
        self.started.then(|| self.seq(self.wanted()))
    }

    pub(super) fn lost(&mut self) {
        self.lossy = true;
    }

    /// A segment whose place is out of every window.
    pub(super) fn stray(&mut self, end: u32) {
        self.ignored();
        self.trouble().beyond = Some(end);
    }

    /// A segment was not believed.
    pub(super) fn ignored(&mut self) {
        let trouble = self.trouble();
        trouble.strays = trouble.strays.saturating_add(1);
    }

    /// A segment disagreed with an earlier one.
    pub(super) fn conflict(&mut self) {
        let trouble = self.trouble();
        trouble.conflicts = trouble.conflicts.saturating_add(1);
    }

    fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }

    fn tell_gap(&mut self, direction: Direction, length: u64, why: Gap, out: &mut impl Delivery) {
        if why != Gap::Skipped {
            let trouble = self.trouble();
            trouble.gaps = trouble.gaps.saturating_add(1);
            trouble.missing += length;
        }
        out.gap(direction, length, why);
    }

    /// The flow was reset; nothing more comes.
    pub(super) fn end_by_reset(&mut self, direction: Direction, out: &mut impl Delivery) {
        if !self.ended && !self.stopped {
            self.ended = true;
            out.end(direction, End::Reset);
        }
    }

    /// Tells that bytes before the first one delivered may be missing; how many cannot be told.
    pub(super) fn tell_missing_beginning(&mut self, direction: Direction, out: &mut impl Delivery) {
        if !self.stopped {
            self.tell_gap(direction, 0, Gap::Unseen, out);
        }
    }
}
