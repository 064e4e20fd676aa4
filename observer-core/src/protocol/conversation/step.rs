//! What a reader of a prefix or of a plaintext protocol says after each round.

use crate::flow::Direction;
use crate::protocol::conversation::{Encapsulation, Notes, Streams};
use crate::protocol::named::Protocol;

/// What a reader needs, or found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing can be said before more bytes of this direction came.
    Wait(Direction),
    /// It is this protocol, and it is used in the clear for good.
    Settled(Protocol),
    /// Behind the present places both streams carry something else.
    Upgraded(Encapsulation),
    /// Nothing was taken, and the whole of both streams is HTTP/1.
    Http,
    /// It is not this reader's protocol.
    Reject,
}

/// What a reader can vouch for when the stream that it waits for does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is HTTP/1, and nothing was taken.
    Http,
    /// The protocol is certain and more than greetings crossed in the clear.
    Spoken(Protocol),
    /// The protocol is certain, but it could still have switched to TLS.
    MayUpgrade(Protocol),
    /// Not enough for a name.
    Unproven,
    /// An upgrade was asked for, and its answer is not there.
    Upgrading(Protocol),
}

/// A state machine that reads two streams, each at its own pace. It waits for exactly one direction at a time, so
/// that what it says depends on the bytes alone.
pub(crate) trait Reader: core::fmt::Debug {
    /// Reads on until it has to wait or is done; resumable.
    fn read(&mut self, streams: &mut Streams, notes: &mut Notes) -> Step;
    /// What holds if the awaited bytes never come.
    fn standing(&self) -> Standing;
}
