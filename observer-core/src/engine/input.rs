//! What a source tells the engine.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::flow::{Direction, Segment};
use crate::party::Party;
use crate::security::Reason;
use crate::time::Timestamp;

/// Names one face for as long as the source speaks of it: the socket cookie live, a counter on replay. Never re-used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FaceKey(pub u64);

/// The two ends as this face saw them. IPv4-mapped IPv6 addresses are given as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The end that dialled.
    pub client: SocketAddr,
    /// The end that listened.
    pub server: SocketAddr,
}

/// Whose view a face is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The socket that dialled.
    Client,
    /// The socket that was accepted.
    Server,
    /// A packet capture: neither end's.
    Wire,
}

/// How a face came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Its handshake was seen, so the streams begin at their first byte and the direction is certain.
    Handshake,
    /// Its beginning was not seen. `oriented` tells whether the direction is known all the same (a socket's role);
    /// if not, the content has to show it.
    MidStream {
        /// Why the beginning is missing.
        reason: Reason,
        /// Whether `Tuple::client` is certainly the end that dialled.
        oriented: bool,
    },
}

/// A face becomes known.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its name.
    pub key: FaceKey,
    /// When its first packet (live: its connect call) was seen.
    pub time: Timestamp,
    /// Its two ends.
    pub tuple: Tuple,
    /// What the program passed to `connect()`, where that is known and differs from `tuple.server`.
    pub dialled: Option<SocketAddr>,
    /// Whose view it is.
    pub role: Role,
    /// How it came to be known.
    pub origin: Origin,
    /// It is a further subflow of a Multipath TCP connection (MP_JOIN, RFC 8684 section 3.2), which carries a part of
    /// its parent's bytes.
    pub subflow: bool,
    /// The other face of the connection is known to the source too and shows all its bytes; of this one come no segments
    /// with payload. It has no verdict of its own.
    pub paired: bool,
    /// Initial sequence number of the end that dialled, where the source knows it and will give no segment that shows it.
    pub client_isn: Option<u32>,
    /// Likewise of the end that listened.
    pub server_isn: Option<u32>,
    /// The owner of the local end; absent for [`Role::Wire`] and while it is being looked up.
    pub party: Option<Box<Party>>,
}

/// Whether the source goes on copying a face's payload after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// Everything so far was handed over or told as lost.
    All,
    /// The copy budget was used up at this point; bytes behind it were not copied.
    BudgetSpent,
}

/// How a connection ended (`control_plane.connection.ending`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Both directions closed by FIN.
    Finished,
    /// Only the client had closed its direction when the socket went away.
    HalfClosedByClient,
    /// Only the server had closed its direction when the socket went away.
    HalfClosedByServer,
    /// Reset by the end that dialled.
    ResetByClient,
    /// Reset by the end that listened.
    ResetByServer,
    /// The dialled end answered the SYN with a reset.
    Refused,
    /// No answer: the SYN, or later data, was never acknowledged.
    TimedOut,
    /// The handshake completed in the kernel but no program ever accepted the connection.
    NeverAccepted,
    /// The socket went away without FIN or reset having been seen.
    Unknown,
    /// Still open when the observation ended.
    StillOpen,
    /// Given up by the observer to stay within its memory.
    Evicted,
}

/// A face has ended; the source's own account, which wins over what the packets showed.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Which face.
    pub key: FaceKey,
    /// When.
    pub time: Timestamp,
    /// How; `None` leaves it to what the packets showed.
    pub ending: Option<Ending>,
    /// Payload bytes from client to server, from the socket's counters.
    pub bytes_to_server: Option<u64>,
    /// Payload bytes from server to client, likewise.
    pub bytes_to_client: Option<u64>,
}

/// Where the observer lost something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossPlace {
    /// A lifecycle record found the kernel's ring full.
    LifecycleRing,
    /// A payload record found the kernel's ring full.
    PayloadRing,
    /// A kernel table was full.
    KernelTable,
    /// The packet could not be read in the kernel.
    KernelRead,
    /// More requests came than the rate at which they are read on.
    RequestRate,
    /// A table of the observer's own was full.
    ObserverTable,
    /// A payload record of a connection whose opening was lost.
    Unannounced,
    /// A record did not decode.
    Decode,
    /// A sink's queue was full.
    Sink,
}

/// The source lost something. On a face, if it is known which.
#[derive(Clone, Debug)]
pub struct Lost {
    /// When it was noticed.
    pub time: Timestamp,
    /// Where.
    pub place: LossPlace,
    /// The face, where the loss could be tied to one.
    pub key: Option<FaceKey>,
    /// Records lost.
    pub records: u64,
    /// Payload bytes lost, where known.
    pub bytes: u64,
}

/// One thing that a source saw.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A face becomes known. Everything else about a face comes after this.
    Opened(Opened),
    /// The client and the server of a face that was opened without a handshake are the other way round: its handshake
    /// was seen after all, out of order. Segments after this are given in the right direction.
    Reversed(FaceKey),
    /// A segment of a face.
    Segment {
        /// Which face.
        key: FaceKey,
        /// Which way it travels.
        direction: Direction,
        /// The segment.
        segment: Segment<'a>,
        /// Whether the source's budget for this face ended with it.
        copied: Copied,
    },
    /// Who opened a face's local end was found.
    Party {
        /// Which face.
        key: FaceKey,
        /// The owner, as far as it is known.
        party: Box<Party>,
    },
    /// Who holds a face's local end now was found, or why that cannot be.
    Holder {
        /// Which face.
        key: FaceKey,
        /// The holder.
        party: Box<Party>,
        /// Whether it answers [`Input::Released`].
        last: bool,
        /// The process that it inherited the socket from, if it had it but for a moment, did nothing with it and that
        /// process still lives: where that one is known to hold it, it stays the holder.
        heir_of: Option<u32>,
    },
    /// A face's local end was let go, and who held it last is being looked up.
    Released(FaceKey),
    /// Two faces without a handshake are the two ends of one connection, or may be.
    Ends {
        /// One.
        one: FaceKey,
        /// The other.
        other: FaceKey,
        /// Whether that is certain.
        certain: bool,
    },
    /// A face has ended.
    Closed(Closed),
    /// Something was lost.
    Lost(Lost),
}
