//! What may be handed on, and what is given up.

use super::super::held::{Content, Mark};
use super::super::moment::{Moment, Press};
use super::super::{Delivery, Direction, End, Gap};
use super::Stream;

/// What to do with the first thing that is held.
enum Turn {
    /// Its turn has come.
    Now,
    /// What lies before it will not come.
    Skip,
    /// It has to wait.
    Wait,
}

impl Stream {
    /// Whether nothing is held whose turn could come, and no end was seen.
    #[inline]
    pub(in super::super) fn is_at_rest(&self) -> bool {
        self.fin == 0 && self.backlog.as_ref().is_none_or(|backlog| backlog.held.is_empty())
    }

    /// Hands on everything whose turn has come.
    #[inline]
    pub(in super::super) fn advance(
        &mut self,
        at: Moment<'_>,
        press: Press,
        opposite: &Self,
        direction: Direction,
        out: &mut impl Delivery,
    ) {
        if self.backlog.as_ref().is_some_and(|backlog| !backlog.held.is_empty()) {
            self.advance_held(at, press, opposite, direction, out);
        }
        if self.fin != 0 || press == Press::Now {
            self.advance_to_end(press, opposite, direction, out);
        }
    }

    fn advance_held(
        &mut self,
        at: Moment<'_>,
        press: Press,
        opposite: &Self,
        direction: Direction,
        out: &mut impl Delivery,
    ) {
        loop {
            let Some(backlog) = &mut self.backlog else { return };
            // What lies before the next place was handed on, or told as missing, since it was held.
            if self.started && backlog.held.first().is_some_and(|(first, _)| first < self.next) {
                backlog.held.forget_below(self.next);
            }
            let turn = self.turn(at, press, opposite);
            let Some(backlog) = &mut self.backlog else { return };
            match turn {
                Some((first, _)) if self.started && first.min(backlog.wanted) > self.next => {
                    let end = first.min(backlog.wanted);
                    self.skip_to(end, Gap::Skipped, direction, out);
                }
                None => {
                    backlog.waiting = None;
                    return;
                }
                Some((first, Turn::Skip)) => {
                    let why = self.reason(first);
                    self.lossy = false;
                    self.skip_to(first, why, direction, out);
                }
                Some((_, Turn::Wait)) => {
                    backlog.waiting.get_or_insert(at.mark());
                    if backlog.held.cost() <= at.limits.held as usize {
                        return;
                    }
                    backlog.held.shrink_to(at.limits.held as usize);
                    if !self.started {
                        return;
                    }
                }
                Some((first, Turn::Now)) => {
                    let Some((_, run)) = backlog.held.pop_first() else { return };
                    backlog.waiting = None;
                    match run.content {
                        Content::Bytes(bytes) => {
                            out.data(direction, &bytes, opposite.covered(run.mark));
                            self.next += bytes.len() as u64;
                            let pending = self.next.saturating_sub(self.acked);
                            backlog.history.remember(&bytes, pending, at.limits);
                        }
                        Content::Missing(length, why) => {
                            let why = if first + length <= backlog.wanted { Gap::Skipped } else { why };
                            self.skip_to(first + length, why, direction, out);
                        }
                    }
                }
            }
        }
    }

    /// The place of the first thing held, and what to do with it.
    fn turn(&self, at: Moment<'_>, press: Press, opposite: &Self) -> Option<(u64, Turn)> {
        let backlog = self.backlog.as_ref()?;
        let (first, run) = backlog.held.first()?;
        if !self.started {
            // Still waiting for the SYN; the flow decides how long.
            return Some((first, Turn::Wait));
        }
        let over = press == Press::Now
            || backlog.waiting.is_some_and(|since| at.patience_over(since))
            || backlog.held.cost() > at.limits.held as usize;
        let turn = if first != self.next {
            // A hole. Only what the receiver has, or what the source says it lost, will certainly not come. At the end an
            // acknowledgement of bytes that were never seen counts too: what is held lies before them.
            let acked = if press == Press::Now { self.acked.max(self.claimed) } else { self.acked };
            if over && (acked >= first || self.lossy) { Turn::Skip } else { Turn::Wait }
        } else if run.on_syn && self.acked < first + run.len() {
            Turn::Wait
        } else if let Content::Missing(_, why) = run.content
            && why != Gap::Conflict
        {
            let unwanted = first + run.len() <= backlog.wanted;
            if over || unwanted || self.acked > first { Turn::Now } else { Turn::Wait }
        } else if matches!(run.mark, Mark::At(_)) && !opposite.started && !over {
            Turn::Wait
        } else {
            Turn::Now
        };
        Some((first, turn))
    }

    /// What is missing behind the last bytes held, and the end itself.
    fn advance_to_end(
        &mut self,
        press: Press,
        opposite: &Self,
        direction: Direction,
        out: &mut impl Delivery,
    ) {
        if !self.started || self.stopped || self.ended {
            return;
        }
        if press == Press::Now && self.missed_fin(opposite) {
            self.finish_at(self.reached);
        }
        let end = self.acked.max(self.claimed);
        let end = if self.fin == 0 { end } else { end.min(self.fin) };
        let unwanted = self.wanted().min(end);
        if press == Press::Now && unwanted > self.next {
            self.reach(unwanted);
            self.skip_to(unwanted, Gap::Skipped, direction, out);
        }
        if press == Press::Now && end > self.next {
            let why = self.reason(end);
            self.reach(end);
            self.skip_to(end, why, direction, out);
        }
        if self.fin != 0 && self.next == self.fin && (self.fin_acknowledged() || press == Press::Now) {
            self.ended = true;
            out.end(direction, End::Fin);
            // What lies behind the FIN was never sent by who sent that.
            if let Some(backlog) = &mut self.backlog {
                backlog.held.forget_below(u64::MAX);
                backlog.waiting = None;
            }
        }
    }

    /// Why nothing came between the next place and `to`.
    fn reason(&self, to: u64) -> Gap {
        let overflowed = self.backlog.as_ref().is_some_and(|backlog| backlog.held.overflowed(self.next, to));
        if overflowed {
            Gap::Overflow
        } else if self.lossy {
            Gap::Lost
        } else {
            Gap::Unseen
        }
    }

    fn skip_to(&mut self, key: u64, why: Gap, direction: Direction, out: &mut impl Delivery) {
        let length = key - self.next;
        self.next = key;
        self.backlog.get_or_insert_default().history.forget(key);
        self.tell_gap(direction, length, why, out);
    }
}
