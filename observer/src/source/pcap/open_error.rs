//! Why a capture cannot be opened, and what to do about it.

use core::fmt;
use std::io;

/// Why a capture cannot be opened. Its text goes behind the capture's name.
#[derive(Debug)]
pub enum OpenError {
    /// The operating system refuses to open it.
    Open(io::Error),
    /// Its first bytes cannot be read.
    Read(io::Error),
    /// It is a directory.
    Directory,
    /// Standard input was named, and it is a terminal.
    Terminal,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => match error.kind() {
                io::ErrorKind::NotFound => f.write_str("there is no such file; check the path"),
                io::ErrorKind::PermissionDenied => {
                    f.write_str("permission denied; run as a user who may read it, or change its mode with chmod")
                }
                _ => write!(f, "it cannot be opened: {error}; check the path"),
            },
            Self::Read(error) => write!(f, "it cannot be read: {error}; check the file system it is on"),
            Self::Directory => f.write_str("it is a directory; name the capture files inside it"),
            Self::Terminal => f.write_str(
                "standard input is a terminal; pipe a capture into it, as in: tcpdump -U -w - | observer replay -",
            ),
        }
    }
}

impl std::error::Error for OpenError {}
