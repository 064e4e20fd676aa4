//! Ports as an operator writes them.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

/// One port, or all from one to another: `6443` or `30000-32767`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// One port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// The ports, from the first to the last.
    #[must_use]
    pub const fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| match text.trim().parse() {
            Ok(0) | Err(_) => Err(format!("`{}` is not a port from 1 to 65535", text.trim())),
            Ok(port) => Ok(port),
        };
        match text.split_once('-') {
            None => port(text).map(Self::one),
            Some((first, last)) => {
                let (first, last) = (port(first)?, port(last)?);
                if first > last {
                    return Err(format!("the range {first}-{last} runs backwards; write {last}-{first}"));
                }
                Ok(Self { first, last })
            }
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_port_and_a_range() {
        assert_eq!("6443".parse(), Ok(PortRange::one(6443)));
        assert_eq!("1-65535".parse::<PortRange>().unwrap().ports(), 1..=65535);
        assert_eq!("10250 - 10255".parse::<PortRange>().unwrap().to_string(), "10250-10255");
    }

    #[test]
    fn refuses_what_is_no_port_and_says_so() {
        for text in ["", "0", "65536", "-1", "http", "1-", "1-2-3"] {
            assert!(
                text.parse::<PortRange>().unwrap_err().contains("is not a port from 1 to 65535"),
                "{text}"
            );
        }
        assert!("9-7".parse::<PortRange>().unwrap_err().ends_with("write 7-9"));
    }
}
