//! From a claim of the kernel programs, or from a socket's holders, to the party that owns a local end.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use observer_core::party::{Component, Distribution, Party, Process};

use super::boot_time::BootTime;
use super::cgroups::Cgroups;
use super::container;
use super::folder::{Folder, Unread};
use super::holders::Holders;
use super::pods::{NodeName, Pods};
use super::printable::{MAX_NAME, MAX_PATH, printable};
use super::roots::Roots;
use super::stat::Stat;
use crate::kubernetes::OwnPods;

/// Processes kept.
const MOST_KEPT: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Open files of one process looked at.
const MOST_FILES: usize = 1_000_000;
/// How long what may change in a living process (executable, control group, namespace) is believed.
const BELIEVED: Duration = Duration::from_secs(2);

/// What the kernel programs noted of the process that called `connect`, `socket`, `bind` or `listen`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Thread group id in the initial pid namespace; 0 where no process was at work.
    pub tgid: u32,
    /// Command name of the calling *thread*, without trailing zeros; empty if not known.
    pub name: Vec<u8>,
    /// When the call was made.
    pub called_at: BootTime,
    /// cgroup version 2 id at the call; `None` or 0 if not known.
    pub cgroup_id: Option<u64>,
}

/// One process as it was read.
#[derive(Debug)]
struct Known {
    party: Party,
    image: (u64, u64),
    stat_name: Vec<u8>,
    kernel_thread: bool,
    /// It certainly lived from its start until here.
    alive_at: BootTime,
    read_at: Instant,
}

/// Names the owners of sockets. Reads files: keep it away from the thread that empties the rings.
#[derive(Debug)]
pub struct Owners {
    roots: Roots,
    /// Whether the pids in claims are those of `roots.proc`.
    pids_fit: bool,
    cgroups: Cgroups,
    pods: Pods,
    known: LruCache<u32, Arc<Known>>,
}

impl Owners {
    /// Reads from `roots`.
    #[must_use]
    pub fn new(roots: Roots) -> Self {
        let pids_fit = roots.shows_initial_pids().unwrap_or(true);
        let cgroups = Cgroups::new(roots.cgroup.clone());
        let pods = Pods::new(roots.clone());
        Self { roots, pids_fit, cgroups, pods, known: LruCache::new(MOST_KEPT) }
    }

    /// Knows how the node is called.
    #[must_use]
    pub fn on(mut self, node: NodeName) -> Self {
        self.pods.on(node);
        self
    }

    /// Knows what the API says of this node's pods.
    #[must_use]
    pub fn with(mut self, api: Option<Arc<OwnPods>>) -> Self {
        if let Some(api) = api {
            self.pods.with(api);
        }
        self
    }

    /// The name of this node, where there is one.
    pub fn node(&mut self) -> Option<Arc<str>> {
        self.pods.node(None, None)
    }

    /// The trees it reads from.
    #[must_use]
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// The party that made a call. A process that started after the call is never named: then, and when the process is
    /// gone, the pid and the name that the kernel noted are all there is, with the reason in `missing`.
    pub fn caller(&mut self, claim: &Claim) -> Party {
        let mut party = match self.process_at(claim.tgid, claim.called_at) {
            Ok(party) => party,
            Err(missing) => {
                let noted = Process {
                    pid: claim.tgid,
                    name: printable(&claim.name, MAX_NAME),
                    start_ticks: None,
                    executable: None,
                };
                // In another pid namespace the number would be taken for somebody else's.
                let process = (claim.tgid != 0 && missing != "pid_namespace").then_some(noted);
                Party { process, missing: Some(missing), ..Party::default() }
            }
        };
        if let Some(id) = claim.cgroup_id.filter(|id| *id != 0 && party.cgroup_id != Some(*id)) {
            // It has moved since, or is gone: what counts is where it was at the call.
            let path = self.cgroups.path(id);
            if let Some(id) = path.as_deref().and_then(container::id) {
                party.container_id = Some(id.to_owned());
            }
            if let Some(placed) = path.as_deref().and_then(|path| self.pods.of(path)) {
                (party.pod, party.node) = (Some(placed.pod), placed.node);
            }
            party.cgroup_id = Some(id);
            party.cgroup = path.map(|path| printable(&path, MAX_PATH));
        }
        party
    }

