//! Who has an address tuple: what the handshake showed of it, and who may be about to take it over.

use super::ends::Ends;
use super::{Flags, Segment};
use crate::engine::FaceKey;

/// How far ahead of its SYN the first segment seen of a face may be, for a late SYN to be believed to be the face's own.
const LATE: u32 = 16 << 20;

/// A handshake on a tuple whose face knows nothing of it. One end's word is not enough: anybody can send a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// Which end dials: 0 for the first of the tuple.
    dialler: usize,
    client: u32,
    /// Known if the answer came first.
    server: Option<u32>,
}

/// What both ends agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) dialler: usize,
    pub(super) isns: [Option<u32>; 2],
}

/// The face that has a tuple, or had it last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occupant {
    pub(super) ends: Ends,
    pub(super) key: FaceKey,
    pub(super) closed: bool,
    /// Which end dialled: 0 for the first of the tuple. Provisional unless `certain`.
    pub(super) dialler: usize,
    pub(super) certain: bool,
    /// Initial sequence numbers, by end.
    isns: [Option<u32>; 2],
    /// Where each end's stream stood when the face was first seen.
    seen: [Option<u32>; 2],
    doubt: Option<Doubt>,
}

impl Occupant {
    /// Opened by `segment`, which `sender` (0 for the first of the tuple) sent.
    pub(super) fn new(ends: Ends, key: FaceKey, sender: usize, segment: &Segment<'_>) -> Self {
        let (syn, ack) = kind(segment);
        let mut seen = [None; 2];
        seen[sender] = Some(segment.seq.wrapping_add(u32::from(syn)));
        seen[1 - sender] = ack.then_some(segment.ack);
        let dialler = if syn && ack { 1 - sender } else { sender };
        let mut occupant =
            Self { ends, key, closed: false, dialler, certain: syn, isns: [None; 2], seen, doubt: None };
        if syn {
            occupant.learn(sender, segment);
        }
        occupant
    }

    /// A new face on the same tuple.
    pub(super) fn renewed(&self, key: FaceKey, agreed: Agreed) -> Self {
        let Agreed { dialler, isns } = agreed;
        let seen = isns.map(|isn| isn.map(|isn| isn.wrapping_add(1)));
        Self { ends: self.ends, key, closed: false, dialler, certain: true, isns, seen, doubt: None }
    }

    /// Notes the numbers of a SYN of this face.
    pub(super) fn learn(&mut self, sender: usize, segment: &Segment<'_>) {
        self.isns[sender] = Some(segment.seq);
        if segment.flags.contains(Flags::ACK) {
            self.isns[1 - sender] = Some(segment.ack.wrapping_sub(1));
        }
    }

    /// Whether a SYN can be of this face: it agrees with the numbers known, or lies a little before the first segment
    /// seen. Two SYNs that cross are of one face (RFC 9293, section 3.5).
    pub(super) fn agrees(&self, sender: usize, segment: &Segment<'_>) -> bool {
        let (_, ack) = kind(segment);
        let fits = |end: usize, isn: u32| match (self.isns[end], self.seen[end]) {
            (Some(known), _) => known == isn,
            (None, Some(seen)) => seen.wrapping_sub(isn.wrapping_add(1)) <= LATE,
            // Nothing is known of that end. The tuple of a closed face may be dialled from its other side.
            (None, None) => ack || !self.closed,
        };
        fits(sender, segment.seq) && (!ack || fits(1 - sender, segment.ack.wrapping_sub(1)))
    }

    /// The numbers of a SYN taken at its word, which a closed face has nothing against.
    pub(super) fn at_its_word(sender: usize, segment: &Segment<'_>) -> Agreed {
        let (_, ack) = kind(segment);
        let mut isns = [None; 2];
        isns[sender] = Some(segment.seq);
        isns[1 - sender] = ack.then(|| segment.ack.wrapping_sub(1));
        Agreed { dialler: if ack { 1 - sender } else { sender }, isns }
    }

    /// A SYN that does not agree with a live face: the second half of a new handshake, or else a first half to remember.
    pub(super) fn doubt(&mut self, sender: usize, segment: &Segment<'_>) -> Option<Agreed> {
        let Agreed { dialler, isns } = Self::at_its_word(sender, segment);
        let client = isns[dialler]?;
        let server = isns[1 - dialler];
        if let Some(doubt) = self.doubt
            && (doubt.dialler, doubt.client) == (dialler, client)
            && doubt.server.is_some() != server.is_some()
        {
            return Some(doubt.with(server.or(doubt.server)));
        }
        self.doubt = Some(Doubt { dialler, client, server });
        None
    }

    /// Whether a segment without SYN shows that the doubtful handshake was meant: the listening end refused the new
    /// SYN, so it knows of no connection, or the dialling end acknowledged the answer to a SYN that was not seen.
    pub(super) fn confirmed(&self, sender: usize, segment: &Segment<'_>) -> Option<Agreed> {
        let doubt = self.doubt?;
        if !segment.flags.contains(Flags::ACK) {
            return None;
        }
        let by_dialler = sender == doubt.dialler;
        let reset = segment.flags.contains(Flags::RST);
        let confirmed = match doubt.server {
            None => reset && !by_dialler && segment.ack == doubt.client.wrapping_add(1),
            Some(server) => {
                !reset
                    && by_dialler
                    && segment.seq == doubt.client.wrapping_add(1)
                    && segment.ack == server.wrapping_add(1)
            }
        };
        confirmed.then(|| doubt.with(doubt.server))
    }
}

impl Doubt {
    const fn with(self, server: Option<u32>) -> Agreed {
        let isns = if self.dialler == 0 { [Some(self.client), server] } else { [server, Some(self.client)] };
        Agreed { dialler: self.dialler, isns }
    }
}

fn kind(segment: &Segment<'_>) -> (bool, bool) {
    (segment.flags.contains(Flags::SYN), segment.flags.contains(Flags::ACK))
}
