//! One packet of a capture: where its bytes lie in the block that was read.

use core::ops::Range;

use observer_core::time::Timestamp;

/// One captured packet, as a place in the bytes that were handed to [`super::Capture::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it was captured.
    pub time: Timestamp,
    /// Where its first byte lies.
    pub start: u32,
    /// How many of its bytes were captured.
    pub captured: u32,
    /// How long it was on the wire, in bytes; never less than `captured`.
    pub original: u32,
    /// Which interface of the capture saw it: its number in order of appearance, over all sections. 0 in a classic
    /// capture, which knows of one only.
    pub interface: u32,
    /// Link-layer header type (`LINKTYPE_` values of tcpdump.org).
    pub link: u16,
}

impl Packet {
    /// Where its captured bytes lie.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.captured as usize
    }
}
