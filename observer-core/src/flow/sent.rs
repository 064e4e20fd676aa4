//! What the packets showed of one direction.

/// What the packets showed of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Initial sequence number, if the SYN was seen.
    pub isn: Option<u32>,
    /// Payload bytes, from the sequence numbers.
    pub bytes: u64,
    /// Payload bytes that were sent again.
    pub repeated: u64,
    /// Bytes sent again before they were acknowledged whose first copy was no longer there to compare. Among the first
    /// 64 KiB of a stream, on which verdicts rest, they are told as a conflict; further on they are only counted.
    pub unverified: u64,
    /// Bytes told as gaps.
    pub missing: u64,
    /// Gaps told.
    pub gaps: u32,
    /// Segments that disagreed with an earlier copy of the same place, or about where the stream ends.
    pub conflicts: u32,
    /// Segments that were not believed: outside every window.
    pub strays: u32,
    /// Whether a FIN was seen and everything before it arrived.
    pub finished: bool,
}
