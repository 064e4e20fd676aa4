//! What a node has, read once.

use std::path::{Path, PathBuf};

use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::{is_map_supported, is_program_supported};

use super::kernel::KernelVersion;
use super::rights::Rights;
use crate::attribution::mount::{Mount, cgroup2, has_cgroup1, is_whole};
use crate::attribution::{BootTime, Roots, read_bounded};
use crate::source::ebpf;

/// Whether a part of the kernel is there: asked of the kernel itself, not of its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It is.
    Yes,
    /// The kernel does not have it.
    No,
    /// The kernel would not say: its error, most often for want of rights.
    Unanswered(String),
}

impl Probe {
    fn of<E: std::error::Error>(answer: Result<bool, E>) -> Self {
        match answer {
            Ok(true) => Self::Yes,
            Ok(false) => Self::No,
            Err(error) => Self::Unanswered(ebpf::with_causes(&error)),
        }
    }
}

/// What became of the kernel programs of this binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// The kernel took them all; the most instructions that it verified for one, if it tells.
    Taken(Option<u32>),
    /// It did not, and why.
    Refused(String),
    /// Not tried, for want of rights.
    NotTried,
    /// This binary has none.
    NotBuiltIn,
}

impl Trial {
    /// Loads them and lets them go again; nothing is attached.
    fn make(rights: Rights) -> Self {
        if !ebpf::has_programs() {
            return Self::NotBuiltIn;
        }
        if !rights.suffice() {
            return Self::NotTried;
        }
        match ebpf::trial() {
            Ok(costs) => Self::Taken(costs.iter().filter_map(|cost| cost.verified_instructions).max()),
            Err(error) => Self::Refused(error.to_string()),
        }
    }
}

/// Everything that the report judges.
#[derive(Clone, Debug)]
pub struct Node {
    /// `uname -r`.
    pub release: String,
    /// Rights of this process.
    pub rights: Rights,
    /// The kernel programs of this binary, tried out.
    pub trial: Trial,
    /// All mounts this process sees.
    pub mounts: Vec<Mount>,
    /// Kernel parts by name.
    pub probes: Vec<(&'static str, Probe)>,
    /// `net.core.bpf_jit_enable`.
    pub jit: Option<u32>,
    /// The active mode in `/sys/kernel/security/lockdown`.
    pub lockdown: Option<String>,
    /// Soft limit of locked memory in bytes; `None` is no limit.
    pub memlock: Option<u64>,
    /// Whether `/sys/kernel/btf/vmlinux` is there.
    pub btf: bool,
    /// Whether pids are those of the initial pid namespace; `None` if that cannot be told.
    pub initial_pids: Option<bool>,
    /// The root of the version 2 hierarchy that the programs are attached to; `None` if there is none.
    pub cgroup: Option<PathBuf>,
    /// Whether that is the root of the node's whole tree.
    pub whole_cgroup_tree: bool,
    /// Nanoseconds since boot by the clock that the kernel programs use.
    pub boot_time: u64,
    /// Whether this machine has a time namespace that shifts that clock.
    pub shifted_clock: bool,
}

impl Node {
    /// Reads this machine, with the version 2 hierarchy at `cgroup` if that is given. What cannot be read is left out, never
    /// an error: the report says what that means.
    #[must_use]
    pub fn read(cgroup: Option<&Path>) -> Self {
        let text = |path: &str| String::from_utf8(read_bounded(Path::new(path)).ok()?).ok();
        let mounts = Mount::parse_all(&read_bounded(Path::new("/proc/self/mountinfo")).unwrap_or_default());
        let roots = Roots { proc: "/proc".into(), cgroup: None, pod_logs: None };
        let cgroup = match cgroup {
            Some(path) => path.join("cgroup.procs").exists().then(|| path.to_owned()),
            None => cgroup2(&mounts).map(|mount| mount.at.clone()),
        };
        let rights = Rights::here();
        let lockdown = text("/sys/kernel/security/lockdown").as_deref().and_then(chosen);
        Self {
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
            rights,
            trial: Trial::make(rights),
            whole_cgroup_tree: cgroup.as_deref().is_some_and(is_whole),
            cgroup,
            mounts,
            probes: probes(),
            jit: text("/proc/sys/net/core/bpf_jit_enable").and_then(|value| value.trim().parse().ok()),
            lockdown,
            memlock: rustix::process::getrlimit(rustix::process::Resource::Memlock).current,
            btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
            initial_pids: roots.shows_initial_pids(),
            boot_time: BootTime::now().0,
            shifted_clock: text("/proc/self/timens_offsets").is_some_and(|offsets| is_shifted(&offsets)),
        }
    }

    /// The version in [`Node::release`].
    #[must_use]
    pub fn version(&self) -> Option<KernelVersion> {
        KernelVersion::parse(&self.release)
    }

    /// Whether version 1 controllers are mounted too.
    #[must_use]
    pub fn has_cgroup1(&self) -> bool {
        has_cgroup1(&self.mounts)
    }

    /// The `hidepid` option of `/proc`, if it hides anything.
    #[must_use]
    pub fn hidepid(&self) -> Option<&str> {
        let proc =
            self.mounts.iter().rev().find(|mount| mount.kind == "proc" && mount.at == Path::new("/proc"))?;
        proc.option("hidepid").filter(|mode| !matches!(*mode, "0" | "off"))
    }
}

fn probes() -> Vec<(&'static str, Probe)> {
    vec![
        ("map: ring buffer", Probe::of(is_map_supported(MapType::RingBuf))),
        ("map: socket storage", Probe::of(is_map_supported(MapType::SkStorage))),
        ("map: LRU hash", Probe::of(is_map_supported(MapType::LruHash))),
        ("map: hash", Probe::of(is_map_supported(MapType::Hash))),
        ("map: array", Probe::of(is_map_supported(MapType::Array))),
        ("map: per-CPU array", Probe::of(is_map_supported(MapType::PerCpuArray))),
        ("program: cgroup_skb", Probe::of(is_program_supported(ProgramType::CgroupSkb))),
        ("program: cgroup connect", Probe::of(is_program_supported(ProgramType::CgroupSockAddr))),
        ("program: cgroup socket", Probe::of(is_program_supported(ProgramType::CgroupSock))),
    ]
}

/// The word in brackets of `none [integrity] confidentiality`.
fn chosen(modes: &str) -> Option<String> {
    Some(modes.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// Whether a line of `timens_offsets` (`boottime 0 0`) is not zero.
fn is_shifted(offsets: &str) -> bool {
    offsets.split_whitespace().any(|word| word.parse::<i64>().is_ok_and(|offset| offset != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_machine() {
        let node = Node::read(None);
        assert!(node.version().is_some() && !node.mounts.is_empty() && node.boot_time > 0);
        assert_eq!(node.trial == Trial::NotBuiltIn, !ebpf::has_programs());
        assert_eq!(Node::read(Some(Path::new("/nowhere"))).cgroup, None);
    }

    #[test]
    fn reads_the_chosen_lockdown_mode_and_shifted_clocks() {
        assert_eq!(chosen("none [integrity] confidentiality").as_deref(), Some("integrity"));
        assert_eq!(chosen("none"), None);
        assert!(!is_shifted("monotonic           0         0\nboottime            0         0\n"));
        assert!(is_shifted("monotonic           0         0\nboottime        86400         0\n"));
    }
}
