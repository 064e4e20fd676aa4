//! What the receiver has, and where the stream ends.

use super::super::{Delivery, Direction, Gap};
use super::Stream;

/// How near to a stray segment an acknowledgement has to be for both to be believed.
const AGREEMENT: u32 = 1 << 20;

impl Stream {
    /// The other side acknowledged up to `ack`. False if that cannot be.
    ///
    /// An acknowledgement of something that the sender is not known to have sent counts once the sender gets there: it
    /// comes before its bytes in a capture that is out of order, and instead of them in one with holes. A forged one
    /// thus makes no gap in what is being sent; at the end of the observation it makes one behind it.
    pub(in super::super) fn acknowledge(&mut self, ack: u32) -> bool {
        self.anchor(ack);
        let key = self.key(ack);
        if !self.believable(key, key) {
            return false;
        }
        self.acknowledged = true;
        if key > self.known_end() {
            self.claimed = key;
        } else {
            self.acked = self.acked.max(key);
        }
        true
    }

    /// An acknowledgement that [`Stream::acknowledge`] refused: if it agrees with a segment that was too far ahead,
    /// both are right and a great deal in between was not seen.
    pub(in super::super) fn acknowledge_beyond(
        &mut self,
        ack: u32,
        out: &mut impl Delivery,
        direction: Direction,
    ) {
        let Some(beyond) = self.trouble.as_mut().and_then(|trouble| trouble.beyond.take()) else { return };
        if !self.started || ack.wrapping_sub(beyond).cast_signed().unsigned_abs() > AGREEMENT {
            return;
        }
        // Ahead, that is; a place behind would be a jump of almost 4 GiB.
        let Ok(skipped) = u64::try_from(beyond.wrapping_sub(self.seq(self.next)).cast_signed()) else {
            return;
        };
        self.next += skipped;
        self.acked = self.acked.max(self.next);
        self.fin = 0;
        self.claimed = 0;
        self.reach(self.next);
        self.backlog = None;
        if !self.stopped && !self.ended {
            self.backlog.get_or_insert_default().history.forget(self.next);
            self.tell_gap(direction, skipped, Gap::Unseen, out);
        }
    }

    /// The sender got as far as `key`.
    pub(super) fn reach(&mut self, key: u64) {
        self.reached = self.reached.max(key);
        self.settle_claim();
    }

    fn settle_claim(&mut self) {
        if self.claimed != 0 && self.claimed <= self.known_end() {
            self.acked = self.acked.max(self.claimed);
            self.claimed = 0;
        }
    }

    /// The highest place that the sender is known to have reached; its FIN takes one (RFC 9293, section 3.4).
    fn known_end(&self) -> u64 {
        self.reached.max(if self.fin == 0 { 0 } else { self.fin + 1 })
    }

    /// The last byte lies before `key`. False if that contradicts what is known.
    pub(in super::super) fn finish_at(&mut self, key: u64) -> bool {
        if self.fin == key {
            return true;
        }
        if self.fin != 0 || key < self.next || (self.acknowledged && key < self.acked.min(self.reached)) {
            return false;
        }
        self.fin = key;
        self.settle_claim();
        true
    }

    /// Bytes past the place of a FIN: a FIN that the receiver never acknowledged was not one.
    pub(in super::super) fn unfinish(&mut self, end: u64) -> bool {
        if self.fin == 0 || end <= self.fin {
            return true;
        }
        if self.fin_acknowledged() || self.ended {
            return false;
        }
        self.fin = 0;
        true
    }

    /// A FIN was seen, and everything before it arrived or was acknowledged.
    pub(in super::super) fn finished(&self) -> bool {
        self.fin != 0 && (self.next >= self.fin || self.acked > self.fin)
    }

    pub(in super::super) fn fin_acknowledged(&self) -> bool {
        self.fin != 0 && self.acked > self.fin
    }

    /// Just one sequence number behind everything that was sent is acknowledged and was not seen: a single byte, or a
    /// FIN.
    fn one_more(&self) -> bool {
        self.fin == 0 && self.claimed == self.reached + 1
    }

    /// Whether the FIN was missed: one sequence number more than was seen is acknowledged, and the other direction ended
    /// too, or looks the same.
    pub(in super::super) fn missed_fin(&self, opposite: &Self) -> bool {
        self.one_more() && (opposite.fin != 0 || opposite.one_more())
    }

    pub(in super::super) const fn acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// What came on the SYN was not accepted.
    pub(in super::super) fn refuse_on_syn(&mut self) {
        if self.acknowledged
            && self.acked == self.zero
            && let Some(backlog) = &mut self.backlog
        {
            backlog.held.remove_on_syn();
        }
    }

    /// Whether a reset at `key` can be of this sender: between what the receiver took and what may have been sent.
    pub(in super::super) fn resets_at(&self, key: u64) -> bool {
        let from = if self.acknowledged { self.acked.min(self.next) } else { self.next };
        let to = self.reached.max(self.acked).max(self.claimed) + 1;
        !self.started || (from..=to).contains(&key)
    }

    /// Whether an acknowledgement of `ack` can answer the SYN: that alone, or some of the bytes on it.
    pub(in super::super) fn answers_syn(&self, ack: u32) -> bool {
        let key = self.key(ack);
        self.synchronised && (self.zero..=self.reached + 1).contains(&key)
    }
}
