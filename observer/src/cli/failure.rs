//! Why the program ends other than well.

use core::fmt;
use core::fmt::Write as _;
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
    /// Every line of it, with what a terminal would act on escaped: names of files come from anywhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.message.chars() {
            match character {
                '\n' => f.write_char('\n')?,
                control if control.is_control() => write!(f, "{}", control.escape_unicode())?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
