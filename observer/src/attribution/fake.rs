//! A made-up `/proc`, cgroup tree and set of sockets for tests.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex};

use observer_core::engine::FaceKey;

use super::roots::Roots;
use super::sought::{Found, Sockets, Sought};
use super::stat;

/// Where sockets are, by cookie, and how often each was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Mutex<HashMap<u64, (Found, usize)>>>);

impl Places {
    pub(crate) fn new(places: &[(u64, Found)]) -> Self {
        Self(Arc::new(Mutex::new(places.iter().map(|(cookie, found)| (*cookie, (*found, 0))).collect())))
    }

    pub(crate) fn sought(&self, cookie: u64, hint: u32) -> Sought {
        let end = "10.0.0.1:443".parse::<SocketAddr>().unwrap().into();
        let (local, remote) = (end, end);
        Sought { key: FaceKey(cookie), cookie, space: Some(1), local, remote, hint, listener: Some(77) }
    }

    pub(crate) fn asked(&self, cookie: u64) -> usize {
        self.0.lock().unwrap().get(&cookie).map_or(0, |(_, asked)| *asked)
    }
}

impl Sockets for Places {
    fn find(&mut self, sought: &[Sought]) -> Vec<Found> {
        let mut places = self.0.lock().unwrap();
        let found = sought.iter().map(|socket| {
            places.get_mut(&socket.cookie).map_or(Found::Gone, |(found, asked)| {
                *asked += 1;
                *found
            })
        });
        found.collect()
    }

    fn netns(&mut self, cookie: u64, _hint: u32) -> Option<u32> {
        u32::try_from(cookie + 4000).ok()
    }
}

pub(crate) struct Fake {
    _folder: tempfile::TempDir,
    roots: Roots,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (proc, cgroup) = (folder.path().join("proc"), folder.path().join("cgroup"));
        fs::create_dir_all(proc.join("1/ns")).unwrap();
        fs::create_dir_all(&cgroup).unwrap();
        symlink("pid:[4026531836]", proc.join("1/ns/pid")).unwrap();
        Self { _folder: folder, roots: Roots { proc, cgroup: Some(cgroup), pod_logs: None } }
    }

    pub(crate) fn roots(&self) -> &Roots {
        &self.roots
    }

    pub(crate) fn process(&self, pid: u32, name: &[u8], parent: u32, start_ticks: u64) -> &Self {
        let folder = self.roots.proc.join(pid.to_string());
        fs::create_dir_all(folder.join("fd")).unwrap();
        fs::create_dir_all(folder.join("ns")).unwrap();
        fs::write(folder.join("stat"), stat::line(pid, name, parent, start_ticks)).unwrap();
        self
    }

    pub(crate) fn executable(&self, pid: u32, path: &[u8]) -> &Self {
        self.link(pid, "exe", OsStr::from_bytes(path))
    }

    pub(crate) fn network_namespace(&self, pid: u32, inode: u32) -> &Self {
        self.link(pid, "ns/net", format!("net:[{inode}]"))
    }

    pub(crate) fn environment(&self, pid: u32, variables: &str) -> &Self {
        fs::write(self.roots.proc.join(pid.to_string()).join("environ"), variables).unwrap();
        self
    }

    pub(crate) fn arguments(&self, pid: u32, words: &[&str]) -> &Self {
        let line: String = words.iter().flat_map(|word| [*word, "\0"]).collect();
        fs::write(self.roots.proc.join(pid.to_string()).join("cmdline"), line).unwrap();
        self
    }

    pub(crate) fn open_socket(&self, pid: u32, file: u32, inode: u64) -> &Self {
        self.link(pid, &format!("fd/{file}"), format!("socket:[{inode}]"))
    }

    /// Puts the process into a group that is made for it and returns the group's id.
    pub(crate) fn cgroup(&self, pid: u32, path: &str) -> u64 {
        let id = self.make_cgroup(path);
        fs::write(self.roots.proc.join(pid.to_string()).join("cgroup"), format!("0::{path}\n")).unwrap();
        id
    }

    pub(crate) fn make_cgroup(&self, path: &str) -> u64 {
        let folder = self.roots.cgroup.as_ref().unwrap().join(path.trim_start_matches('/'));
        fs::create_dir_all(&folder).unwrap();
        fs::metadata(folder).unwrap().ino()
    }

    pub(crate) fn remove(&self, pid: u32) {
        fs::remove_dir_all(self.roots.proc.join(pid.to_string())).unwrap();
    }

    fn link(&self, pid: u32, name: &str, to: impl AsRef<Path>) -> &Self {
        let link = self.roots.proc.join(pid.to_string()).join(name);
        let _ = fs::remove_file(&link);
        symlink(to, link).unwrap();
        self
    }
}
