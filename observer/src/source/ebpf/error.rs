//! Why the live source does not start, with the fix.

use std::path::PathBuf;

/// Why the live source does not start, or a change of it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary was built without the kernel programs.
    #[error(
        "this binary was built without the kernel programs; build with `cargo xtask run`, or with `--features probes`"
    )]
    NoProbes,
    /// No cgroup v2 tree is mounted.
    #[error("no cgroup v2 tree is mounted; mount one: mount -t cgroup2 none /sys/fs/cgroup/unified")]
    NoCgroup,
    /// The root of the cgroup v2 tree does not open.
    #[error("cannot open the cgroup v2 root {}: {error}", path.display())]
    Cgroup {
        /// The root.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The object did not load.
    #[error("the kernel does not take the programs' maps: {}; `observer doctor` shows what is missing", with_causes(.0))]
    Load(#[from] Box<aya::EbpfError>),
    /// A program did not load or attach.
    #[error("the kernel does not {step} the program {name}: {}; `observer doctor` shows what is missing", refusal(.error))]
    Program {
        /// Its name.
        name: &'static str,
        /// "load" or "attach".
        step: &'static str,
        /// Why.
        error: Box<aya::programs::ProgramError>,
    },
    /// A map is missing from the object or does not take an entry.
    #[error("the kernel table {name}: {}", with_causes(.error))]
    Map {
        /// Its name.
        name: &'static str,
        /// Why.
        error: Box<aya::maps::MapError>,
    },
    /// A change was refused in its middle, and what was in force before cannot be put back either.
    #[error("{error}; what was in force before cannot be put back either: {back}; start the observer again")]
    HalfChanged {
        /// Why the change was refused.
        error: Box<Self>,
        /// Why it could not be undone.
        back: Box<Self>,
    },
    /// The object is not ours.
    #[error("the kernel object has no {0}")]
    Missing(&'static str),
    /// A ring did not map, or could not be waited for.
    #[error("cannot read the ring {name}: {error}")]
    Ring {
        /// Its name.
        name: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// The reader's thread did not start.
    #[error("cannot start the reader: {0}")]
    Thread(std::io::Error),
}

impl Error {
    pub(super) fn map(name: &'static str) -> impl FnOnce(aya::maps::MapError) -> Self {
        move |error| Self::Map { name, error: Box::new(error) }
    }
}

/// An error with the errors behind it, most of which say no more than that something failed.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some repeat what is behind them.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// Why a program was refused: of the verifier's log, which is thousands of lines, the one that tells.
fn refusal(error: &aya::programs::ProgramError) -> String {
    match error {
        aya::programs::ProgramError::LoadError { io_error, verifier_log } => {
            match verdict(&verifier_log.to_string()) {
                Some(line) => format!("{io_error}: {line}"),
                None => io_error.to_string(),
            }
        }
        error => with_causes(error),
    }
}

/// The last line of a verifier's log that is not about what the verifying cost (kernel/bpf/verifier.c,
/// print_verification_stats()).
fn verdict(log: &str) -> Option<&str> {
    const COSTS: [&str; 3] = ["processed ", "verification time ", "stack depth "];
    let mut lines = log.lines().rev().map(str::trim);
    lines.find(|line| !line.is_empty() && !COSTS.iter().any(|cost| line.starts_with(cost)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_verifiers_log_the_line_that_tells_is_taken() {
        let log = "36: (b7) r2 = 16   ; R2=16\n37: (85) call bpf_get_current_comm#16\n\
                   program of this type cannot use helper bpf_get_current_comm#16\nverification time 112 usec\n\
                   stack depth 8\nprocessed 39 insns (limit 1000000) max_states_per_insn 0\n\n";
        assert_eq!(verdict(log), Some("program of this type cannot use helper bpf_get_current_comm#16"));
        assert_eq!(verdict("\n"), None);
    }

    #[test]
    fn an_error_is_told_with_what_is_behind_it_once() {
        let cause = std::io::Error::from_raw_os_error(1);
        let error = Error::Cgroup { path: "/x".into(), error: cause };
        assert_eq!(with_causes(&error).matches("Operation not permitted").count(), 1);
    }
}