    /// The process that has `pid` now, whoever had it before.
    ///
    /// # Errors
    /// The reason, in words of the event stream.
    pub fn process_now(&mut self, pid: u32) -> Result<Party, &'static str> {
        self.process_at(pid, BootTime(u64::MAX))
    }

    /// Who holds the sockets `inodes` now, from one scan of all processes; nothing for those that nobody holds.
    pub fn holders(&mut self, inodes: &HashSet<u64>) -> (HashMap<u64, Party>, Holders) {
        let found = Holders::scan(&self.roots, inodes);
        let parties =
            found.by_inode.iter().filter_map(|(inode, pids)| Some((*inode, self.holder(pids, 0)?))).collect();
        (parties, found)
    }

    /// Which of the processes `pids` holds which of the sockets `wanted` (inode and its probable holder): each is named
    /// through the folder in which the socket was seen, so that it cannot be another process of the same pid. Stops when
    /// every socket is found.
    pub fn holding(&mut self, pids: &[u32], wanted: &HashMap<u64, u32>) -> HashMap<u64, Party> {
        let mut found: HashMap<u64, Vec<Party>> = HashMap::new();
        for pid in pids {
            if found.len() == wanted.len() {
                break;
            }
            let Ok(folder) = Folder::open(&self.roots, *pid) else { continue };
            let mut seen = HashSet::new();
            // What was read until an error is still true.
            let _ = folder.sockets(MOST_FILES, |inode| {
                if wanted.contains_key(&inode) {
                    seen.insert(inode);
                }
                true
            });
            if seen.is_empty() {
                continue;
            }
            if let Ok(known) = self.read_in(*pid, &folder)
                && !known.kernel_thread
            {
                for inode in seen {
                    found.entry(inode).or_default().push(known.party.clone());
                }
            }
        }
        let best = found.into_iter().filter_map(|(inode, parties)| {
            Some((inode, self.best(parties, wanted.get(&inode).copied().unwrap_or(0))?))
        });
        best.collect()
    }

    /// Of the processes `pids`, which hold one socket, the one that most likely serves it; `opener` opened it.
    pub fn holder(&mut self, pids: &[u32], opener: u32) -> Option<Party> {
        let parties = pids.iter().filter_map(|pid| self.process_now(*pid).ok()).collect();
        self.best(parties, opener)
    }

    /// Of several holders the one that most likely serves the socket: one that was handed it by a service manager;
    /// else the opener; else the oldest that is not pid 1 (a master is older than its workers).
    fn best(&self, mut parties: Vec<Party>, opener: u32) -> Option<Party> {
        let several = parties.len() > 1;
        let rank = |party: &Party| {
            let process = party.process.as_ref();
            let pid = process.map_or(0, |process| process.pid);
            let was_handed =
                several && Folder::open(&self.roots, pid).is_ok_and(|folder| folder.was_handed_sockets(pid));
            let start = process.and_then(|process| process.start_ticks).unwrap_or(u64::MAX);
            // The first process holds what it hands to its services; alone, it serves itself.
            (pid == 1 && several, !was_handed, pid != opener, start, pid)
        };
        parties.sort_by_cached_key(rank);
        parties.into_iter().next()
    }

    fn process_at(&mut self, pid: u32, called_at: BootTime) -> Result<Party, &'static str> {
        if pid == 0 {
            return Err("no_process");
        }
        if !self.pids_fit {
            return Err("pid_namespace");
        }
        if let Some(known) = self.known.get(&pid)
            && called_at <= known.alive_at
            && known.read_at.elapsed() < BELIEVED
        {
            return verdict(known, called_at);
        }
        match self.read(pid) {
            Ok(known) => verdict(&known, called_at),
            Err(unread) => {
                // What was known of the pid still holds for a call made while that process lived.
                if let Some(known) = self.known.get(&pid)
                    && unread == Unread::Gone
                    && called_at <= known.alive_at
                {
                    return verdict(known, called_at);
                }
                Err(match unread {
                    Unread::Gone => "process_exited",
                    Unread::NotPermitted => "not_permitted",
                    Unread::Failed => "process_unreadable",
                })
            }
        }
    }

    fn read(&mut self, pid: u32) -> Result<Arc<Known>, Unread> {
        let folder = Folder::open(&self.roots, pid)?;
        self.read_in(pid, &folder)
    }

    fn read_in(&mut self, pid: u32, folder: &Folder) -> Result<Arc<Known>, Unread> {
        let alive_at = BootTime::now();
        let stat = folder.stat()?;
        if let Some(known) = self.known.get(&pid).cloned() {
            let same_process =
                known.party.process.as_ref().and_then(|it| it.start_ticks) == Some(stat.start_ticks);
            let same_program = known.image == stat.image && known.stat_name == stat.name;
            if same_process && same_program && known.read_at.elapsed() < BELIEVED {
                return Ok(self.keep(pid, known.party.clone(), &stat, alive_at, known.read_at));
            }
        }
        let membership = folder.membership().unwrap_or_default();
        let executable = folder.executable().ok();
        let netns = folder.network_namespace().ok();
        let component = executable.as_deref().and_then(|executable| component(executable, folder));
        let placed = membership.paths().find_map(|path| self.pods.of(path));
        let (pod, node) = match placed {
            Some(placed) => (Some(placed.pod), placed.node),
            None => (None, self.pods.node(netns, component)),
        };
        let party = Party {
            component,
            // Behind such a process are others, in a kernel of their own.
            missing: executable
                .as_deref()
                .filter(|it| pod.is_some() && sandbox(it))
                .map(|_| "sandboxed_runtime"),
            process: Some(Process {
                pid,
                start_ticks: Some(stat.start_ticks),
                name: printable(&stat.name, MAX_NAME),
                executable,
            }),
            cgroup_id: membership.v2().and_then(|path| self.cgroups.id(path)),
            cgroup: membership.path(),
            netns,
            container_id: membership.container_id(),
            pod,
            node,
            ..Party::default()
        };
        Ok(self.keep(pid, party, &stat, alive_at, Instant::now()))
    }

    fn keep(
        &mut self,
        pid: u32,
        party: Party,
        stat: &Stat,
        alive_at: BootTime,
        read_at: Instant,
    ) -> Arc<Known> {
        let known = Arc::new(Known {
            party,
            image: stat.image,
            stat_name: stat.name.clone(),
            kernel_thread: stat.kernel_thread,
            alive_at,
            read_at,
        });
        self.known.put(pid, Arc::clone(&known));
        known
    }
}

