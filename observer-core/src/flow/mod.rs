//! One TCP connection as one observer saw it: segments in, two ordered byte streams out.

mod backlog;
mod ends;
mod found;
mod held;
mod history;
mod limits;
mod moment;
mod occupant;
mod segment;
mod sent;
mod stream;
mod table;
mod tcp;
mod trouble;

pub use ends::Ends;
pub use found::Found;
pub use limits::Limits;
pub use segment::{Direction, Flags, Segment};
pub use sent::Sent;
pub use table::Table;
pub use tcp::{Flow, Opening};

/// Why bytes of a stream are missing for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gap {
    /// The receiver acknowledged bytes that were never seen (a lossy capture, a late start).
    Unseen,
    /// The segment was seen but not captured whole (snap length, copy budget in the kernel).
    Truncated,
    /// The bytes were seen and lost on the way to the analysis (ring full); the source said so.
    Lost,
    /// The bound on held out-of-order bytes was reached; what lay beyond was given up.
    Overflow,
    /// Two segments carried different bytes for the same place in the stream, so none can be trusted.
    Conflict,
    /// Nobody wanted them ([`Flow::skip`]).
    Skipped,
}

/// How one direction of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// A FIN, and every byte before it was delivered or told as a gap.
    Fin,
    /// A reset from either side.
    Reset,
}

/// Where a flow's byte streams go. Calls for one direction come in stream order; nothing is promised about the
/// order of calls for different directions, which is why each run of bytes carries `acked`.
pub trait Delivery {
    /// The next bytes of `direction`. `acked` is how many bytes of the *opposite* stream the sender had
    /// acknowledged in the segment that first carried these bytes: it places the two streams against each other
    /// whatever order the segments arrived in. `u64::MAX` when that is not known.
    fn data(&mut self, direction: Direction, bytes: &[u8], acked: u64);
    /// `length` bytes of `direction` will never come; the next bytes delivered lie behind them. A `length` of 0 with
    /// [`Gap::Conflict`]: bytes that were delivered already came again and differed. A `length` of 0 with
    /// [`Gap::Unseen`], before any bytes: the beginning of the stream was not seen, so some may be missing.
    fn gap(&mut self, direction: Direction, length: u64, why: Gap);
    /// Nothing more will come in `direction`.
    fn end(&mut self, direction: Direction, end: End);
}
