//! One face under analysis: its TCP state and, until enough is known, its conversation.

use super::hellos::{Hello, Hellos};
use super::tls_facts::Memory;
use super::{Closed, Ending, FaceKey, Facts, Origin, Role};
use crate::event::MissingBytes;
use crate::flow::{self, Delivery, Direction, End, Flags, Flow, Gap, Opening, Segment};
use crate::protocol::http::Request;
use crate::protocol::{Conversation, Dissector, Progress, Verdict};
use crate::security::{Reason, Security};
use crate::time::Timestamp;

/// Segments of a face without a handshake that are told for their numbers: the first can be one that passed this end
/// before the other end was watched.
const PASSING: u8 = 8;

/// How far the reading of requests goes on before the source is told again, and the shortest rest of a body that it is
/// told to pass over, bytes.
const STEP: u32 = 16 << 10;

/// Bytes to the server after which the source is told to copy requests alone even if nothing was answered.
const ASKED: u64 = 4 << 10;

/// How far ahead the source is told at most, bytes: sequence numbers are compared modulo 2^32.
const FURTHEST: u64 = 1 << 30;

/// How far the analysis of a face has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No payload seen.
    Silent,
    /// Payload seen, verdict open.
    Talking,
    /// The verdict was reported.
    Classified,
}

/// What was seen of a face's segments.
#[derive(Debug)]
enum Seen {
    /// All that is kept of them.
    Flow(Box<Flow>),
    /// Another face of the connection shows them: of this one the initial sequence numbers count, the client's first.
    Elsewhere([Option<u32>; 2]),
}

/// The reading of a face's streams.
#[derive(Debug)]
pub(super) enum Talk {
    /// Nothing was delivered yet. Whether the beginning was seen shows only with the first bytes: a handshake may be
    /// seen late.
    Unspoken,
    /// It is being read.
    Read(Box<Conversation>),
    /// Nothing more can be learned.
    Over,
}

/// One face.
#[derive(Debug)]
pub(super) struct Face {
    pub(super) key: FaceKey,
    /// When it was opened; from the first payload on, when that came.
    pub(super) since: Timestamp,
    pub(super) stage: Stage,
    /// How far the conversation is.
    pub(super) progress: Progress,
    missing: Option<Box<MissingBytes>>,
    /// Both initial sequence numbers were reported.
    pub(super) numbers_told: bool,
    /// The source's account of the end, which waits for segments that it overtook.
    pub(super) closed: Option<Box<Closed>>,
    /// Reading on was given up to stay within the engine's memory: requests may be missed.
    pub(super) reading_given_up: bool,
    /// The source was told to copy requests alone.
    pub(super) requests_alone: bool,
    hellos: Hellos,
    /// What `held` was when it was last added to the engine's sum.
    pub(super) accounted: u32,
    /// The sequence number from which the requests are wanted, as it was last told.
    wanted_from: Option<u32>,
    origin: Origin,
    /// The socket that dialled, if it is one.
    client: bool,
    /// Segments that are still to be told for their numbers alone, so that the other end can be found by them.
    passing: u8,
    /// A SYN was seen, so the streams begin at their first byte and the direction is certain.
    handshake: bool,
    /// The flow was fed the wrong way round and it is too late to turn it: its `ToServer` is `ToClient` to the source.
    turned: bool,
    /// Two segments disagreed about bytes that the verdict may rest on.
    conflict: bool,
    seen: Seen,
    talk: Talk,
}

