//! Kubernetes versions: what was built and tried here, and what differs between them.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Error, Result};

/// A version of Kubernetes such as 1.34.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// 34 of 1.34.4
    pub minor: u32,
    patch: u32,
}

impl Version {
    /// The one that is run unless another is asked for.
    pub const DEFAULT: Self = Self { minor: 34, patch: 4 };

    /// The version of the libraries that belong to it: `v0.34.4`.
    pub fn staging(self) -> String {
        format!("v0.{}.{}", self.minor, self.patch)
    }

    /// Must a kubelet be told that control groups of version 1 are all right?
    pub const fn refuses_cgroup_v1(self) -> bool {
        self.minor >= 35
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}.{}", self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<_> = text.strip_prefix('v').unwrap_or(text).split('.').collect();
        let ["1", minor, patch] = parts[..] else {
            anyhow::bail!("{text} is no version such as {}", Self::DEFAULT);
        };
        let number = |part: &str| part.parse().with_context(|| format!("{part} is no number"));
        Ok(Self { minor: number(minor)?, patch: number(patch)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_and_written() {
        let version: Version = "v1.36.3".parse().unwrap();
        assert_eq!((version.to_string(), version.staging()), ("1.36.3".into(), "v0.36.3".into()));
        assert!(version.refuses_cgroup_v1() && !Version::DEFAULT.refuses_cgroup_v1());
        for text in ["", "1.36", "2.0.0", "1.36.x", "1.36.3.1"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
