//! The kernel's version.

use std::fmt;

use serde::Serialize;

/// Major and minor version. Distributions carry features back, so it explains what was found and never replaces a
/// probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct KernelVersion(pub u32, pub u32);

impl KernelVersion {
    /// Reads a release such as `6.1.0-18-cloud-amd64`.
    #[must_use]
    pub fn parse(release: &str) -> Option<Self> {
        let mut parts = release.split(|character: char| !character.is_ascii_digit());
        Some(Self(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_releases_of_distributions() {
        assert_eq!(KernelVersion::parse("6.1.0-18-cloud-amd64"), Some(KernelVersion(6, 1)));
        assert_eq!(KernelVersion::parse("7.3-rc1"), Some(KernelVersion(7, 3)));
        assert_eq!(KernelVersion::parse("linux"), None);
        assert!(KernelVersion(5, 9) < KernelVersion(5, 10) && KernelVersion(5, 10) < KernelVersion(6, 1));
    }
}
