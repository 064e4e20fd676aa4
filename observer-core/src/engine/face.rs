//! One face under analysis: its TCP state and, until enough is known, its conversation.

use super::{Closed, FaceKey, Origin};
use crate::event::MissingBytes;
use crate::flow::{Delivery, Direction, End, Flow, Gap, Segment};
use crate::protocol::{Conversation, Dissector, Facts, Progress};
use crate::security::Reason;
use crate::time::Timestamp;

/// How far the analysis of a face has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No payload seen.
    Silent,
    /// Payload seen, verdict open. `since` is the time of the first payload.
    Talking { since: Timestamp },
    /// The verdict was reported.
    Classified,
}

/// One face.
#[derive(Debug)]
pub(super) struct Face {
    pub(super) key: FaceKey,
    pub(super) opened: Timestamp,
    pub(super) origin: Origin,
    pub(super) stage: Stage,
    pub(super) flow: Flow,
    /// Gone once nothing more can be learned.
    pub(super) conversation: Option<Box<Conversation>>,
    pub(super) missing: MissingBytes,
    pub(super) numbers_told: bool,
    /// The source's account of the end, which waits for segments that it overtook.
    pub(super) closed: Option<Closed>,
    /// What `held` was when it was last added to the engine's sum.
    pub(super) accounted: usize,
}

impl Face {
    pub(super) fn held(&self) -> usize {
        self.flow.held() + self.conversation.as_ref().map_or(0, |conversation| conversation.held())
    }

    /// Takes in one segment and tells how far that brought the verdict.
    pub(super) fn segment(&mut self, direction: Direction, segment: &Segment<'_>) -> Progress {
        let Some(conversation) = &mut self.conversation else {
            self.flow.segment(direction, segment, &mut Deaf);
            return Progress::Decided;
        };
        let mut ear = Ear { conversation, progress: None, missing: &mut self.missing };
        self.flow.segment(direction, segment, &mut ear);
        ear.progress.unwrap_or(Progress::Undecided)
    }

    /// Declares everything that has not come by now as missing.
    pub(super) fn finish(&mut self) {
        if let Some(conversation) = &mut self.conversation {
            let mut ear = Ear { conversation, progress: None, missing: &mut self.missing };
            self.flow.finish(&mut ear);
        }
    }

    /// No verdict will be waited for any longer.
    pub(super) fn conclude(&mut self, reason: Reason) {
        if let Some(conversation) = &mut self.conversation {
            conversation.conclude(reason);
        }
    }

    pub(super) fn facts(&self) -> Option<Box<Facts>> {
        self.conversation.as_ref().map(|conversation| Box::new(conversation.facts()))
    }

    /// The analysis of the streams is over; from now on the flow only counts.
    pub(super) fn stop(&mut self) {
        self.conversation = None;
        self.flow.stop_delivery();
    }
}

/// Where the streams of a face go that nobody listens to any more.
struct Deaf;

impl Delivery for Deaf {
    fn data(&mut self, _: Direction, _: &[u8], _: u64) {}
    fn gap(&mut self, _: Direction, _: u64, _: Gap) {}
    fn end(&mut self, _: Direction, _: End) {}
}

/// Hands the streams to the conversation and remembers the last answer.
struct Ear<'a> {
    conversation: &'a mut Conversation,
    progress: Option<Progress>,
    missing: &'a mut MissingBytes,
}

impl Delivery for Ear<'_> {
    fn data(&mut self, direction: Direction, bytes: &[u8], acked: u64) {
        self.progress = Some(self.conversation.data(direction, bytes, acked));
    }

    fn gap(&mut self, direction: Direction, length: u64, why: Gap) {
        self.missing.gaps = self.missing.gaps.saturating_add(1);
        self.missing.bytes = self.missing.bytes.saturating_add(length);
        self.progress = Some(self.conversation.gap(direction, length, why));
    }

    fn end(&mut self, direction: Direction, end: End) {
        self.progress = Some(self.conversation.end(direction, end));
    }
}
