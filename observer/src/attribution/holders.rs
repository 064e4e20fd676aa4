//! Which processes hold a socket now: a look through the open files of all of them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::folder::{Folder, Unread};
use super::roots::Roots;

/// Open files looked at in one scan of all processes, and of one process.
const MOST_FILES: usize = 4_000_000;
const MOST_FILES_OF_ONE: usize = 1_000_000;
/// Holders kept of one socket: a prefork server has some hundred workers at most.
const MOST_HOLDERS: usize = 64;

/// What one scan of all processes found.
#[derive(Clone, Debug, Default)]
pub struct Holders {
    /// Pids by socket inode, for the inodes that were asked for and found; at most 64 each.
    pub by_inode: HashMap<u64, Vec<u32>>,
    /// Processes looked at.
    pub processes: usize,
    /// Open files looked at.
    pub files: usize,
    /// Processes whose open files could not be read for want of rights: what they hold is not known.
    pub not_permitted: usize,
    /// Whether the scan stopped at its bound, so that holders may be missing.
    pub cut: bool,
    /// How long it took.
    pub took: Duration,
}

impl Holders {
    /// Looks through the open files of every process for the sockets `wanted`. Work: one `readlink` an open file.
    /// Sockets that only a thread with a file table of its own holds are not found.
    #[must_use]
    pub fn scan(roots: &Roots, wanted: &HashSet<u64>) -> Self {
        let started = Instant::now();
        let mut found = Self::default();
        let pids = roots.pids().into_iter().flatten();
        for pid in pids.take_while(|_| !wanted.is_empty()) {
            found.processes += 1;
            match found.add(roots, pid, wanted) {
                Ok(()) | Err(Unread::Gone) => {}
                Err(Unread::NotPermitted) => found.not_permitted += 1,
                Err(Unread::Failed) => found.cut = true,
            }
            if found.files >= MOST_FILES {
                found.cut = true;
                break;
            }
        }
        found.took = started.elapsed();
        found
    }

    fn add(&mut self, roots: &Roots, pid: u32, wanted: &HashSet<u64>) -> Result<(), Unread> {
        let by_inode = &mut self.by_inode;
        let looked_at = Folder::open(roots, pid)?.sockets(MOST_FILES_OF_ONE, |inode| {
            if wanted.contains(&inode) {
                let pids = by_inode.entry(inode).or_default();
                // One process may hold a socket under several numbers.
                if pids.len() < MOST_HOLDERS && pids.last() != Some(&pid) {
                    pids.push(pid);
                }
            }
            true
        })?;
        self.files += looked_at;
        Ok(())
    }
}

/// Lets work happen, but not for more than 5 % of one core.
#[derive(Debug, Default)]
pub struct Pace {
    next: Option<Instant>,
}

impl Pace {
    /// When the next piece of work may start; `None` means now.
    #[must_use]
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        self.next?.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// A piece of work ended at `now` and took `took`.
    pub fn spent(&mut self, now: Instant, took: Duration) {
        self.next = Some(now + took * 19);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn finds_every_holder_of_the_sockets_asked_for_and_no_other() {
        let fake = Fake::new();
        fake.process(7, b"master", 1, 50)
            .open_socket(7, 3, 100)
            .open_socket(7, 4, 100)
            .open_socket(7, 5, 200);
        fake.process(8, b"worker", 7, 51).open_socket(8, 3, 100);
        fake.process(9, b"other", 1, 52);
        let found = Holders::scan(fake.roots(), &HashSet::from([100, 300]));
        let mut pids = found.by_inode[&100].clone();
        pids.sort_unstable();
        assert_eq!((pids, found.by_inode.len(), found.files), (vec![7, 8], 1, 4));
        assert!(!found.cut);
    }

    #[test]
    fn bounds_the_holders_of_one_socket() {
        let fake = Fake::new();
        for pid in 10..10 + 80 {
            fake.process(pid, b"worker", 1, 50).open_socket(pid, 3, 100);
        }
        assert_eq!(Holders::scan(fake.roots(), &HashSet::from([100])).by_inode[&100].len(), MOST_HOLDERS);
    }

    #[test]
    #[ignore = "makes 100,000 folders: a measurement"]
    fn looks_through_a_hundred_thousand_processes() {
        let fake = Fake::new();
        for pid in 10..100_010 {
            fake.process(pid, b"x", 1, 50).open_socket(pid, 3, u64::from(pid)).open_socket(pid, 4, 7);
        }
        let found = Holders::scan(fake.roots(), &HashSet::from([10, 100_009]));
        println!("100,000 processes with 200,000 open files: {:?}", found.took);
        assert_eq!(found.by_inode.len(), 2);
    }

    #[test]
    fn long_work_is_followed_by_a_long_pause() {
        let mut pace = Pace::default();
        let now = Instant::now();
        assert_eq!(pace.wait(now), None);
        pace.spent(now, Duration::from_secs(1));
        assert_eq!(pace.wait(now), Some(Duration::from_secs(19)));
        assert_eq!(pace.wait(now + Duration::from_secs(19)), None);
    }
}
