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
    #[error(
        "the kernel does not take the programs' maps: {0} (run as root, or with CAP_BPF and CAP_NET_ADMIN; before Linux 5.11 also CAP_SYS_RESOURCE)"
    )]
    Load(#[from] Box<aya::EbpfError>),
    /// A program did not load or attach.
    #[error("the kernel does not {step} the program {name}: {error}")]
    Program {
        /// Its name.
        name: &'static str,
        /// "load" or "attach".
        step: &'static str,
        /// Why.
        error: Box<aya::programs::ProgramError>,
    },
    /// A map is missing from the object or does not take an entry.
    #[error("the kernel table {name}: {error}")]
    Map {
        /// Its name.
        name: &'static str,
        /// Why.
        error: Box<aya::maps::MapError>,
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
