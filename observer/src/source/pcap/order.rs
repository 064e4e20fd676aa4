//! The byte order of a capture's own fields.

/// The byte order of the machine that wrote a capture or a section of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// The two bytes at `at`; zero if they are not there.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let Some(bytes) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { return 0 };
        match self {
            Self::Little => u16::from_le_bytes(*bytes),
            Self::Big => u16::from_be_bytes(*bytes),
        }
    }

    /// The four bytes at `at`; zero if they are not there.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let Some(bytes) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { return 0 };
        match self {
            Self::Little => u32::from_le_bytes(*bytes),
            Self::Big => u32::from_be_bytes(*bytes),
        }
    }

    /// The eight bytes at `at`, signed; zero if they are not there.
    pub(super) fn i64(self, bytes: &[u8], at: usize) -> i64 {
        let Some(bytes) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { return 0 };
        match self {
            Self::Little => i64::from_le_bytes(*bytes),
            Self::Big => i64::from_be_bytes(*bytes),
        }
    }
}
