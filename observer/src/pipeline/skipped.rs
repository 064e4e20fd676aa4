//! Packets that no connection wanted, by reason.

use core::fmt;

use observer_core::packet::{FragmentCounts, Skip};

/// Packets that no connection wanted, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skipped {
    unknown_link: u64,
    not_ip: u64,
    not_tcp: u64,
    truncated: u64,
    malformed: u64,
    fragments: u64,
}

impl Skipped {
    /// A packet was skipped.
    pub(super) fn count(&mut self, why: Skip) {
        *match why {
            Skip::UnknownLink => &mut self.unknown_link,
            Skip::NotIp => &mut self.not_ip,
            Skip::NotTcp => &mut self.not_tcp,
            Skip::Truncated => &mut self.truncated,
            Skip::Malformed => &mut self.malformed,
        } += 1;
    }

    /// Datagrams that could not be joined from their fragments.
    pub(super) const fn datagrams(&mut self, counts: &FragmentCounts) {
        self.fragments +=
            counts.overlapping + counts.malformed + counts.too_many + counts.timed_out + counts.evicted;
    }

    /// Adds up two counts.
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, part) in [
            (&mut self.unknown_link, other.unknown_link),
            (&mut self.not_ip, other.not_ip),
            (&mut self.not_tcp, other.not_tcp),
            (&mut self.truncated, other.truncated),
            (&mut self.malformed, other.malformed),
            (&mut self.fragments, other.fragments),
        ] {
            *sum += part;
        }
    }
}

/// Nothing if nothing was skipped.
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "; skipped: ";
        for (count, what) in [
            (self.not_ip, "not IP"),
            (self.not_tcp, "not TCP"),
            (self.unknown_link, "of an unknown link type"),
            (self.truncated, "cut within a header"),
            (self.malformed, "malformed"),
            (self.fragments, "IP datagrams whose fragments do not make a whole"),
        ] {
            if count > 0 {
                write!(f, "{separator}{count} {what}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_was_skipped_and_nothing_else() {
        let mut skipped = Skipped::default();
        assert_eq!(skipped.to_string(), "");
        skipped.count(Skip::NotTcp);
        skipped.datagrams(&FragmentCounts { fragments: 3, timed_out: 1, ..FragmentCounts::default() });
        let mut sum = skipped;
        sum.add(&skipped);
        assert_eq!(
            sum.to_string(),
            "; skipped: 2 not TCP, 2 IP datagrams whose fragments do not make a whole"
        );
    }
}