impl Face {
    pub(super) fn new(opened: &super::Opened) -> Self {
        let opening = match opened.origin {
            Origin::MidStream { oriented: true, .. } => Opening::Missed,
            // A capture may show the SYN after what follows it.
            Origin::Handshake | Origin::MidStream { oriented: false, .. } => Opening::Awaited,
        };
        let mut face = Self {
            key: opened.key,
            since: opened.time,
            stage: Stage::Silent,
            progress: Progress::Undecided,
            missing: None,
            numbers_told: false,
            closed: None,
            reading_given_up: false,
            requests_alone: false,
            hellos: Hellos::default(),
            accounted: 0,
            wanted_from: None,
            origin: opened.origin,
            client: opened.role == Role::Client,
            passing: if opened.origin == Origin::Handshake || opened.role == Role::Wire {
                0
            } else {
                PASSING
            },
            handshake: opened.origin == Origin::Handshake,
            turned: false,
            conflict: false,
            seen: if opened.paired {
                Seen::Elsewhere([opened.client_isn, opened.server_isn])
            } else {
                Seen::Flow(Box::new(Flow::new(opening, opened.time, flow::Limits::default())))
            },
            talk: Talk::Unspoken,
        };
        if opened.paired {
            face.stage = Stage::Classified;
            face.stop();
        }
        for (direction, isn) in
            [(Direction::ToServer, opened.client_isn), (Direction::ToClient, opened.server_isn)]
        {
            if let Some(isn) = isn {
                face.handshake = true;
                face.listen(|flow, ear| flow.begin(direction, isn, ear));
            }
        }
        face
    }

    /// Bytes of heap held for the analysis.
    pub(super) fn held(&self) -> usize {
        let talk = match &self.talk {
            Talk::Read(conversation) => size_of::<Conversation>() + conversation.held(),
            Talk::Unspoken | Talk::Over => 0,
        };
        let flow = match &self.seen {
            Seen::Flow(flow) => flow.held(),
            Seen::Elsewhere(_) => 0,
        };
        flow + talk
    }

    /// Takes in one segment.
    pub(super) fn segment(&mut self, direction: Direction, segment: &Segment<'_>) {
        self.handshake |= segment.flags.contains(Flags::SYN);
        let direction = if self.turned { direction.reversed() } else { direction };
        if let Seen::Elsewhere(numbers) = &mut self.seen
            && segment.flags.contains(Flags::SYN)
        {
            numbers[direction.index()].get_or_insert(segment.seq);
        }
        self.listen(|flow, ear| flow.segment(direction, segment, ear));
    }

    /// Whether a segment is to be told for its numbers; if so, whether it left this face's end. Segments that carry nothing
    /// are seen at one end alone.
    pub(super) fn passes(&mut self, direction: Direction, segment: &Segment<'_>) -> Option<bool> {
        if self.handshake || self.passing == 0 || (segment.len == 0 && !segment.flags.contains(Flags::FIN)) {
            return None;
        }
        self.passing -= 1;
        Some((direction == Direction::ToServer) == self.client)
    }

    /// The source's guess of the direction was wrong. False if bytes were read that way already: then the content
    /// alone says who is the client.
    pub(super) fn reverse(&mut self) -> bool {
        if let Seen::Flow(flow) = &mut self.seen
            && flow.reverse()
        {
            return true;
        }
        self.turned = !self.turned;
        false
    }

    /// Whether it is time to copy requests alone: the first response was read, which says what an upgrade became; or so much
    /// was asked, or is known to follow, that the way to the server needs more than a budget.
    pub(super) fn wants_requests_alone(&self) -> bool {
        let Talk::Read(conversation) = &self.talk else { return false };
        self.progress == Progress::Reading
            && (conversation
                .http()
                .is_none_or(|summary| summary.responses > 0 || summary.request_position > ASKED)
                || conversation.unwanted(Direction::ToServer) >= u64::from(STEP)
                || self.closed.is_some())
    }

