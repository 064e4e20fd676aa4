//! Control groups: each machine of the cluster has one of ours, each of its programs is started in one below that, and the
//! pods are below another. Whatever is in
//! them belongs to the cluster, whoever started it and however that one ended.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::command;

/// Of all our groups, below the root of each tree.
const NAME: &str = "observer-cluster";

/// Where control groups are mounted: one tree for each controller of version 1, or one for all.
fn trees() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounted(&mounts).into_iter().map(PathBuf::from).collect()
}

fn mounted(mounts: &str) -> Vec<&str> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.filter_map(|it| matches!(it[..], [_, _, "cgroup" | "cgroup2", ..]).then_some(it[1])).collect()
}

/// The group below which a worker keeps its pods, as a kubelet wants it told.
pub fn pods(worker: &str) -> String {
    format!("/{NAME}/{worker}/pods")
}

/// Makes a group of a machine's in every tree and returns its folders.
fn make(machine: &str, name: &str) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for tree in trees() {
        let mut folder = tree;
        for part in [NAME, machine, name] {
            folder.push(part);
            std::fs::create_dir_all(&folder)?;
            // A group that names no processors takes no process.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let above = folder.with_file_name(file);
                let own = folder.join(file);
                if let (Ok(value), Ok(now)) = (std::fs::read(above), std::fs::read(&own))
                    && now.trim_ascii().is_empty()
                {
                    std::fs::write(own, value)?;
                }
            }
        }
        folders.push(folder);
    }
    Ok(folders)
}

/// Makes the group below which a worker keeps its pods.
pub fn make_for_pods(worker: &str) -> Result<()> {
    make(worker, "pods").map(drop)
}

/// Lines for a shell that puts itself into a machine's group of this name.
pub fn enter(machine: &str, name: &str) -> Result<String> {
    let folders = make(machine, name)?;
    Ok(folders.iter().map(|it| format!("echo $$ >{}/cgroup.procs\n", it.display())).collect())
}

/// The process that was started in the group of this name, and is still there.
pub fn pid_of(name: &str) -> Option<u32> {
    let mut found = BTreeSet::new();
    for machine in children(&trees().first()?.join(NAME)) {
        collect(&machine.join(name), &mut found);
    }
    let own = |pid: &u32| command_name(*pid).is_some_and(|it| name.starts_with(&it));
    found.into_iter().find(own)
}

/// What a process is called, at most 15 bytes of it.
fn command_name(pid: u32) -> Option<String> {
    Some(std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

/// All processes of a pod, by the worker that it is on.
pub fn processes_of_pod(worker: &str, uid: &str) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for tree in trees() {
        below_pod(&tree.join(pods(worker).trim_start_matches('/')), uid, &mut found);
    }
    found
}

fn below_pod(folder: &Path, uid: &str, found: &mut BTreeSet<u32>) {
    for child in children(folder) {
        if child.file_name().is_some_and(|name| name.to_string_lossy().contains(uid)) {
            collect(&child, found);
        } else {
            below_pod(&child, uid, found);
        }
    }
}

/// A command that is in a machine's group of this name from its first moment, for what is started and waited for: should we be
/// ended before it, `down` finds it.
pub fn command_in(machine: &str, name: &str, words: Command) -> Result<Command> {
    let mut command = command("sh");
    command
        .args(["-ec", &(enter(machine, name)? + "exec \"$@\""), "sh"])
        .arg(words.get_program())
        .args(words.get_args());
    Ok(command)
}

/// Ends every process that is in a group of ours, and removes the groups.
pub fn clear() -> Result<()> {
    let began = Instant::now();
    loop {
        let processes = processes();
        if processes.is_empty() {
            break;
        }
        if began.elapsed() > Duration::from_secs(20) {
            bail!("these processes do not end: {processes:?}");
        }
        let mut kill = command("kill");
        kill.arg("-KILL").args(processes.iter().map(ToString::to_string));
        // One that has ended by itself in between is no failure.
        let _ = kill.stderr(std::process::Stdio::null()).status();
        std::thread::sleep(Duration::from_millis(50));
    }
    for tree in trees() {
        remove(&tree.join(NAME));
    }
    let left: Vec<_> = trees().into_iter().map(|tree| tree.join(NAME)).filter(|it| it.exists()).collect();
    if !left.is_empty() {
        bail!("control groups that cannot be removed: {left:?}");
    }
    Ok(())
}

/// All processes of the cluster.
pub fn processes() -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for tree in trees() {
        collect(&tree.join(NAME), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut BTreeSet<u32>) {
    let listed = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    // A process of another process namespace is told as 0; there is none of those in ours.
    found.extend(listed.lines().filter_map(|line| line.parse().ok()).filter(|pid: &u32| *pid != 0));
    for child in children(folder) {
        collect(&child, found);
    }
}

fn remove(folder: &Path) {
    for child in children(folder) {
        remove(&child);
    }
    // A group stays for a moment after its last process.
    for _ in 0..100 {
        match std::fs::remove_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(20));
            }
            _ => return,
        }
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|it| it.path()).filter(|path| path.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_found() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mounted(mounts), ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"]);
    }
}
