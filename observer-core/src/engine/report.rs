//! What the engine has to say of a face.

use std::net::SocketAddr;

use super::{Ending, FaceKey, Facts, Lost, Opened};
use crate::event::MissingBytes;
use crate::party::Party;
use crate::protocol::http::Request;
use crate::security::Reason;
use crate::time::Timestamp;

/// One thing that the engine found.
#[derive(Clone, Debug)]
pub enum Report {
    /// A face is known.
    Opened(Box<Opened>),
    /// A face's client and server are the other way round than it was opened with.
    Reversed(FaceKey),
    /// Both initial sequence numbers of a face are known: they name the TCP connection, whatever addresses it wears.
    Numbers {
        /// Which face.
        key: FaceKey,
        /// Initial sequence number of the end that dialled.
        client: u32,
        /// Initial sequence number of the end that listened.
        server: u32,
    },
    /// A segment of a face that has no handshake: the two ends of one connection see it with the same numbers.
    Passed {
        /// Which face.
        key: FaceKey,
        /// When.
        time: Timestamp,
        /// Whether it left the face's own end.
        left: bool,
        /// Its sequence number.
        seq: u32,
        /// Its acknowledgement number.
        ack: u32,
    },
    /// A client asks for a session of TLS, with this random value in its ClientHello.
    Asked {
        /// Which face.
        key: FaceKey,
        /// The time of the segment that completed it.
        time: Timestamp,
        /// The random value.
        random: [u8; 32],
    },
    /// A server answers a ClientHello: both random values together name the session, whatever connections carry it.
    Answered {
        /// Which face.
        key: FaceKey,
        /// The time of the segment that completed the ServerHello.
        time: Timestamp,
        /// The random values of ClientHello and ServerHello.
        randoms: Box<[[u8; 32]; 2]>,
    },
    /// Two faces without a handshake are the two ends of one connection, or may be.
    Ends {
        /// One.
        one: FaceKey,
        /// The other.
        other: FaceKey,
        /// Whether that is certain.
        certain: bool,
    },
    /// Who opened a face's local end is known.
    Party {
        /// Which face.
        key: FaceKey,
        /// The owner, as far as it is known.
        party: Box<Party>,
    },
    /// Who holds a face's local end now is known, or why that cannot be.
    Holder {
        /// Which face.
        key: FaceKey,
        /// The holder.
        party: Box<Party>,
        /// Whether it answers [`Report::Released`].
        last: bool,
        /// The process that it inherited the socket from, if it had it but for a moment, did nothing with it and that
        /// process still lives: where that one is known to hold it, it stays the holder.
        heir_of: Option<u32>,
    },
    /// Who is at the other end of a face, which is on another node.
    Peer {
        /// Which face.
        key: FaceKey,
        /// The other end's owner.
        party: Box<Party>,
    },
    /// What connection tracking says of a face's ends: the same as its own where it knows of no translation.
    Translated {
        /// Which face.
        key: FaceKey,
        /// The client as the server sees it.
        client: SocketAddr,
        /// The server that answers.
        server: SocketAddr,
    },
    /// A face's local end was let go, and who held it last is being looked up.
    Released(FaceKey),
    /// The verdict on a face stands, or its time is up.
    Classified {
        /// Which face.
        key: FaceKey,
        /// The time of the segment that decided, or of the deadline.
        time: Timestamp,
        /// Everything known of what was spoken.
        facts: Box<Facts>,
    },
    /// More is known of a face that was classified.
    Learned {
        /// Which face.
        key: FaceKey,
        /// Everything known of what was spoken.
        facts: Box<Facts>,
    },
    /// A request was read that an API server may have passed on to a pod, a service or a node. Those of the bytes that
    /// brought the verdict come before it.
    Requested {
        /// Which face.
        key: FaceKey,
        /// The time of the segment that completed its head.
        time: Timestamp,
        /// The request.
        request: Box<Request>,
    },
    /// A face has ended.
    Closed {
        /// Which face.
        key: FaceKey,
        /// When.
        time: Timestamp,
        /// How.
        ending: Ending,
        /// Payload bytes from client to server.
        bytes_to_server: u64,
        /// Payload bytes from server to client.
        bytes_to_client: u64,
        /// What was spoken, if that says more than at the classification.
        facts: Option<Box<Facts>>,
        /// What is missing of its bytes.
        missing: MissingBytes,
        /// Why the observation of it ended before the connection did.
        reason: Option<Reason>,
    },
    /// No further payload of this face can add anything: the source may stop copying.
    Enough(FaceKey),
    /// Of this face only the requests are still worth reading. Told again as the reading goes on.
    RequestsOnly {
        /// Which face.
        key: FaceKey,
        /// The sequence number from which they are: what lies before it in the direction to the server was read, or is the
        /// body of a request that was. `None` where the source's direction is a guess.
        from: Option<u32>,
    },
    /// The source lost something.
    Lost(Lost),
}