    /// From where on the requests are wanted, if that has to be told again: the reading went on, or a body can be passed
    /// over.
    pub(super) fn wants_from(&mut self) -> Option<u32> {
        // Where the direction is a guess, a sequence number of it means nothing to the source.
        let (Talk::Read(conversation), Seen::Flow(flow)) = (&self.talk, &mut self.seen) else { return None };
        if !self.handshake || self.turned {
            return None;
        }
        let unwanted = conversation.unwanted(Direction::ToServer);
        if unwanted >= u64::from(STEP) {
            flow.skip(Direction::ToServer, unwanted.min(FURTHEST));
        }
        let from = flow.wanted_from(Direction::ToServer)?;
        let due = self.wanted_from.is_none_or(|told| {
            let ahead = from.wrapping_sub(told);
            (STEP..1 << 31).contains(&ahead)
        });
        due.then(|| *self.wanted_from.insert(from))
    }

    /// The source lost something of this face.
    pub(super) fn lost(&mut self, records: u64) {
        let missing = self.missing.get_or_insert_default();
        missing.lost_records = missing.lost_records.saturating_add(records);
        if let Seen::Flow(flow) = &mut self.seen {
            flow.lost(Direction::ToServer);
            flow.lost(Direction::ToClient);
        }
    }

    /// Declares everything that waits for patience alone, and waits for a verdict no longer.
    pub(super) fn conclude(&mut self, reason: Reason) {
        self.listen(|flow, ear| flow.press(ear));
        if let Talk::Read(conversation) = &mut self.talk {
            conversation.conclude(reason);
        }
    }

    /// Declares everything that has not come by now as missing: the face is over.
    pub(super) fn finish(&mut self) {
        self.listen(|flow, ear| flow.finish(ear));
    }

    /// What is known now; `None` once the reading is over, because it was reported then.
    pub(super) fn facts(&self, memory: &mut Memory) -> Option<Box<Facts>> {
        let mut facts = match &self.talk {
            Talk::Over => return None,
            Talk::Read(conversation) => Facts::of(conversation, memory),
            Talk::Unspoken => {
                let verdict = Verdict { reason: Some(Reason::NoData), ..Verdict::default() };
                Facts { verdict, ..Facts::default() }
            }
        };
        // It may well have spoken before it was observed.
        if let Origin::MidStream { reason, .. } = self.origin
            && !self.handshake
            && facts.verdict.reason == Some(Reason::NoData)
        {
            facts.verdict.reason = Some(reason);
        }
        // What the observer itself lost explains better than what is therefore missing.
        if self.missing().lost_records > 0
            && facts.verdict.security == Security::Unknown
            && matches!(
                facts.verdict.reason,
                Some(Reason::NoData | Reason::TooLittleData | Reason::HandshakeIncomplete)
            )
        {
            facts.verdict.reason = Some(Reason::Lost);
        }
        if self.reading_given_up
            && let Some(http) = &mut facts.http
        {
            (http.counts.missed_unknown, http.counts.stopped) = (true, true);
        }
        if self.conflict && self.stage != Stage::Classified {
            facts.verdict = Verdict { reason: Some(Reason::ConflictingSegments), ..Verdict::default() };
        }
        Some(Box::new(facts))
    }

    /// What is missing of its bytes.
    pub(super) fn missing(&self) -> MissingBytes {
        self.missing.as_deref().copied().unwrap_or_default()
    }

    /// Whether there is anything left to learn from the streams.
    pub(super) const fn is_read(&self) -> bool {
        !matches!(self.talk, Talk::Over)
    }

    pub(super) const fn conflict(&self) -> bool {
        self.conflict
    }

    /// The analysis of the streams is over; from now on the flow only counts.
    pub(super) fn stop(&mut self) {
        self.talk = Talk::Over;
        if let Seen::Flow(flow) = &mut self.seen {
            flow.stop(Direction::ToServer);
            flow.stop(Direction::ToClient);
        }
    }

    /// The next request that was read and that may have been proxied.
    pub(super) fn next_request(&mut self) -> Option<Request> {
        match &mut self.talk {
            Talk::Read(conversation) => conversation.next_request(),
            Talk::Unspoken | Talk::Over => None,
        }
    }

