//! One TCP segment as an observer saw it.

use core::ops::BitOr;

use crate::time::Timestamp;

/// Which way bytes travel, by the role of the ends in the TCP handshake and never by a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From the end that dialled to the end that listened.
    ToServer,
    /// From the end that listened to the end that dialled.
    ToClient,
}

impl Direction {
    /// The opposite direction.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }

    /// 0 for [`Direction::ToServer`], 1 for [`Direction::ToClient`]: the index into a pair of per-direction states.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// TCP header flags (RFC 9293, section 3.1), the low eight bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push function.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement field is significant.
    pub const ACK: Self = Self(0x10);

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One TCP segment (or one piece of a giant offloaded one) in one direction.
///
/// A source may cut a captured segment into several, each with its own `seq`; SYN then goes with the first and FIN
/// with the last.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// When the source saw it.
    pub time: Timestamp,
    /// Sequence number of the first payload byte, or of the SYN where that flag is set (RFC 9293, section 3.4).
    pub seq: u32,
    /// Acknowledgement number; meaningless unless `flags` has [`Flags::ACK`].
    pub ack: u32,
    /// Header flags.
    pub flags: Flags,
    /// Payload bytes on the wire. More than `payload.len()` when the source kept only the first of them.
    pub len: u32,
    /// The payload bytes that were captured, from the first on.
    pub payload: &'a [u8],
}
