//! What a machine must have for a live test, and the folder it works in.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::certificates::Certificates;

/// The folder of one test and its certificates.
#[derive(Debug)]
pub struct World {
    folder: TempDir,
    _alone: File,
    /// For its peers.
    pub certificates: Certificates,
}

impl World {
    /// Makes it, or says why this machine cannot run the test.
    ///
    /// # Errors
    /// The reason for a skip.
    pub fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("needs root".into());
        }
        if observer().is_none() {
            return Err("OBSERVER_BINARY names no observer".into());
        }
        // The daemon sees the whole machine, and the ports are the same: no other process may run these tests now.
        let alone = File::create(std::env::temp_dir().join("observer-live-tests.lock")).unwrap();
        alone.lock().unwrap();
        let folder = tempfile::Builder::new().prefix("live-").tempdir().unwrap();
        let certificates = Certificates::make(folder.path());
        Ok(Self { folder, _alone: alone, certificates })
    }

    /// Where the test may write.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The command under test.
#[must_use]
pub fn observer() -> Option<PathBuf> {
    std::env::var_os("OBSERVER_BINARY").map(PathBuf::from).filter(|path| path.is_file())
}

/// Is this program there?
#[must_use]
pub fn has(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program} >/dev/null")])
        .status()
        .is_ok_and(|it| it.success())
}

/// Says why a test, or a part of one, tests nothing here.
pub fn skipped(reason: impl core::fmt::Display) {
    println!("skipped: {reason}");
}

/// The [`World`] of a test, or returns from it, saying why.
#[macro_export]
macro_rules! world {
    () => {
        match $crate::world::World::new() {
            Ok(world) => world,
            Err(reason) => {
                $crate::world::skipped(reason);
                return;
            }
        }
    };
}

/// Where the sources of the peers are.
#[must_use]
pub fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Where the tree of control groups of version 2 is mounted.
#[must_use]
pub fn cgroups() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    PathBuf::from(fields.find(|it| it[2] == "cgroup2").unwrap()[1])
}
