//! What both directions of a TLS connection have in common.

use super::alert::Alert;
use crate::flow::Gap;
use crate::security::Reason;

/// Why a direction is read no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its sender closed it.
    Ended,
    /// Bytes that matter are missing.
    Missing(Reason),
    /// The bytes are not TLS, or break its rules.
    NotTls,
}

/// The reason that a missing run of bytes gives.
pub(super) const fn reason(gap: Gap) -> Reason {
    match gap {
        Gap::Unseen | Gap::Overflow => Reason::Gap,
        Gap::Truncated | Gap::Skipped => Reason::Truncated,
        Gap::Lost => Reason::Lost,
        Gap::Conflict => Reason::ConflictingSegments,
    }
}

/// The lengths of encrypted records of one direction, the first [`Sizes::KEPT`] of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    lengths: [u16; Self::KEPT],
    /// How many records there were, kept or not.
    pub(super) count: u32,
}

impl Sizes {
    /// Enough for a certificate of 64 KiB in full records and what follows it.
    pub(super) const KEPT: usize = 8;

    pub(super) fn push(&mut self, length: u16) {
        let place = usize::try_from(self.count).unwrap_or(usize::MAX);
        if let Some(slot) = self.lengths.get_mut(place) {
            *slot = length;
        }
        self.count = self.count.saturating_add(1);
    }

    /// The lengths kept, in order.
    pub(super) fn kept(&self) -> &[u16] {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        &self.lengths[..count.min(Self::KEPT)]
    }
}

#[cfg(test)]
impl From<&[u16]> for Sizes {
    fn from(lengths: &[u16]) -> Self {
        let mut sizes = Self::default();
        lengths.iter().for_each(|length| sizes.push(*length));
        sizes
    }
}

/// State that both directions keep.
#[derive(Debug, Default)]
pub(super) struct Common {
    /// A ChangeCipherSpec was seen.
    pub(super) change_cipher_spec: bool,
    /// Handshake records behind it.
    pub(super) encrypted_handshakes: u32,
    /// The last plaintext alert.
    pub(super) alert: Option<Alert>,
    /// Whether an alert ended the handshake.
    pub(super) failed: bool,
    /// Why nothing more is read.
    pub(super) stop: Option<Stop>,
}

impl Common {
    pub(super) fn note_alert(&mut self, alert: Alert) {
        self.alert = Some(alert);
        self.failed |= alert.ends_handshake();
    }
}
