//! The parts of a control plane that run on this machine now.

use std::path::{Path, PathBuf};

use observer_core::party::Component;

use super::arguments::Arguments;
use super::folder::Folder;
use super::membership::Membership;
use super::pods::uid;
use super::roots::{Roots, read_start};

/// Processes of components that are looked at.
const MOST: usize = 256;
/// Most bytes read of a component's configuration.
const MAX_FILE: u64 = 1 << 20;

/// One process of a component.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) component: Component,
    pub(crate) arguments: Arguments,
    membership: Membership,
    /// Its network namespace.
    pub(crate) netns: Option<u32>,
    root: PathBuf,
}

impl Running {
    /// All that run now, in the order of their pids; by their executables, since any program can take a name.
    pub(crate) fn list(roots: &Roots) -> Vec<Self> {
        let pids = roots.pids().into_iter().flatten();
        let mut found: Vec<Self> = pids.filter_map(|pid| Self::of(roots, pid)).take(MOST).collect();
        found.sort_by_key(|running| running.pid);
        found
    }

    fn of(roots: &Roots, pid: u32) -> Option<Self> {
        let folder = Folder::open(roots, pid).ok()?;
        let executable = folder.executable().ok()?;
        let arguments = folder.arguments().unwrap_or_default();
        Some(Self {
            pid,
            component: Component::of(&executable, arguments.plain_words())?,
            arguments,
            membership: folder.membership().unwrap_or_default(),
            netns: folder.network_namespace().ok(),
            root: roots.proc.join(pid.to_string()).join("root"),
        })
    }

    /// Whether it runs inside a pod.
    pub(crate) fn is_in_pod(&self) -> bool {
        self.membership.paths().any(|path| uid(path).is_some())
    }

    /// Where a path that the process uses is, seen from here: it may run in a container.
    pub(crate) fn path(&self, path: &str) -> Option<PathBuf> {
        Some(self.root.join(Path::new(path).strip_prefix("/").ok()?))
    }

    /// The beginning of a file that the process uses.
    pub(crate) fn file(&self, path: &str) -> Option<Vec<u8>> {
        read_start(&self.path(path)?, MAX_FILE).ok()
    }
}