/// The part of the control plane that a process is. Its command line is read only where the executable can be several.
fn component(executable: &str, folder: &Folder) -> Option<Component> {
    Component::of(executable, []).or_else(|| {
        let can_be_several = Distribution::of(executable).is_some() || executable.ends_with("/hyperkube");
        let arguments = can_be_several.then(|| folder.arguments().ok()).flatten()?;
        Component::of(executable, arguments.plain_words())
    })
}

/// Whether an executable runs a pod's processes in a kernel of its own: gVisor's, or a virtual machine of Kata's.
fn sandbox(executable: &str) -> bool {
    let name = executable.rsplit('/').next().unwrap_or(executable);
    name.starts_with("runsc")
        || name.starts_with("qemu-system-")
        || matches!(
            name,
            "cloud-hypervisor" | "firecracker" | "stratovirt" | "containerd-shim-kata-v2" | "kata-qemu"
        )
}

fn verdict(known: &Known, called_at: BootTime) -> Result<Party, &'static str> {
    let start = known.party.process.as_ref().and_then(|process| process.start_ticks).unwrap_or(u64::MAX);
    if known.kernel_thread {
        // It works off what others left behind.
        return Err("kernel_thread");
    }
    if BootTime::from_start_ticks(start) > called_at { Err("pid_reused") } else { Ok(known.party.clone()) }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vanishing;
