//! cgroup version 2 ids and the paths they stand for.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use lru::LruCache;

/// Paths kept.
const MOST_KEPT: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Groups looked at in one walk of the tree.
const MOST_WALKED: usize = 65_536;
/// Least time between two walks, and least multiple of a walk's own time: 5 % of one core at most.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_FACTOR: u32 = 20;

/// From the ids that the kernel programs report to paths. The id of a group is the inode of its folder (kernfs, 64-bit
/// machines: `kernfs_ino` is the whole id, `include/linux/kernfs.h`).
#[derive(Debug)]
pub struct Cgroups {
    root: Option<PathBuf>,
    /// Paths below the root, with a leading `/`; `None` for an id that a walk did not find.
    known: LruCache<u64, Option<Vec<u8>>>,
    next_walk: Option<Instant>,
    walk_was_cut: bool,
}

impl Cgroups {
    /// Reads the tree at `root`; with `None` no id is ever found.
    #[must_use]
    pub fn new(root: Option<PathBuf>) -> Self {
        Self { root, known: LruCache::new(MOST_KEPT), next_walk: None, walk_was_cut: false }
    }

    /// The id of the group at `path`, as `/proc/PID/cgroup` gives it. `None` if there is no such folder, or if the path
    /// leads out of the tree (the group lies outside the observer's own cgroup namespace).
    pub fn id(&mut self, path: &[u8]) -> Option<u64> {
        let relative = Path::new(OsStr::from_bytes(path.strip_prefix(b"/")?));
        if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
            return None;
        }
        let id = fs::metadata(self.root.as_ref()?.join(relative)).ok()?.ino();
        self.known.put(id, Some(path.to_vec()));
        Some(id)
    }

    /// The path of the group with `id`, also when its processes are gone. An id that is not known makes the tree be
    /// walked, not more often than the pause allows; until then `None`.
    pub fn path(&mut self, id: u64) -> Option<Vec<u8>> {
        if !self.known.contains(&id) && self.next_walk.is_none_or(|next| Instant::now() >= next) {
            let started = Instant::now();
            self.walk();
            self.next_walk = Some(Instant::now() + LEAST_PAUSE.max(started.elapsed() * PAUSE_FACTOR));
            if !self.known.contains(&id) {
                // Ids are not used again, so a group that a whole walk did not find is gone.
                self.known.put(id, None);
            }
        }
        self.known.get(&id).cloned().flatten()
    }

    /// Whether a walk had to stop at its bound, so that groups may be missing.
    #[must_use]
    pub fn walk_was_cut(&self) -> bool {
        self.walk_was_cut
    }

    fn walk(&mut self) {
        let Some(root) = self.root.clone() else { return };
        let mut waiting = VecDeque::from([(root, b"/".to_vec())]);
        let mut left = MOST_WALKED;
        while let Some((folder, path)) = waiting.pop_front() {
            let Ok(metadata) = fs::metadata(&folder) else { continue };
            self.known.put(metadata.ino(), Some(path.clone()));
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let Some(still) = left.checked_sub(1) else {
                    self.walk_was_cut = true;
                    return;
                };
                left = still;
                let mut below = if path == b"/" { Vec::new() } else { path.clone() };
                below.push(b'/');
                below.extend_from_slice(entry.file_name().as_bytes());
                waiting.push_back((entry.path(), below));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::super::membership::Membership;
    use super::super::roots::Roots;
    use super::*;

    #[test]
    fn a_path_and_its_id_find_each_other() {
        let fake = Fake::new();
        let id = fake.make_cgroup("/kubepods.slice/a.scope");
        let mut cgroups = Cgroups::new(fake.roots().cgroup.clone());
        assert_eq!(cgroups.id(b"/kubepods.slice/a.scope"), Some(id));
        assert_eq!(
            Cgroups::new(fake.roots().cgroup.clone()).path(id).as_deref(),
            Some(&b"/kubepods.slice/a.scope"[..])
        );
        let root = cgroups.id(b"/").unwrap();
        assert_eq!(Cgroups::new(fake.roots().cgroup.clone()).path(root).as_deref(), Some(&b"/"[..]));
    }

    #[test]
    fn keeps_the_path_of_a_group_that_is_gone() {
        let fake = Fake::new();
        let id = fake.make_cgroup("/a");
        let mut cgroups = Cgroups::new(fake.roots().cgroup.clone());
        assert!(cgroups.path(id).is_some());
        fs::remove_dir(fake.roots().cgroup.as_ref().unwrap().join("a")).unwrap();
        assert!(cgroups.path(id).is_some());
    }

    #[test]
    fn does_not_walk_again_at_once() {
        let fake = Fake::new();
        let mut cgroups = Cgroups::new(fake.roots().cgroup.clone());
        assert_eq!(cgroups.path(u64::MAX), None);
        let later = fake.make_cgroup("/later");
        assert_eq!(cgroups.path(later), None, "a walk for each unknown id would stall the observer");
        assert_eq!(cgroups.id(b"/later"), Some(later));
        assert!(cgroups.path(later).is_some());
    }

    #[test]
    fn does_not_climb_out_of_the_tree() {
        let fake = Fake::new();
        let mut cgroups = Cgroups::new(fake.roots().cgroup.clone());
        assert_eq!(cgroups.id(b"/../proc"), None);
        assert_eq!(cgroups.id(b"//"), None);
    }

    #[test]
    fn finds_this_process_on_this_machine() {
        let roots = Roots::of_this_machine().unwrap();
        let Some(path) = fs::read("/proc/self/cgroup")
            .ok()
            .and_then(|file| Membership::parse(&file).v2().map(<[u8]>::to_vec))
        else {
            println!("skipped: no cgroup version 2 here");
            return;
        };
        let mut cgroups = Cgroups::new(roots.cgroup);
        let id = cgroups.id(&path).unwrap();
        assert_eq!(cgroups.path(id).unwrap(), path);
    }
}
