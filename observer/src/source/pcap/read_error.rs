//! Why the reading of a capture stopped before its end.

use core::fmt;
use std::io;

use super::damage::Damage;
use super::input::Packing;

/// Why the reading of a capture stopped before its end. Everything before was read. Its text goes behind the
/// capture's name.
#[derive(Debug)]
pub enum ReadError {
    /// The capture is damaged.
    Damage {
        /// Where and how.
        damage: Damage,
        /// Whether the offset counts bytes of the unpacked capture.
        packed: bool,
    },
    /// The packed data is damaged or ends early.
    Packing {
        /// `gzip` or `zstd`.
        format: &'static str,
        /// How far the packed file was read, in bytes; the damage is not behind that.
        packed: u64,
        /// How many bytes were unpacked before.
        unpacked: u64,
        /// What the decoder says.
        error: io::Error,
    },
    /// The operating system failed.
    Read {
        /// Offset in bytes.
        offset: u64,
        /// What it says.
        error: io::Error,
    },
}

impl ReadError {
    pub(super) fn damage(damage: Damage, packing: Packing) -> Self {
        Self::Damage { damage, packed: packing != Packing::Plain }
    }

    pub(super) fn input(error: io::Error, packing: Packing, position: u64, unpacked: u64) -> Self {
        // An error with a number is the operating system's, all others are the decoder's.
        if packing == Packing::Plain || error.raw_os_error().is_some() {
            Self::Read { offset: position, error }
        } else {
            Self::Packing { format: packing.name(), packed: position, unpacked, error }
        }
    }

    /// Whether this is no capture at all, so that nothing of it was read.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Damage { damage, .. } if damage.offset == 0 && damage.fault.is_foreign())
    }

    /// Whether the operating system failed, rather than the file being bad.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Read { .. })
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damage { damage, .. } if self.is_foreign() => {
                write!(f, "{}; name a file that `tcpdump -w` or Wireshark wrote", damage.fault)
            }
            Self::Damage { damage, packed } => {
                let unpacked = if *packed { " (unpacked)" } else { "" };
                write!(
                    f,
                    "damaged at byte {}{unpacked}: {}; everything before it was read",
                    damage.offset, damage.fault
                )
            }
            Self::Packing { format, packed, unpacked, error } => {
                let what = match error.kind() {
                    io::ErrorKind::UnexpectedEof => "it ends early".to_owned(),
                    _ => error.to_string(),
                };
                write!(
                    f,
                    "damaged {format} data at or before byte {packed} (unpacked: byte {unpacked}): {what}; \
                     everything before it was read"
                )
            }
            Self::Read { offset, error } => {
                write!(f, "reading failed at byte {offset}: {error}; everything before it was read")
            }
        }
    }
}

impl std::error::Error for ReadError {}
