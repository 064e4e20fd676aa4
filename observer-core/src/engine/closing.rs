//! How faces end.

use super::face::Stage;
use super::run::{Engine, List, tell_requests};
use super::{Closed, Ending, FaceKey, Report};
use crate::flow::Direction;
use crate::protocol::Progress;
use crate::security::Reason;
use crate::time::Timestamp;

impl Engine {
    /// The observation ends: every face that is still open is told as such.
    pub fn finish(&mut self, now: Timestamp, out: &mut impl FnMut(Report)) {
        self.now = self.now.max(now);
        for list in [List::Closing, List::Settled, List::Reading, List::Talking, List::Silent] {
            while let Some(index) = self.faces.oldest(list) {
                if let Some(face) = self.faces.value(index)
                    && face.closed.is_none()
                {
                    face.closed = Some(Box::new(still_open(face.key, self.now)));
                }
                self.close(index, out);
            }
        }
    }

    /// Both FINs or a reset went by. The source may have more to say; if it has not by the end of the linger, the packets'
    /// account stands.
    pub(super) fn end_by_packets(
        &mut self,
        index: u32,
        time: Timestamp,
        ending: Ending,
        out: &mut impl FnMut(Report),
    ) {
        let Some(face) = self.faces.value(index) else { return };
        let closed = Closed {
            key: face.key,
            time,
            ending: Some(ending),
            bytes_to_server: None,
            bytes_to_client: None,
        };
        self.closed(index, closed, out);
    }

    pub(super) fn closed(&mut self, index: u32, closed: Closed, out: &mut impl FnMut(Report)) {
        self.now = self.now.max(closed.time);
        let Some(face) = self.faces.value(index) else { return };
        match &mut face.closed {
            None => face.closed = Some(Box::new(closed)),
            Some(known) => {
                known.ending = closed.ending.or(known.ending);
                known.bytes_to_server = closed.bytes_to_server.or(known.bytes_to_server);
                known.bytes_to_client = closed.bytes_to_client.or(known.bytes_to_client);
                return;
            }
        }
        if self.limits.linger.is_zero() {
            self.close(index, out);
        } else {
            self.faces.put_last(index, List::Closing);
        }
    }

    pub(super) fn evict(&mut self, index: u32, out: &mut impl FnMut(Report)) {
        if let Some(face) = self.faces.value(index)
            && face.closed.is_none()
        {
            let closed = Closed { ending: Some(Ending::Evicted), ..still_open(face.key, self.now) };
            face.closed = Some(Box::new(closed));
        }
        self.close(index, out);
    }

    /// Tells the end of a face and forgets it.
    pub(super) fn close(&mut self, index: u32, out: &mut impl FnMut(Report)) {
        let Some(mut face) = self.faces.remove(index) else { return };
        self.index.remove(&face.key);
        self.held = self.held.saturating_sub(face.accounted as usize);
        face.finish();
        // Bytes that waited for others may have brought the verdict just now.
        let decided = face.progress != Progress::Undecided;
        let closed = face.closed.take().map_or_else(|| still_open(face.key, self.now), |closed| *closed);
        let ending = match (closed.ending, face.ending()) {
            (Some(Ending::StillOpen), seen) => seen,
            (Some(told), _) => told,
            // The source says that it is over; the packets do not say how.
            (None, Ending::StillOpen) => Ending::Unknown,
            (None, seen) => seen,
        };
        let reason = match ending {
            Ending::StillOpen => Some(Reason::StillOpen),
            Ending::Evicted => Some(Reason::Evicted),
            _ => None,
        };
        let was_silent = face.stage == Stage::Silent;
        if !decided {
            face.conclude(reason.unwrap_or(if was_silent { Reason::NoData } else { Reason::TooLittleData }));
        }
        tell_requests(&mut face, closed.time, out);
        let mut facts = face.facts(&mut self.memory);
        if face.stage != Stage::Classified
            && let Some(facts) = facts.take()
        {
            out(Report::Classified { key: face.key, time: closed.time, facts });
        }
        out(Report::Closed {
            key: face.key,
            time: closed.time,
            ending,
            bytes_to_server: closed.bytes_to_server.unwrap_or_else(|| face.bytes(Direction::ToServer)),
            bytes_to_client: closed.bytes_to_client.unwrap_or_else(|| face.bytes(Direction::ToClient)),
            facts,
            missing: face.missing(),
            reason,
        });
    }
}

const fn still_open(key: FaceKey, time: Timestamp) -> Closed {
    Closed { key, time, ending: Some(Ending::StillOpen), bytes_to_server: None, bytes_to_client: None }
}
