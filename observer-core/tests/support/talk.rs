//! Conversations written by hand, and every way to feed them.

use observer_core::engine::Origin;
use observer_core::flow::Direction::{self, ToClient, ToServer};
use observer_core::flow::{End, Gap};
use observer_core::protocol::named::{Exposed, Protocol};
use observer_core::protocol::{Conversation, Dissector, Encapsulation, Progress, Verdict};
use observer_core::security::{Reason, Security};

/// What each side says, in turn.
pub type Talk = Vec<(Direction, Vec<u8>)>;

/// What was learnt of a talk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub verdict: Verdict,
    pub protocol: Option<Protocol>,
    pub encapsulation: Vec<Encapsulation>,
    pub exposed: Vec<Exposed>,
    pub injected: u64,
}

impl Seen {
    pub fn of(conversation: &Conversation) -> Self {
        Self {
            verdict: conversation.verdict(),
            protocol: conversation.protocol(),
            encapsulation: conversation.encapsulation().to_vec(),
            exposed: conversation.exposed().to_vec(),
            injected: conversation.injected_bytes(),
        }
    }

    pub fn security(&self) -> Security {
        self.verdict.security
    }
}

pub fn client(bytes: impl AsRef<[u8]>) -> (Direction, Vec<u8>) {
    (ToServer, bytes.as_ref().to_vec())
}

pub fn server(bytes: impl AsRef<[u8]>) -> (Direction, Vec<u8>) {
    (ToClient, bytes.as_ref().to_vec())
}

/// One piece with the mark that its sender's acknowledgements give it.
pub type Piece = (Direction, Vec<u8>, u64);

/// The talk in pieces of `cut` bytes; each side had read all that was said before it spoke.
pub fn pieces(talk: &[(Direction, Vec<u8>)], cut: usize) -> Vec<Piece> {
    let mut said = [0_u64; 2];
    let mut pieces = Vec::new();
    for (direction, bytes) in talk {
        for piece in bytes.chunks(cut.max(1)) {
            pieces.push((*direction, piece.to_vec(), said[direction.reversed().index()]));
        }
        said[direction.index()] += bytes.len() as u64;
    }
    pieces
}

/// Feeds pieces to their end, and checks that a verdict that stood never changes.
pub fn feed(origin: Origin, pieces: &[Piece]) -> Conversation {
    feed_to(origin, pieces, true)
}

/// As [`feed`]; the observation can end before the connection does.
pub fn feed_to(origin: Origin, pieces: &[Piece], ends: bool) -> Conversation {
    let mut conversation = Conversation::new(origin);
    let mut stood: Option<Verdict> = None;
    for (direction, bytes, acked) in pieces {
        let progress = Dissector::data(&mut conversation, *direction, bytes, *acked);
        assert!(conversation.held() < 512 << 10);
        if let Some(stood) = stood {
            assert_eq!(stood, conversation.verdict(), "a verdict that stood has changed");
        } else if progress != Progress::Undecided {
            stood = Some(conversation.verdict());
        }
    }
    for direction in [ToServer, ToClient].into_iter().filter(|_| ends) {
        Dissector::end(&mut conversation, direction, End::Fin);
    }
    conversation.conclude(Reason::StillOpen);
    if let Some(stood) = stood {
        assert_eq!(stood, conversation.verdict(), "a verdict that stood has changed at the end");
    }
    conversation
}

/// What is seen of a talk, which has to be the same whichever side is fed first and however its bytes are cut.
pub fn seen(talk: &[(Direction, Vec<u8>)]) -> Seen {
    let whole = Seen::of(&feed(Origin::Handshake, &pieces(talk, usize::MAX)));
    for cut in [1, 7, usize::MAX] {
        for first in [None, Some(ToServer), Some(ToClient)] {
            let mut pieces = pieces(talk, cut);
            // A stable sort: the order within each direction stays.
            pieces.sort_by_key(|piece| first.map(|first| piece.0 != first));
            assert_eq!(Seen::of(&feed(Origin::Handshake, &pieces)), whole, "cut {cut}, {first:?} first");
        }
    }
    whole
}

/// Whether two answers can both be true of one connection: equal, or one of them open.
pub fn agree(one: Verdict, other: Verdict) -> bool {
    let tls = |it: Verdict| matches!(it.security, Security::Tls | Security::ServerTls | Security::MutualTls);
    one.security == Security::Unknown
        || other.security == Security::Unknown
        || (one.security, one.client_certificate) == (other.security, other.client_certificate)
        || tls(one) && tls(other) && (one.security == Security::Tls || other.security == Security::Tls)
}

/// Every prefix of the talk, in the order of the talk, gives the whole's answer or an open one.
pub fn every_prefix_agrees(name: &str, talk: &[(Direction, Vec<u8>)]) {
    let whole = feed(Origin::Handshake, &pieces(talk, usize::MAX)).verdict();
    let bytes = pieces(talk, 1);
    let step = bytes.len() / 700 + 1;
    for end in (0..bytes.len()).step_by(step) {
        let verdict = feed_to(Origin::Handshake, &bytes[..end], false).verdict();
        assert!(agree(verdict, whole), "{name} cut at {end}: {verdict:?}, whole {whole:?}");
    }
}

/// Feeds with a gap in place of one piece.
pub fn with_gap(pieces: &[Piece], at: usize, why: Gap) -> Verdict {
    let mut conversation = Conversation::new(Origin::Handshake);
    for (index, (direction, bytes, acked)) in pieces.iter().enumerate() {
        if index == at {
            Dissector::gap(&mut conversation, *direction, bytes.len() as u64, why);
        } else {
            Dissector::data(&mut conversation, *direction, bytes, *acked);
        }
    }
    for direction in [ToServer, ToClient] {
        Dissector::end(&mut conversation, direction, End::Fin);
    }
    conversation.conclude(Reason::StillOpen);
    conversation.verdict()
}
