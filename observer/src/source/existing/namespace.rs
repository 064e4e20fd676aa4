//! The network namespaces of this node.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::attribution::{Roots, namespace_inode};

/// Namespaces looked at: a node has one a pod.
const MOST: usize = 4096;
/// Threads of one process looked at.
const MOST_THREADS: usize = 1024;
/// Where `ip netns` and container runtimes keep namespaces that no process need be in.
const KEPT: &[&str] = &["/run/netns", "/run/docker/netns"];

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    pub(crate) inode: u32,
    /// A file that stands for it.
    file: PathBuf,
}

impl Namespace {
    /// All that can be found, each once, and how many are missing for want of room. A namespace that only a thread
    /// (not its process) is in, or only a socket, is not found.
    pub(crate) fn all(roots: &Roots) -> io::Result<(Vec<Self>, u64)> {
        let mut found = BTreeMap::new();
        let mut left_out = 0;
        let of_processes = roots.pids()?.filter_map(|pid| {
            let file = roots.proc.join(pid.to_string()).join("ns/net");
            Some((namespace_inode(&file)?, file))
        });
        let kept =
            KEPT.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().filter_map(|entry| {
                let file = entry.ok()?.path();
                Some((std::fs::metadata(&file).ok()?.ino(), file))
            });
        for (inode, file) in of_processes.chain(kept) {
            let Ok(inode) = u32::try_from(inode) else { continue };
            if found.len() < MOST {
                found.entry(inode).or_insert(file);
            } else if !found.contains_key(&inode) {
                left_out += 1;
            }
        }
        Ok((found.into_iter().map(|(inode, file)| Self { inode, file }).collect(), left_out))
    }

    /// That of a process.
    pub(crate) fn of_process(roots: &Roots, pid: u32) -> Option<Self> {
        Self::of_file(roots.proc.join(pid.to_string()).join("ns/net"))
    }

    /// Those of a process's threads, each once.
    pub(crate) fn of_threads(roots: &Roots, pid: u32) -> Vec<Self> {
        let threads = std::fs::read_dir(roots.proc.join(pid.to_string()).join("task"));
        let mut found: Vec<Self> = Vec::new();
        for thread in threads.into_iter().flatten().flatten().take(MOST_THREADS) {
            if let Some(namespace) = Self::of_file(thread.path().join("ns/net"))
                && found.iter().all(|known| known.inode != namespace.inode)
            {
                found.push(namespace);
            }
        }
        found
    }

    fn of_file(file: PathBuf) -> Option<Self> {
        let inode = u32::try_from(namespace_inode(&file)?).ok()?;
        Some(Self { inode, file })
    }

    /// Runs `work` in this namespace: where it is another one than the caller's, on a thread made for it that ends
    /// afterwards, for no other thread ever changes its namespace. Needs no rights for the caller's own.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        if self.is_own() {
            return work();
        }
        thread::scope(|scope| {
            let inside = thread::Builder::new().name("netns".into()).spawn_scoped(scope, || {
                move_into_link_name_space(File::open(&self.file)?.as_fd(), Some(LinkNameSpaceType::Network))?;
                // The process may have ended and its pid been given to another.
                if self.is_own() { work() } else { Err(io::Error::from(io::ErrorKind::NotFound)) }
            })?;
            inside.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace failed")))
        })
    }

    /// Whether the calling thread is in it.
    fn is_own(&self) -> bool {
        namespace_inode(Path::new("/proc/thread-self/ns/net")) == Some(u64::from(self.inode))
    }
}
