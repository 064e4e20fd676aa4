//! What is watched: as the kernel is told, and as older sockets are judged; by one configuration after another.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use observer_core::connection::Party;

use crate::attribution::Roots;
use crate::attribution::program::Watch;
use crate::cli::{Network, RunConfig};
use crate::source::ebpf::Scope;
use crate::source::existing::ExistingSocket;

/// What the configuration says about which connections are watched.
#[derive(Debug)]
pub(super) struct Watched {
    everything: bool,
    ports: Box<[bool; 65_536]>,
    addresses: Vec<Network>,
    pids: Vec<u32>,
    cgroups: Vec<u64>,
    /// Programs that are watched on every port.
    pub(super) programs: Watch,
}

impl Watched {
    /// Reads the configuration. Control groups that do not exist are given back with the reason.
    pub(super) fn of(config: &RunConfig, roots: &Roots) -> Result<Self, String> {
        let mut ports = Box::new([false; 65_536]);
        for port in config.ports.iter().flat_map(|range| range.ports()) {
            ports[usize::from(port)] = true;
        }
        let mut cgroups = Vec::new();
        for path in &config.cgroups {
            below(roots, path, &mut cgroups)?;
        }
        let programs = config.processes.iter().fold(Watch::nothing(), |watch, name| watch.with(name));
        Ok(Self {
            everything: config.scope == crate::cli::Scope::All,
            ports,
            addresses: config.addresses.clone(),
            pids: config.pids.clone(),
            cgroups,
            programs,
        })
    }

    /// The same for the kernel. Processes that run a watched program now are named one by one.
    pub(super) fn scope(&self, roots: &Roots) -> Result<Scope, String> {
        if self.everything {
            return Ok(Scope { everything: true, ..Scope::default() });
        }
        let text = |name: [u8; 16]| {
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            String::from_utf8_lossy(&name[..end]).into_owned()
        };
        let running = self.programs.running(roots).map(|(pid, _)| (pid, true));
        Ok(Scope {
            everything: false,
            ports: (1..=u16::MAX).filter(|port| self.ports[usize::from(*port)]).collect(),
            commands: self.programs.command_names().map(text).collect(),
            processes: running.chain(self.pids.iter().map(|pid| (*pid, true))).collect(),
            cgroups: self.cgroups.iter().copied().collect(),
            addresses: self
                .addresses
                .iter()
                .map(|network| network.to_string().parse())
                .collect::<Result<_, _>>()
                .map_err(|error| format!("--address: {error}"))?,
        })
    }

    /// Whether a socket that is older than the kernel programs is watched.
    pub(super) fn includes(&self, socket: &ExistingSocket) -> bool {
        let listening = socket.connection.is_none();
        let local = self.ports[usize::from(socket.socket.local.port())];
        let remote = !listening && self.ports[usize::from(socket.socket.remote.port())];
        self.everything
            || local
            || remote
            || (!listening && self.has_address(socket.socket.remote))
            || self.has_owner(&socket.owner)
            || socket.socket.cgroup_id.is_some_and(|id| self.cgroups.contains(&id))
    }

    fn has_address(&self, end: SocketAddr) -> bool {
        self.addresses.iter().any(|network| network.contains(end.ip()))
    }

    fn has_owner(&self, owner: &Party) -> bool {
        owner.process.iter().chain(&owner.opened_by).any(|process| {
            self.pids.contains(&process.pid)
                || process.executable.as_deref().is_some_and(|path| self.programs.program(path).is_some())
        })
    }
}

/// What is watched at present. Another configuration has another number.
#[derive(Debug)]
pub(super) struct Present {
    watched: RwLock<Arc<Watched>>,
    number: AtomicU64,
}

impl Present {
    pub(super) fn new(watched: Watched) -> Self {
        Self { watched: RwLock::new(Arc::new(watched)), number: AtomicU64::new(0) }
    }

    /// Which configuration it is; a look at this alone costs nothing.
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    pub(super) fn get(&self) -> Arc<Watched> {
        Arc::clone(&self.watched.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, watched: Arc<Watched>) {
        *self.watched.write().unwrap_or_else(PoisonError::into_inner) = watched;
        self.number.fetch_add(1, Ordering::Release);
    }
}

/// The id of a control group and of all below it.
fn below(roots: &Roots, path: &Path, ids: &mut Vec<u64>) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    /// Groups that one `--cgroup` may stand for: as many as the kernel's table takes.
    const MOST: usize = 4096;
    let Some(root) = &roots.cgroup else {
        return Err("--cgroup: no cgroup v2 hierarchy is mounted; give --cgroup-root".into());
    };
    let first = root.join(path.strip_prefix("/").unwrap_or(path));
    let mut waiting = vec![first.clone()];
    while let Some(folder) = waiting.pop() {
        let metadata = match std::fs::metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => metadata,
            // One below it may have gone while the others were read.
            _ if folder != first => continue,
            _ => {
                return Err(format!(
                    "--cgroup {0}: there is no such group below {1}; list them: find {1} -type d",
                    path.display(),
                    root.display()
                ));
            }
        };
        if ids.len() >= MOST {
            return Err(format!(
                "--cgroup {}: more than {MOST} groups; name one further down",
                path.display()
            ));
        }
        // The inode of a group's folder is its id (kernel/cgroup/cgroup.c, cgroup_id()).
        ids.push(metadata.ino());
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(folders.map(|entry| entry.path()));
    }
    Ok(())
}
