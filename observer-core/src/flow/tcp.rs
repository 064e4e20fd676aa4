//! The TCP state of one face: segments in, two byte streams and the connection's facts out.

use super::held::Mark;
use super::moment::{Moment, Press};
use super::stream::{Piece, Stream};
use super::{Delivery, Direction, Flags, Limits, Segment, Sent};
use crate::engine::Ending;
use crate::time::Timestamp;

/// What is known of a flow's beginning when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Its SYN was seen, or may still come (packets change places): nothing is delivered from a direction whose
    /// beginning is not known until the patience of [`Limits`] is over.
    Awaited,
    /// Its beginning was certainly missed: the streams begin with the first bytes seen.
    Missed,
}

/// One TCP flow.
///
/// **What is believed.** A segment counts if its place and its acknowledgement lie within 64 MiB of what the
/// receiver of each has (RFC 9293, section 3.10.7.4, with a bound in place of the advertised window, which a source
/// need not know). One that lies further ahead counts once the other side acknowledges that place. An acknowledgement
/// of more than was sent counts once the sender gets there, or at the end. A reset counts
/// if it lies between what the receiver acknowledged and what the sender sent (RFC 5961, section 3.2, is stricter
/// and would be wrong on a capture with holes), and is taken back when its sender goes on.
///
/// **What is delivered.** Bytes in order, each place once: the first copy. A second copy is compared as far as the
/// first is still there; checksums are the source's affair. A hole is told only when the receiver has acknowledged
/// the place behind it (or the source said that it lost something) and the patience or a bound is reached.
#[derive(Debug)]
pub struct Flow {
    streams: [Stream; 2],
    opened: Timestamp,
    last: Timestamp,
    segments: u32,
    limits: Limits,
    opening: Opening,
    syn_repeats: u16,
    syn_answered: bool,
    established: bool,
    refused: bool,
    concluded: bool,
    /// Who reset the flow, and the place of the reset in its stream.
    reset: Option<(Direction, u64)>,
    after_reset: u8,
}

impl Flow {
    /// A flow of which nothing was seen yet.
    #[must_use]
    pub fn new(opening: Opening, time: Timestamp, limits: Limits) -> Self {
        Self {
            streams: Default::default(),
            opened: time,
            last: time,
            segments: 0,
            limits,
            opening,
            syn_repeats: 0,
            syn_answered: false,
            established: false,
            refused: false,
            concluded: false,
            reset: None,
            after_reset: 0,
        }
    }

    /// The sequence number of the SYN in `direction`, from a source that knows it without the segment.
    pub fn begin(&mut self, direction: Direction, isn: u32, out: &mut impl Delivery) {
        self.streams[direction.index()].synchronise(isn.wrapping_add(1));
        self.advance(Press::Wait, out);
    }

    /// A segment was seen.
    pub fn segment(&mut self, direction: Direction, segment: &Segment<'_>, out: &mut impl Delivery) {
        self.segments = self.segments.wrapping_add(1);
        self.last = self.last.max(segment.time);
        let flags = segment.flags;
        let syn = flags.contains(Flags::SYN);
        let acks = flags.contains(Flags::ACK);
        if flags.contains(Flags::RST) {
            self.take_reset(direction, segment, acks);
            return;
        }
        let first = if syn { segment.seq.wrapping_add(1) } else { segment.seq };
        if syn && !self.take_syn(direction, first, acks) {
            return;
        }
        let limits = self.limits;
        let at = Moment { segments: self.segments, time: segment.time, limits: &limits };
        let [to_server, to_client] = &mut self.streams;
        let (own, opposite) = match direction {
            Direction::ToServer => (to_server, to_client),
            Direction::ToClient => (to_client, to_server),
        };
        own.anchor(first);
        let mut key = own.key(first);
        let length = u64::from(segment.len);
        let fin = flags.contains(Flags::FIN);
        if !own.believable(key, key + length) {
            if own.started() {
                own.stray(first.wrapping_add(segment.len));
                return;
            }
            own.anchor_anew(first);
            key = own.key(first);
        }
        if acks && !opposite.acknowledge(segment.ack) {
            opposite.acknowledge_beyond(segment.ack, out, direction.reversed());
            if !opposite.started() {
                opposite.anchor_anew(segment.ack);
                opposite.acknowledge(segment.ack);
            } else if !opposite.acknowledge(segment.ack) {
                own.ignored();
                return;
            }
        }
        if self.opening == Opening::Missed {
            if !own.started() {
                own.begin_midway(Some(first));
            }
            if acks && !opposite.started() {
                opposite.begin_midway(None);
            }
        }
        if syn {
            opposite.refuse_on_syn();
            if length > 0 && !acks {
                own.take_on_syn(segment.payload, length);
                own.refuse_on_syn();
            }
        }
        if !syn || acks {
            if length > 0 {
                if !own.unfinish(key + length) {
                    own.conflict();
                    return;
                }
                let mark = if acks { Mark::At(segment.ack) } else { Mark::Unknown };
                let piece = Piece { key, length, bytes: segment.payload, mark };
                own.take(piece, at, opposite, direction, out);
            }
            if fin && !own.finish_at(key + length) {
                own.conflict();
            }
        }
        if direction == Direction::ToServer && acks && opposite.started() && opposite.acknowledged() {
            self.established = true;
        }
        self.doubt_reset(direction, key + length);
        self.begin_after_patience(segment.time, out);
        self.advance(Press::Wait, out);
    }

