//! Connections and listeners that are older than the kernel programs.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use observer_core::connection::Party;
use observer_core::engine::{FaceKey, Opened, Role};
use observer_core::time::Timestamp;

use super::watched::Watched;
use crate::attribution::Owners;
use crate::source::ebpf::{Control, OlderSocket};
use crate::source::existing::{Existing, Pair};

/// What was there before the kernel programs.
#[derive(Debug, Default)]
pub(super) struct Older {
    /// Watched connections.
    pub(super) connections: Vec<Opened>,
    /// Which of them are the two ends of one connection.
    pub(super) pairs: Vec<Pair>,
    /// Holders of watched listeners by cookie.
    pub(super) listeners: HashMap<u64, Box<Party>>,
    /// What could not be listed, in words.
    pub(super) holes: Vec<String>,
}

/// Lists what is there, and tells the kernel about those of it that are watched, and about no others. Done again with
/// each configuration: then the kernel makes known what speaks, and what is listed has no use.
pub(super) fn list(owners: &mut Owners, watched: &Watched, control: &Control, now: Timestamp) -> Older {
    let mut older = Older::default();
    let existing = match Existing::list(owners) {
        Ok(existing) => existing,
        Err(error) => {
            older.holes.push(format!("older connections cannot be listed: {error}"));
            return older;
        }
    };
    let seen = beneath(owners.roots().cgroup.as_deref());
    let is_seen = |group: Option<u64>| seen.as_ref().zip(group).is_none_or(|(seen, id)| seen.contains(&id));
    let included =
        || existing.sockets.iter().filter(|it| watched.includes(it) && is_seen(it.socket.cgroup_id));
    control.forget_older(&included().map(|socket| socket.socket.cookie).collect());
    let mut refused = 0_u64;
    for socket in included() {
        let role = match socket.connection {
            Some((role, _, true)) => Some(role),
            Some((_, _, false)) => None,
            None => Some(Role::Server),
        };
        let told = OlderSocket {
            tgid: socket.owner.process.as_ref().map(|process| process.pid),
            watched: true,
            role,
        };
        if control.tell_older(socket.socket.cookie, told).is_err() {
            refused += 1;
        }
        match socket.opened(now) {
            Some(opened) => older.connections.push(opened),
            None => {
                older.listeners.insert(socket.socket.cookie, Box::new(socket.owner.clone()));
            }
        }
    }
    let watched: HashSet<FaceKey> = older.connections.iter().map(|opened| opened.key).collect();
    older.pairs.extend(
        existing.pairs.iter().filter(|pair| watched.contains(&pair.one) && watched.contains(&pair.other)),
    );
    if let Err(error) = control.apply() {
        older.holes.push(format!("the kernel did not take what is known of older sockets: {error}"));
    }
    if refused > 0 {
        older.holes.push(format!("{refused} older sockets did not fit in the kernel's table"));
    }
    if existing.sockets_left_out > 0 || existing.namespaces_left_out > 0 {
        older.holes.push(format!(
            "{} older sockets and {} network namespaces were beyond the bounds",
            existing.sockets_left_out, existing.namespaces_left_out
        ));
    }
    for (namespace, error) in existing.unreachable.iter().take(4) {
        older.holes.push(format!("network namespace {namespace} could not be listed: {error}"));
    }
    older
}

/// The ids of the control groups from which the kernel programs see something; `None` if that is all of them. They hang on
/// `root`, which need not be the node's own: what is beside it never shows a packet, and is nothing of ours.
fn beneath(root: Option<&Path>) -> Option<HashSet<u64>> {
    /// Of the node's own root (`kernel/cgroup/cgroup.c`).
    const NODE: u64 = 1;
    const MOST: usize = 1 << 16;
    let root = root?;
    let mut ids = HashSet::from([std::fs::metadata(root).ok()?.ino()]);
    if ids.contains(&NODE) {
        return None;
    }
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        // One that is gone meanwhile has nothing below it.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if let Ok(about) = entry.metadata()
                && about.is_dir()
            {
                ids.insert(about.ino());
                folders.push(entry.path());
            }
        }
        if ids.len() > MOST {
            return None;
        }
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_below_a_root_of_its_own_are_those_that_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let id = |path: &Path| std::fs::metadata(path).unwrap().ino();
        let [root, inner, beside] = ["root", "root/a/b", "beside"].map(|name| folder.path().join(name));
        for path in [&inner, &beside] {
            std::fs::create_dir_all(path).unwrap();
        }
        let seen = beneath(Some(&root)).unwrap();
        assert!(seen.contains(&id(&root)) && seen.contains(&id(&inner)) && !seen.contains(&id(&beside)));
        assert_eq!((beneath(None), beneath(Some(&folder.path().join("none")))), (None, None));
    }
}
