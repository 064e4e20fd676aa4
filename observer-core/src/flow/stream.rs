//! One direction of a flow: where it is, what is held, and what may be handed on.
//!
//! Places in the stream are 64-bit keys. A sequence number becomes the key nearest to where the stream stands, so
//! nothing else has to think of wrap-around.

use super::held::{Content, Held, Mark, Run};
use super::{Delivery, Direction, End, Gap, Limits};
use crate::time::Timestamp;

/// Key of the anchor: far enough from zero that no sequence number near it gets a negative key.
const ORIGIN: u64 = 1 << 33;

/// How far ahead of the receiver a segment is believed. No stock receiver grows its buffer as far (Linux:
/// `tcp_rmem`, 6 to 32 MiB), and a blind guess falls into it once in 64 tries.
pub(super) const WINDOW: u64 = 64 << 20;

/// What is held for one direction; there only while there is something to hold.
#[derive(Debug, Default)]
struct Backlog {
    held: Held,
    /// The last bytes delivered, up to the place that comes next.
    history: Vec<u8>,
    /// When the hole in front was noticed: flow segments so far, and time.
    waiting: Option<(u32, Timestamp)>,
}

impl Backlog {
    fn cost(&self) -> usize {
        size_of::<Self>() + self.held.cost() + self.history.capacity()
    }
}

/// The moment at which something is done, and under which bounds.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) segments: u32,
    pub(super) time: Timestamp,
    pub(super) limits: &'a Limits,
}

impl Moment<'_> {
    pub(super) fn patience_over(&self, since: (u32, Timestamp)) -> bool {
        self.segments.wrapping_sub(since.0) >= self.limits.patience_segments
            && self.time.since(since.1) >= self.limits.patience()
    }
}

/// How hard to press for bytes that wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Press {
    /// Holes wait out the patience.
    Wait,
    /// Nothing more will come: holes that the receiver has filled are declared.
    Now,
}

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
    /// Highest key that the other side acknowledged.
    acked: u64,
    /// Highest key that any believed segment reached.
    reached: u64,
    /// Key just behind the last byte, once a FIN said so; 0 before.
    fin: u64,
    pub(super) repeated: u64,
    pub(super) unverified: u64,
    pub(super) missing: u64,
    pub(super) conflicts: u32,
    pub(super) gaps: u32,
    /// Segments that were not believed.
    pub(super) strays: u32,
    /// Sequence number behind the last segment that was too far ahead to be believed.
    beyond: Option<u32>,
    backlog: Option<Box<Backlog>>,
}

impl Stream {
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

    pub(super) const fn acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// Bytes that the sender sent and, as far as that was seen, the receiver took.
    pub(super) fn bytes(&self) -> u64 {
        let end = self.next.max(self.acked).max(if self.acknowledged { 0 } else { self.reached });
        let end = if self.fin == 0 { end } else { end.min(self.fin) };
        end.saturating_sub(self.zero)
    }

    /// A FIN was seen, and everything before it arrived or was acknowledged.
    pub(super) fn finished(&self) -> bool {
        self.fin != 0 && (self.next >= self.fin || self.acked > self.fin)
    }

    pub(super) fn fin_acknowledged(&self) -> bool {
        self.fin != 0 && self.acked > self.fin
    }

    pub(super) fn held(&self) -> usize {
        self.backlog.as_ref().map_or(0, |backlog| backlog.cost())
    }