    /// False if the SYN contradicts what is known and the segment has to be ignored.
    fn take_syn(&mut self, direction: Direction, first: u32, acks: bool) -> bool {
        let stream = &mut self.streams[direction.index()];
        let again = stream.isn().is_some();
        if !stream.synchronise(first) {
            stream.ignored();
            return false;
        }
        if again && !acks {
            self.syn_repeats = self.syn_repeats.saturating_add(1);
        }
        if acks {
            self.syn_answered = true;
        }
        true
    }

    fn take_reset(&mut self, direction: Direction, segment: &Segment<'_>, acks: bool) {
        let opposite = &self.streams[direction.reversed().index()];
        if !self.syn_answered && direction == Direction::ToClient && acks && !self.established {
            // The answer to a SYN: it has no place of its own, its acknowledgement counts (RFC 9293, section 3.10.7.3).
            if opposite.answers_syn(segment.ack) {
                self.refused = true;
                self.reset = Some((direction, 0));
                return;
            }
        }
        let stream = &mut self.streams[direction.index()];
        stream.anchor(segment.seq);
        let key = stream.key(segment.seq);
        if !stream.resets_at(key) {
            stream.ignored();
            return;
        }
        if self.reset.is_none() {
            self.reset = Some((direction, key));
            self.after_reset = 0;
        }
    }

    /// Whoever goes on after a reset did not send it.
    fn doubt_reset(&mut self, direction: Direction, end: u64) {
        if let Some((by, key)) = self.reset
            && by == direction
        {
            self.after_reset = self.after_reset.saturating_add(1);
            if end > key || self.after_reset >= 3 {
                self.reset = None;
                self.refused = false;
            }
        }
    }

    /// Begins midway what waited for its SYN long enough.
    fn begin_after_patience(&mut self, time: Timestamp, out: &mut impl Delivery) {
        if self.streams.iter().all(Stream::started) {
            return;
        }
        let limits = self.limits;
        let at = Moment { segments: self.segments, time, limits: &limits };
        let due = |stream: &Stream| {
            stream.waiting().is_some_and(|since| at.patience_over(since))
                || stream.held() > limits.held as usize
        };
        if self.streams.iter().any(due) {
            self.begin_midway(out);
        }
    }

