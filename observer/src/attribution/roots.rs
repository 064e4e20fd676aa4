//! Where the world is: parameters, so that tests can build another one.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::mount::{Mount, cgroup2};

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO` of `include/linux/proc_ns.h`).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Most bytes read of one file of `/proc`: `mountinfo` of a node with thousands of mounts is the longest.
const MAX_FILE: u64 = 8 << 20;

/// The trees that owners are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// A `/proc` that shows the processes of the initial pid namespace.
    pub proc: PathBuf,
    /// The root of the cgroup version 2 hierarchy; `None` if there is none.
    pub cgroup: Option<PathBuf>,
    /// The kubelet's folder of pod logs; `None`: where the running kubelets say, seen through their own roots.
    pub pod_logs: Option<PathBuf>,
}

impl Roots {
    /// `/proc` and the version 2 hierarchy where it is mounted.
    ///
    /// # Errors
    /// If `/proc/self/mountinfo` cannot be read: `/proc` is not mounted.
    pub fn of_this_machine() -> io::Result<Self> {
        let proc = PathBuf::from("/proc");
        let mounts = Mount::parse_all(&read_bounded(&proc.join("self/mountinfo"))?);
        Ok(Self { proc, cgroup: cgroup2(&mounts).map(|mount| mount.at.clone()), pod_logs: None })
    }

    /// Whether the pids of this `/proc` are those that the kernel programs report. `None` if it cannot be told.
    #[must_use]
    pub fn shows_initial_pids(&self) -> Option<bool> {
        // What counts is the namespace of the mount, whose first process is 1; ours tells as much where `/proc` is our
        // own, and is readable without rights.
        let inode = namespace_inode(&self.proc.join("1/ns/pid"))
            .or_else(|| namespace_inode(&self.proc.join("self/ns/pid")))?;
        Some(inode == INITIAL_PID_NAMESPACE)
    }

    /// The processes now, as pids in no order. One that starts or ends meanwhile may be missing or already gone.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn pids(&self) -> io::Result<impl Iterator<Item = u32> + use<>> {
        let entries = std::fs::read_dir(&self.proc)?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
    }
}

/// The number in a namespace link such as `net:[4026531840]`.
pub(crate) fn namespace_inode(link: &Path) -> Option<u64> {
    inode_of_link(std::fs::read_link(link).ok()?.as_os_str().as_encoded_bytes())
}

/// The number in `KIND:[NUMBER]`.
pub(crate) fn inode_of_link(link: &[u8]) -> Option<u64> {
    let open = link.iter().position(|byte| *byte == b'[')?;
    core::str::from_utf8(link.get(open + 1..)?.strip_suffix(b"]")?).ok()?.parse().ok()
}

/// The first 8 MiB of a file.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    read_start(path, MAX_FILE)
}

/// The first `most` bytes of a file that is somebody else's: never waits for one that is a pipe or a device.
pub(crate) fn read_start(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut bytes = Vec::new();
    File::from(openat(CWD, path, flags, Mode::empty())?).take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_number_of_a_namespace() {
        assert_eq!(inode_of_link(b"net:[4026531840]"), Some(4_026_531_840));
        assert_eq!(inode_of_link(b"net:[x]"), None);
        assert_eq!(inode_of_link(b"/dev/null"), None);
    }

    #[test]
    fn finds_the_trees_of_this_machine() {
        let roots = Roots::of_this_machine().unwrap();
        assert!(roots.shows_initial_pids().is_some());
        assert!(roots.pids().unwrap().any(|pid| pid == std::process::id()));
    }
}
