//! What can be wrong with a capture, and where.

use core::fmt;

/// A capture cannot be read on from here. Every packet before `offset` was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset of the record, block or header that is damaged, in bytes from the start of the (unpacked) capture.
    pub offset: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a record, a block or a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is not a single byte.
    Empty,
    /// It does not begin like a capture.
    Foreign,
    /// The file header names a version of the format that nobody writes.
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// The capture ends within a header, a record or a block.
    CutShort {
        /// How many bytes of it are there.
        present: u64,
    },
    /// A packet claims more bytes than any capture program writes.
    PacketTooLong {
        /// What it claims.
        length: u32,
    },
    /// A block claims a length that cannot be: not a multiple of four, less than its own fields, or a packet that is
    /// longer than its block.
    BlockLength {
        /// What it claims.
        length: u32,
    },
    /// A block's two length fields differ.
    TrailingLength {
        /// The one in front.
        leading: u32,
        /// The one behind.
        trailing: u32,
    },
    /// A packet names an interface that the section has not described.
    UnknownInterface {
        /// Its number.
        interface: u32,
    },
    /// The capture describes more interfaces than are kept.
    TooManyInterfaces,
    /// A section's byte-order mark is neither of the two.
    ByteOrder,
}

impl Fault {
    /// Whether this is not a capture at all, rather than a damaged one.
    #[must_use]
    pub const fn is_foreign(self) -> bool {
        matches!(self, Self::Empty | Self::Foreign | Self::Version { .. })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("the file is empty"),
            Self::Foreign => f.write_str("not a pcap or pcapng capture"),
            Self::Version { major, minor } => {
                write!(f, "capture format version {major}.{minor} is not known")
            }
            Self::CutShort { present } => {
                write!(f, "the capture ends within a record, of which {present} bytes are there")
            }
            Self::PacketTooLong { length } => write!(f, "a packet claims {length} bytes"),
            Self::BlockLength { length } => write!(f, "a block claims the impossible length {length}"),
            Self::TrailingLength { leading, trailing } => {
                write!(f, "a block is {leading} bytes long in front and {trailing} behind")
            }
            Self::UnknownInterface { interface } => {
                write!(f, "a packet names interface {interface}, which is not described")
            }
            Self::TooManyInterfaces => f.write_str("too many interfaces are described"),
            Self::ByteOrder => f.write_str("a section begins without a byte-order mark"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.fault)
    }
}

impl std::error::Error for Damage {}
