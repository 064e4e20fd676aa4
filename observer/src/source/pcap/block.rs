//! A run of whole packets.

use std::ops::Range;

use super::packet::Packet;

/// Bytes asked of the operating system at once.
pub(super) const READ: usize = 1 << 20;

/// A run of whole packets: their bytes and where each of them lies. Blocks are filled again and again, so that a
/// replay's memory does not grow with the capture.
#[derive(Debug)]
pub struct Block {
    pub(super) bytes: Vec<u8>,
    pub(super) packets: Vec<Packet>,
    pub(super) first: u64,
    pub(super) quiet: bool,
}

impl Default for Block {
    fn default() -> Self {
        Self { bytes: vec![0; READ], packets: Vec::new(), first: 0, quiet: false }
    }
}

impl Block {
    /// The packets, in capture order.
    #[must_use]
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// The captured bytes of one of this block's packets.
    #[must_use]
    pub fn frame(&self, packet: &Packet) -> &[u8] {
        self.bytes.get(packet.range()).unwrap_or_default()
    }

    /// A part of what was read, by its place in the block.
    #[must_use]
    pub fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        self.bytes.get(range)
    }

    /// Whether nothing came from a pipe for a second.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// How many packets of the capture lie before this block.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }
}
