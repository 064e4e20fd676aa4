//! What was spoken on a connection, from its two byte streams.
//!
//! Every answer is a function of the two streams and of the acknowledgement marks in them, never of the order in
//! which the streams were fed: a dissector that needs something from the other direction waits for it. So every
//! interleaving of the same bytes gives the same answer.

mod conversation;
pub mod http;
pub mod named;
pub mod prefix;
pub mod tls;

pub use conversation::{Conversation, Encapsulation, Orientation};

use crate::flow::{Direction, End, Gap};
use crate::security::{Basis, ClientCertificate, Reason, Security};

/// What a detector says of the first bytes of a stream. It never changes its mind between `Yes` and `No`, whatever
/// bytes follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detect {
    /// This is the protocol.
    Yes,
    /// This is surely not the protocol.
    No,
    /// So far it could be; more bytes decide.
    NeedMore,
}

/// How far a dissector has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The verdict is open and more bytes may bring it.
    Undecided,
    /// The verdict stands and no further byte can add to it: the source may stop copying.
    Decided,
    /// The verdict stands, and further bytes carry things worth reading (requests on a plain connection).
    Reading,
}

/// The judgement on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How the connection is protected.
    pub security: Security,
    /// Whether the client sent a certificate; [`ClientCertificate::Unknown`] without TLS.
    pub client_certificate: ClientCertificate,
    /// What `client_certificate` rests on; `None` while it is unknown.
    pub basis: Option<Basis>,
    /// Why something in this verdict is unknown; `None` where nothing is.
    pub reason: Option<Reason>,
}

/// A reader of one protocol, fed with both directions of one connection.
pub trait Dissector {
    /// The next bytes of `direction`; `acked` as in [`crate::flow::Delivery::data`].
    fn data(&mut self, direction: Direction, bytes: &[u8], acked: u64) -> Progress;
    /// `length` bytes of `direction` are missing for good.
    fn gap(&mut self, direction: Direction, length: u64, why: Gap) -> Progress;
    /// Nothing more comes in `direction`.
    fn end(&mut self, direction: Direction, end: End) -> Progress;
    /// Nothing more will be fed at all; `reason` says why (time-out, end of capture, eviction). The verdict is final
    /// after this.
    fn conclude(&mut self, reason: Reason);
    /// The verdict as it stands.
    fn verdict(&self) -> Verdict;
    /// How many of the next bytes of `direction` can add nothing, whatever they are: the rest of a body whose length is
    /// known.
    fn unwanted(&self, _direction: Direction) -> u64 {
        0
    }
    /// Bytes of heap held, roughly; constant time.
    fn held(&self) -> usize;
}