    fn begin_midway(&mut self, out: &mut impl Delivery) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let stream = &mut self.streams[direction.index()];
            if !stream.started() && stream.anchored() {
                stream.begin_midway(None);
                if stream.started() {
                    stream.tell_missing_beginning(direction, out);
                }
            }
        }
    }

    fn advance(&mut self, press: Press, out: &mut impl Delivery) {
        if press == Press::Wait && self.streams.iter().all(Stream::is_at_rest) {
            return;
        }
        let limits = self.limits;
        let at = Moment { segments: self.segments, time: self.last, limits: &limits };
        let [to_server, to_client] = &mut self.streams;
        to_server.advance(at, press, to_client, Direction::ToServer, out);
        to_client.advance(at, press, to_server, Direction::ToClient, out);
    }

    /// Declares now whatever waits for patience alone: the verdict's time is up, or the source goes quiet.
    pub fn press(&mut self, out: &mut impl Delivery) {
        self.begin_midway(out);
        self.advance(Press::Now, out);
    }

    /// The observation ends: declares what is missing and delivers what is left. Nothing is delivered after this.
    pub fn finish(&mut self, out: &mut impl Delivery) {
        if self.concluded {
            return;
        }
        self.concluded = true;
        self.press(out);
        for direction in [Direction::ToServer, Direction::ToClient] {
            let stream = &mut self.streams[direction.index()];
            if self.reset.is_some() {
                stream.end_by_reset(direction, out);
            }
            stream.stop();
        }
    }

    /// The source lost something of `direction`: the next hole there is told as [`super::Gap::Lost`], without waiting for
    /// the receiver to acknowledge it.
    pub fn lost(&mut self, direction: Direction) {
        self.streams[direction.index()].lost();
    }

    /// The next `length` bytes of `direction` are not wanted: those that do not come are told as [`super::Gap::Skipped`]
    /// as soon as something comes behind them.
    pub fn skip(&mut self, direction: Direction, length: u64) {
        self.streams[direction.index()].skip(length);
    }

    /// The sequence number of the next byte of `direction` that is wanted; `None` if it is not known where the direction
    /// stands.
    #[must_use]
    pub fn wanted_from(&self, direction: Direction) -> Option<u32> {
        self.streams[direction.index()].wanted_from()
    }

    /// No more bytes are wanted in `direction`: from here on the flow only counts, and holds nothing.
    pub fn stop(&mut self, direction: Direction) {
        self.streams[direction.index()].stop();
    }

    /// Whether [`Flow::stop`] was called for both directions.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.streams.iter().all(Stream::stopped)
    }

    /// The provisional direction was the wrong one. False, and nothing changes, if bytes were delivered already.
    pub fn reverse(&mut self) -> bool {
        if self.streams.iter().any(Stream::started) {
            return false;
        }
        self.streams.reverse();
        self.reset = self.reset.map(|(by, key)| (by.reversed(), key));
        true
    }

    /// Heap bytes held. Constant time.
    #[must_use]
    pub fn held(&self) -> usize {
        self.streams[0].held() + self.streams[1].held()
    }

    /// What the packets showed of `direction`.
    #[must_use]
    pub fn sent(&self, direction: Direction) -> Sent {
        self.streams[direction.index()].sent()
    }

    /// Whether SYN, SYN-ACK and the acknowledgement of the latter were seen.
    #[must_use]
    pub fn established(&self) -> bool {
        self.established && self.streams.iter().all(|stream| stream.isn().is_some())
    }

    /// When the first segment was seen.
    #[must_use]
    pub const fn opened(&self) -> Timestamp {
        self.opened
    }

    /// When the last segment was seen.
    #[must_use]
    pub const fn last_seen(&self) -> Timestamp {
        self.last
    }

    /// How the flow ended, as far as the packets show it; [`Ending::StillOpen`] if they do not.
    #[must_use]
    pub fn ending(&self) -> Ending {
        let [to_server, to_client] = &self.streams;
        let finished = [
            to_server.finished() || to_server.missed_fin(to_client),
            to_client.finished() || to_client.missed_fin(to_server),
        ];
        match (self.reset, finished) {
            (Some(_), _) if self.refused => Ending::Refused,
            (_, [true, true]) => Ending::Finished,
            (Some((Direction::ToServer, _)), _) => Ending::ResetByClient,
            (Some((Direction::ToClient, _)), _) => Ending::ResetByServer,
            (None, [true, false]) => Ending::HalfClosedByClient,
            (None, [false, true]) => Ending::HalfClosedByServer,
            (None, [false, false]) if self.syn_repeats > 0 && !self.syn_answered && !self.established => {
                Ending::TimedOut
            }
            (None, [false, false]) => Ending::StillOpen,
        }
    }

    /// Whether both FINs are acknowledged or the flow was reset: only stragglers follow.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.reset.is_some() || self.streams.iter().all(Stream::fin_acknowledged)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