    /// The next hello that was read.
    pub(super) fn next_hello(&mut self) -> Option<Hello> {
        match &self.talk {
            Talk::Read(conversation) => self.hellos.next(conversation.tls()?.summary()),
            Talk::Unspoken | Talk::Over => None,
        }
    }

    /// Both initial sequence numbers, the client's first.
    pub(super) fn numbers(&self) -> Option<(u32, u32)> {
        let [client, server] = match &self.seen {
            Seen::Flow(flow) => [Direction::ToServer, Direction::ToClient].map(|it| flow.sent(it).isn),
            Seen::Elsewhere(numbers) => *numbers,
        };
        Some((client?, server?))
    }

    /// Payload bytes by sequence numbers.
    pub(super) fn bytes(&self, direction: Direction) -> u64 {
        let direction = if self.turned { direction.reversed() } else { direction };
        match &self.seen {
            Seen::Flow(flow) => flow.sent(direction).bytes,
            Seen::Elsewhere(_) => 0,
        }
    }

    /// How it ended, as far as its packets show it.
    pub(super) fn ending(&self) -> Ending {
        match &self.seen {
            Seen::Flow(flow) => flow.ending(),
            Seen::Elsewhere(_) => Ending::StillOpen,
        }
    }

    /// Whether its packets show that only stragglers follow.
    pub(super) fn is_over(&self) -> bool {
        match &self.seen {
            Seen::Flow(flow) => flow.is_over(),
            Seen::Elsewhere(_) => false,
        }
    }

    fn listen(&mut self, feed: impl FnOnce(&mut Flow, &mut Ear<'_>)) {
        let Seen::Flow(flow) = &mut self.seen else { return };
        let origin = match self.origin {
            Origin::MidStream { oriented: false, .. } if self.handshake => Origin::Handshake,
            origin => origin,
        };
        let mut ear = Ear {
            talk: &mut self.talk,
            origin,
            progress: &mut self.progress,
            conflict: &mut self.conflict,
            missing: &mut self.missing,
        };
        feed(flow, &mut ear);
    }
}

/// Hands the streams to the conversation and remembers the last answer.
struct Ear<'a> {
    talk: &'a mut Talk,
    origin: Origin,
    progress: &'a mut Progress,
    conflict: &'a mut bool,
    missing: &'a mut Option<Box<MissingBytes>>,
}

impl Ear<'_> {
    fn tell(&mut self, feed: impl FnOnce(&mut Conversation) -> Progress) {
        if matches!(self.talk, Talk::Unspoken) {
            *self.talk = Talk::Read(Box::new(Conversation::new(self.origin)));
        }
        if let Talk::Read(conversation) = self.talk {
            *self.progress = feed(conversation);
        }
    }
}

impl Delivery for Ear<'_> {
    fn data(&mut self, direction: Direction, bytes: &[u8], acked: u64) {
        self.tell(|conversation| Dissector::data(conversation, direction, bytes, acked));
    }

    fn gap(&mut self, direction: Direction, length: u64, why: Gap) {
        *self.conflict |= why == Gap::Conflict;
        if length == 0 {
            // No bytes are missing: either a second copy differed from the first, or the beginning of a stream may lie
            // before what is delivered next, which is what an origin in mid-stream says already.
            if why == Gap::Unseen && matches!(self.talk, Talk::Unspoken) && self.origin == Origin::Handshake {
                self.tell(|conversation| Dissector::gap(conversation, direction, 1, why));
            }
            return;
        }
        if why != Gap::Skipped {
            let missing = self.missing.get_or_insert_default();
            missing.gaps = missing.gaps.saturating_add(1);
            missing.bytes = missing.bytes.saturating_add(length);
        }
        self.tell(|conversation| Dissector::gap(conversation, direction, length, why));
    }

    fn end(&mut self, direction: Direction, end: End) {
        self.tell(|conversation| Dissector::end(conversation, direction, end));
    }
}
