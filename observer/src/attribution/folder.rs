//! `/proc/PID` held open: everything read through it is of one process, even if its pid is given to another.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

use super::arguments::Arguments;
use super::membership::Membership;
use super::printable::{MAX_PATH, printable};
use super::roots::{Roots, inode_of_link};
use super::stat::Stat;

/// Most bytes read of `cgroup`, `cmdline` and `environ`.
const MAX_FILE: u64 = 64 << 10;

/// Why a process could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unread {
    /// There is no such process (any more).
    Gone,
    /// The observer lacks the right (`hidepid`, no `CAP_SYS_PTRACE`).
    NotPermitted,
    /// Anything else, such as too many open files.
    Failed,
}

impl From<Errno> for Unread {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::SRCH => Self::Gone,
            Errno::ACCESS | Errno::PERM => Self::NotPermitted,
            _ => Self::Failed,
        }
    }
}

/// The open folder of one process.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder of the process that has `pid` now.
    ///
    /// # Errors
    /// [`Unread::Gone`] if there is none; the others as they say.
    pub fn open(roots: &Roots, pid: u32) -> Result<Self, Unread> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, roots.proc.join(pid.to_string()), flags, Mode::empty())?))
    }

    /// Its name, parent and start.
    ///
    /// # Errors
    /// As [`Folder::open`]; [`Unread::Failed`] for a line that is not of the form.
    pub fn stat(&self) -> Result<Stat, Unread> {
        Stat::parse(&self.read("stat")?).ok_or(Unread::Failed)
    }

    /// Path of its executable as its own mount namespace has it, fit to print. A file that was replaced on disk keeps
    /// its path, without the kernel's ` (deleted)`.
    ///
    /// # Errors
    /// As [`Folder::open`]; threads of the kernel and zombies have none and give [`Unread::Gone`].
    pub fn executable(&self) -> Result<String, Unread> {
        let link = self.link("exe")?;
        let path = match link.strip_suffix(b" (deleted)") {
            // A file can really have such a name: then the link leads to a file that still has one.
            Some(path)
                if statat(&self.0, "exe", AtFlags::empty()).map_or(true, |file| file.st_nlink == 0) =>
            {
                path
            }
            _ => &link,
        };
        Ok(printable(path, MAX_PATH))
    }

    /// What of its command line may be known.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn arguments(&self) -> Result<Arguments, Unread> {
        Ok(Arguments::parse(&self.read("cmdline")?))
    }

    /// Its control groups.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn membership(&self) -> Result<Membership, Unread> {
        Ok(Membership::parse(&self.read("cgroup")?))
    }

    /// Inode of its network namespace.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn network_namespace(&self) -> Result<u32, Unread> {
        inode_of_link(&self.link("ns/net")?).and_then(|inode| u32::try_from(inode).ok()).ok_or(Unread::Failed)
    }

    /// Whether it was started with sockets handed to it (sd_listen_fds(3)): `LISTEN_PID` in its environment is its own
    /// pid. False for a service in a pid namespace of its own, whose `LISTEN_PID` is another number, and for one that
    /// removed the variable.
    #[must_use]
    pub fn was_handed_sockets(&self, pid: u32) -> bool {
        let Ok(environment) = self.read("environ") else { return false };
        let own = format!("LISTEN_PID={pid}").into_bytes();
        environment.split(|byte| *byte == 0).any(|variable| variable == own)
    }

    /// Calls `with` for the inode of each socket among its open files, as long as it returns true, up to `most` files.
    /// Returns how many files were looked at.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn sockets(&self, most: usize, mut with: impl FnMut(u64) -> bool) -> Result<usize, Unread> {
        let folder =
            openat(&self.0, "fd", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut looked_at = 0;
        // Links to sockets are short; a longer one is cut, and is then no socket's.
        let mut buffer = [0u8; 64];
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            if entry.file_name().to_bytes().starts_with(b".") {
                continue;
            }
            if looked_at == most {
                break;
            }
            looked_at += 1;
            // A file that was closed meanwhile is passed over.
            let Ok(length) = rustix::fs::readlinkat_raw(&folder, entry.file_name(), &mut buffer) else {
                continue;
            };
            let link = buffer.get(..length).unwrap_or_default();
            if link.starts_with(b"socket:[") && inode_of_link(link).is_some_and(|inode| !with(inode)) {
                break;
            }
        }
        Ok(looked_at)
    }

    fn link(&self, name: impl AsRef<Path>) -> Result<Vec<u8>, Unread> {
        Ok(readlinkat(&self.0, name.as_ref(), Vec::with_capacity(256))?.into_bytes())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Unread> {
        let file = openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        // Most of these files end before this, and then two reads do.
        let mut bytes = Vec::with_capacity(1024);
        match File::from(file).take(MAX_FILE).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Errno::from_io_error(&error).map_or(Unread::Failed, Unread::from)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn reads_a_process() {
        let fake = Fake::new();
        fake.process(7, b"kubelet", 1, 50).executable(7, b"/usr/bin/kubelet").network_namespace(7, 99);
        let folder = Folder::open(fake.roots(), 7).unwrap();
        assert_eq!(folder.stat().unwrap().name, b"kubelet");
        assert_eq!(folder.executable().unwrap(), "/usr/bin/kubelet");
        assert_eq!(folder.network_namespace().unwrap(), 99);
    }

    #[test]
    fn a_replaced_executable_keeps_its_path() {
        let fake = Fake::new();
        fake.process(7, b"kubelet", 1, 50).executable(7, b"/usr/bin/kubelet (deleted)");
        assert_eq!(Folder::open(fake.roots(), 7).unwrap().executable().unwrap(), "/usr/bin/kubelet");
    }

    #[test]
    fn an_executable_that_is_really_called_deleted_keeps_its_name() {
        let fake = Fake::new();
        let file = fake.roots().proc.join("x (deleted)");
        std::fs::write(&file, "").unwrap();
        fake.process(7, b"x", 1, 50).executable(7, file.as_os_str().as_encoded_bytes());
        assert!(Folder::open(fake.roots(), 7).unwrap().executable().unwrap().ends_with("x (deleted)"));
    }

    #[test]
    fn a_hostile_executable_path_is_escaped() {
        let fake = Fake::new();
        fake.process(7, b"x", 1, 50).executable(7, b"/tmp/a\n\xff{\"pid\":1}");
        assert_eq!(Folder::open(fake.roots(), 7).unwrap().executable().unwrap(), "/tmp/a\\n\\xff{\"pid\":1}");
    }

    #[test]
    fn says_that_a_process_is_gone() {
        let fake = Fake::new();
        assert_eq!(Folder::open(fake.roots(), 7).unwrap_err(), Unread::Gone);
        fake.process(7, b"x", 1, 50);
        let folder = Folder::open(fake.roots(), 7).unwrap();
        fake.remove(7);
        assert_eq!(folder.stat().unwrap_err(), Unread::Gone);
    }

    #[test]
    fn an_open_folder_never_shows_the_next_process_of_the_same_pid() {
        let fake = Fake::new();
        fake.process(7, b"old", 1, 50);
        let folder = Folder::open(fake.roots(), 7).unwrap();
        fake.remove(7);
        fake.process(7, b"new", 1, 60);
        assert_eq!(folder.stat().unwrap_err(), Unread::Gone);
    }

    #[test]
    fn a_thread_of_the_kernel_has_no_executable() {
        let roots = Roots::of_this_machine().unwrap();
        let Some(folder) =
            Folder::open(&roots, 2).ok().filter(|it| it.stat().is_ok_and(|stat| stat.kernel_thread))
        else {
            println!("skipped: pid 2 is not kthreadd here (a container's pid namespace)");
            return;
        };
        assert_eq!(folder.executable().unwrap_err(), Unread::Gone);
    }

    #[test]
    fn lists_no_more_files_than_asked() {
        let fake = Fake::new();
        fake.process(7, b"x", 1, 50);
        for file in 0..10 {
            fake.open_socket(7, file, 100 + u64::from(file));
        }
        let folder = Folder::open(fake.roots(), 7).unwrap();
        let mut seen = 0;
        let looked_at = folder
            .sockets(4, |_| {
                seen += 1;
                true
            })
            .unwrap();
        assert_eq!((looked_at, seen), (4, 4));
    }
}
