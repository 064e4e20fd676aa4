//! Why the program ends other than well.

use core::fmt;
use std::process::ExitCode;

/// Why the program ends other than well: one message, with what to do about it where that can be said.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A failure at run time: exit code 1.
    RunTime,
    /// A wrong call, configuration or file: exit code 2.
    Usage,
}

impl Failure {
    /// A wrong call, configuration or file.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, message: message.into() }
    }

    /// A failure at run time.
    pub fn run_time(message: impl Into<String>) -> Self {
        Self { kind: Kind::RunTime, message: message.into() }
    }

    /// The exit code that tells it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::RunTime => ExitCode::from(1),
            Kind::Usage => ExitCode::from(2),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
