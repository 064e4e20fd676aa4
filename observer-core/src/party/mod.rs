//! One end of a connection: which program, which part of Kubernetes, in which pod, on which node.

mod component;
mod pod;

pub use component::{Component, Distribution};
pub use pod::{Named, Pod};

use std::sync::Arc;

/// A process, named so that a re-used pid is told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22); `None` if the process was gone.
    pub start_ticks: Option<u64>,
    /// Command name as the kernel has it (at most 15 bytes; any program can set it, so it proves nothing).
    pub name: String,
    /// Path of the executable; `None` if it could not be read.
    pub executable: Option<String>,
}

/// The owner of one end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// Who holds the socket now; for a connection that was just opened, who opened it.
    pub process: Option<Process>,
    /// Who called `socket`, `bind` or `listen`, where that is another process than `process` (socket activation,
    /// prefork, passed descriptors).
    pub opened_by: Option<Process>,
    /// cgroup v2 id.
    pub cgroup_id: Option<u64>,
    /// Path of the cgroup below the v2 root.
    pub cgroup: Option<String>,
    /// Inode of the network namespace.
    pub netns: Option<u32>,
    /// Container id, from the cgroup path.
    pub container_id: Option<String>,
    /// What part of Kubernetes the process is, by its executable and arguments; `None` for any other program.
    pub component: Option<Component>,
    /// The pod that the process belongs to, or that has the address.
    pub pod: Option<Arc<Pod>>,
    /// The node's name, where it is known.
    pub node: Option<Arc<str>>,
    /// Why the process is missing, in words of the event stream.
    pub missing: Option<&'static str>,
}