    /// Something waits that further segments or time could release.
    pub(super) fn waits(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| !backlog.held.is_empty())
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
        from <= receiver + WINDOW && to + WINDOW >= receiver && to >= self.zero
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
        let (strays, repeated) = (self.strays, self.repeated);
        *self = Self { strays, repeated, stopped: self.stopped, lossy: self.lossy, ..Self::default() };
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
        self.reached = self.reached.max(key);
        self.acked = self.acked.max(key);
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
        let acked = self.acknowledged.then_some(self.acked);
        if let Some(key) = held.or(acked) {
            self.begin(key);
        } else if let Some(seq) = seq {
            self.anchor(seq);
            self.begin(self.key(seq));
        }
    }

    /// The other side acknowledged up to `ack`. False if that cannot be.
    pub(super) fn acknowledge(&mut self, ack: u32) -> bool {
        self.anchor(ack);
        let key = self.key(ack);
        if !self.believable(key, key) {
            return false;
        }
        if !self.acknowledged || key > self.acked {
            self.acked = self.acked.max(key);
            self.acknowledged = true;
        }
        true
    }

    /// An acknowledgement that [`Stream::acknowledge`] refused: if it agrees with a segment that was too far ahead,
    /// both are right and a great deal in between was not seen.
    pub(super) fn acknowledge_beyond(&mut self, ack: u32, out: &mut impl Delivery, direction: Direction) {
        let Some(beyond) = self.beyond.take() else { return };
        if !self.started || ack.wrapping_sub(beyond).cast_signed().unsigned_abs() > 1 << 20 {
            return;
        }
        let skipped = u64::from(beyond.wrapping_sub(self.seq(self.next)));
        let unused = self.backlog.take();
        drop(unused);
        if !self.stopped {
            self.tell_gap(direction, skipped, Gap::Unseen, out);
        }
        self.next += skipped;
        self.acked = self.acked.max(self.next);
        self.reached = self.reached.max(self.next);
        self.fin = 0;
    }

    /// A segment whose place is out of every window.
    pub(super) fn stray(&mut self, end: u32) {
        self.strays = self.strays.saturating_add(1);
        self.beyond = Some(end);
    }

    /// The last byte lies before `key`. False if that contradicts what is known.
    pub(super) fn finish_at(&mut self, key: u64) -> bool {
        if self.fin == key {
            return true;
        }
        if self.fin != 0 || key < self.next || (self.acknowledged && key < self.acked.min(self.reached)) {
            return false;
        }
        self.fin = key;
        true
    }

    /// Bytes past the place of a FIN: a FIN that the receiver never acknowledged was not one.
    pub(super) fn unfinish(&mut self, end: u64) -> bool {
        if self.fin == 0 || end <= self.fin {
            return true;
        }
        if self.fin_acknowledged() || self.ended {
            return false;
        }
        self.fin = 0;
        true
    }

    /// Only counts from here on.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        if let Some(backlog) = self.backlog.take()
            && let Some((key, _)) = backlog.held.first()
        {
            // What was held was sent; whether it was taken the acknowledgements say.
            self.reached = self.reached.max(key);
        }
    }

    pub(super) const fn stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn lost(&mut self) {
        self.lossy = true;
    }

    /// Takes in the payload of a believed segment: `bytes` of the `length` on the wire, from `key` on.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call for each segment; a struct would be filled and emptied"
    )]
    pub(super) fn take(
        &mut self,
        key: u64,
        bytes: &[u8],
        length: u64,
        mark: Mark,
        at: Moment<'_>,
        opposite: &Self,
        direction: Direction,
        out: &mut impl Delivery,
    ) {
        let end = key + length;
        if self.stopped && self.started {
            self.count(key, end);
            return;
        }
        let bytes = bytes.get(..usize::try_from(length).unwrap_or(usize::MAX)).unwrap_or(bytes);
        if self.started && key < self.next {
            self.compare(key, bytes, end, direction, out);
        }
        self.reached = self.reached.max(end);
        // The place from which something is new.
        let from = if self.started { key.max(self.next) } else { key };
        if from >= end {
            return;
        }
        let fresh = usize::try_from(from - key).ok().and_then(|skip| bytes.get(skip..)).unwrap_or_default();
        let whole = fresh.len() as u64 == end - from;
        let placed = !matches!(mark, Mark::At(_)) || opposite.started;
        let nothing_held = self.backlog.as_ref().is_none_or(|backlog| backlog.held.is_empty());
        if self.started && placed && whole && from == self.next && nothing_held {
            out.data(direction, fresh, opposite.covered(mark));
            self.next = end;
            self.remember(fresh, at.limits);
            return;
        }
        let backlog = self.backlog.get_or_insert_default();
        // What came on the SYN gives way to what was sent in the established state.
        backlog.held.remove_on_syn();
        let inserted = backlog.held.insert(from, fresh, mark);
        backlog.held.insert_missing(
            from + fresh.len() as u64,
            end - from - fresh.len() as u64,
            Gap::Truncated,
        );
        self.repeated += inserted.repeated;
        if inserted.conflict {
            self.conflicts = self.conflicts.saturating_add(1);
        }
    }

    /// Takes in the payload of a SYN, which the other side may refuse.
    pub(super) fn take_on_syn(&mut self, bytes: &[u8]) {
        if self.started && self.next == self.zero && !self.stopped {
            self.backlog.get_or_insert_default().held.insert_on_syn(self.zero, bytes);
        }
    }

    fn count(&mut self, key: u64, end: u64) {
        let known = self.next.max(self.acked);
        self.repeated += end.min(self.next).saturating_sub(key);
        self.reached = self.reached.max(end);
        if key <= known || !self.acknowledged {
            self.next = self.next.max(end);
        } else {
            self.next = known;
        }
    }

    /// Compares a second copy of delivered bytes with the first.
    fn compare(&mut self, key: u64, bytes: &[u8], end: u64, direction: Direction, out: &mut impl Delivery) {
        let repeated = end.min(self.next) - key;
        self.repeated += repeated;
        // A keep-alive carries a byte that nobody reads, one below what is acknowledged (RFC 9293, section 3.8.4).
        if repeated == 1 && end == self.next && end <= self.acked && bytes.len() == 1 {
            return;
        }
        let history = self.backlog.as_ref().map_or(&[][..], |backlog| &backlog.history[..]);
        let oldest = self.next - history.len() as u64;
        let from = key.max(oldest).min(self.next);
        let to = (key + bytes.len() as u64).min(self.next);
        if self.acked < from {
            self.unverified += from - self.acked.max(key).min(from);
        }
        if from >= to {
            return;
        }
        let old = range(history, from - oldest, to - oldest);
        let new = range(bytes, from - key, to - key);
        if old != new {
            self.conflicts = self.conflicts.saturating_add(1);
            self.gaps = self.gaps.saturating_add(1);
            out.gap(direction, 0, Gap::Conflict);
        }
    }

    /// Keeps delivered bytes for comparison with second copies.
    fn remember(&mut self, bytes: &[u8], limits: &Limits) {
        let backlog = self.backlog.get_or_insert_default();
        let unacknowledged = usize::try_from(self.next.saturating_sub(self.acked)).unwrap_or(usize::MAX);
        let keep = unacknowledged.clamp(limits.recalled as usize, (limits.unacknowledged as usize).max(1));
        let keep = keep.max(1);
        let history = &mut backlog.history;
        if bytes.len() >= keep {
            history.clear();
            history.extend_from_slice(&bytes[bytes.len() - keep..]);
        } else {
            // Twice the bound before anything moves: a byte moves once on average.
            if history.len() + bytes.len() > keep * 2 {
                history.drain(..history.len() + bytes.len() - keep);
            }
            history.extend_from_slice(bytes);
        }
        if history.capacity() > history.len() * 4 + 1024 {
            history.shrink_to(history.len() * 2);
        }
    }

    fn forget_history(&mut self) {
        if let Some(backlog) = &mut self.backlog {
            backlog.history.clear();
        }
    }

    fn tell_gap(&mut self, direction: Direction, length: u64, why: Gap, out: &mut impl Delivery) {
        self.gaps = self.gaps.saturating_add(1);
        self.missing += length;
        out.gap(direction, length, why);
    }

    /// Hands on everything whose turn has come.
    pub(super) fn advance(
        &mut self,
        at: Moment<'_>,
        press: Press,
        opposite: &Self,
        direction: Direction,
        out: &mut impl Delivery,
    ) {
        while let Some(backlog) = &mut self.backlog {
            let Some((first, run)) = backlog.held.first() else {
                backlog.waiting = None;
                break;
            };
            let over = press == Press::Now
                || backlog.waiting.is_some_and(|since| at.patience_over(since))
                || backlog.held.cost() > at.limits.held as usize;
            if !self.started {
                // Still waiting for the SYN; the flow decides how long.
                backlog.waiting.get_or_insert((at.segments, at.time));
                backlog.held.shrink_to(at.limits.held as usize);
                break;
            }
            if first == self.next {
                if run.on_syn && self.acked < first + run_length(run) {
                    break;
                }
                if let Content::Missing(_, why) = run.content
                    && why != Gap::Conflict
                    && !(over || self.acked > first)
                {
                    backlog.waiting.get_or_insert((at.segments, at.time));
                    break;
                }
                if matches!(run.mark, Mark::At(_)) && !opposite.started && !over {
                    backlog.waiting.get_or_insert((at.segments, at.time));
                    break;
                }
                let Some((_, run)) = backlog.held.pop_first() else { break };
                backlog.waiting = None;
                match run.content {
                    Content::Bytes(bytes) => {
                        out.data(direction, &bytes, opposite.covered(run.mark));
                        self.next += bytes.len() as u64;
                        self.remember(&bytes, at.limits);
                    }
                    Content::Missing(length, why) => {
                        self.next += length;
                        self.forget_history();
                        self.tell_gap(direction, length, why, out);
                    }
                }
                continue;
            }
            // A hole. Only what the receiver has, or what the source says it lost, will certainly not come.
            let gone = self.acked >= first || self.lossy;
            if gone && over {
                let why = if backlog.held.overflowed(self.next, first) {
                    Gap::Overflow
                } else if self.lossy {
                    Gap::Lost
                } else {
                    Gap::Unseen
                };
                let length = first - self.next;
                self.next = first;
                self.lossy = false;
                self.forget_history();
                self.tell_gap(direction, length, why, out);
                continue;
            }
            backlog.waiting.get_or_insert((at.segments, at.time));
            if backlog.held.cost() > at.limits.held as usize {
                backlog.held.shrink_to(at.limits.held as usize);
                continue;
            }
            break;
        }
        self.advance_to_end(press, direction, out);
    }

    /// What is missing behind the last bytes held, and the end itself.
    fn advance_to_end(&mut self, press: Press, direction: Direction, out: &mut impl Delivery) {
        if !self.started || self.stopped || self.ended {
            return;
        }
        let end = if self.fin == 0 { self.acked } else { self.acked.min(self.fin) };
        if press == Press::Now && end > self.next {
            let length = end - self.next;
            let overflowed =
                self.backlog.as_ref().is_some_and(|backlog| backlog.held.overflowed(self.next, end));
            let why = if overflowed {
                Gap::Overflow
            } else if self.lossy {
                Gap::Lost
            } else {
                Gap::Unseen
            };
            self.next = end;
            self.forget_history();
            self.tell_gap(direction, length, why, out);
        }
        if self.fin != 0 && self.next == self.fin && (self.fin_acknowledged() || press == Press::Now) {
            self.ended = true;
            out.end(direction, End::Fin);
        }
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

    /// What came on the SYN was not accepted.
    pub(super) fn refuse_on_syn(&mut self) {
        if self.acknowledged
            && self.acked == self.zero
            && let Some(backlog) = &mut self.backlog
        {
            backlog.held.remove_on_syn();
        }
    }

    /// The key of the highest place that a believed segment reached.
    pub(super) const fn reached(&self) -> u64 {
        self.reached
    }

    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    pub(super) const fn acked(&self) -> u64 {
        self.acked
    }
}

fn run_length(run: &Run) -> u64 {
    match &run.content {
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::Missing(length, _) => *length,
    }
}

/// `bytes[from..to]`, empty where that lies outside.
fn range(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(index(from)..index(to)).unwrap_or_default()
}
