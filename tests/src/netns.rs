//! Network namespaces of a test, gone with it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// A network namespace with its loopback up.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Netns {
    /// Makes one.
    #[must_use]
    pub fn new() -> Self {
        let this =
            Self { name: format!("live-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)) };
        let path = this.path();
        std::fs::create_dir_all("/run/netns").unwrap();
        File::create(&path).unwrap();
        // As `ip netns add` does it, which the `ip` of a small guest does not know.
        let made = thread::spawn(move || {
            // SAFETY: what is no longer shared is this thread's network; descriptors stay shared.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            mount_bind("/proc/thread-self/ns/net", path)
        });
        made.join().unwrap().unwrap();
        this.ip(&["link", "set", "lo", "up"]);
        this
    }

    /// Two of them, joined by a cable: 10.77.0.1 and fd77::1 on `eth0` of the first, .2 and ::2 on `eth0` of the second.
    #[must_use]
    pub fn pair() -> (Self, Self) {
        let (one, two) = (Self::new(), Self::new());
        one.join("eth0", &two, "eth0");
        for (end, number) in [(&one, 1), (&two, 2)] {
            end.address("eth0", &format!("10.77.0.{number}/24"));
            end.address("eth0", &format!("fd77::{number}/64"));
        }
        (one, two)
    }

    /// A cable from here to there, both ends up.
    pub fn join(&self, here: &str, other: &Self, there: &str) {
        ip(&[
            "link",
            "add",
            here,
            "netns",
            &self.name,
            "type",
            "veth",
            "peer",
            "name",
            there,
            "netns",
            &other.name,
        ]);
        self.ip(&["link", "set", here, "up"]);
        other.ip(&["link", "set", there, "up"]);
    }

    /// Gives an interface an address.
    pub fn address(&self, interface: &str, address: &str) {
        if address.contains(':') {
            // Duplicate address detection would keep it unusable for a second.
            self.ip(&["addr", "add", address, "dev", interface, "nodad"]);
        } else {
            self.ip(&["addr", "add", address, "dev", interface]);
        }
    }

    /// Runs `ip` inside.
    pub fn ip(&self, words: &[&str]) {
        // A child is where the thread is that starts it.
        self.run(|| ip(words));
    }

    /// A command that runs inside, as the process that is started.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Runs it on a thread of its own, inside.
    pub fn run<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter();
                    what()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread inside, for good.
    pub fn enter(&self) {
        let file = File::open(self.path()).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// Its inode number.
    #[must_use]
    pub fn inode(&self) -> u64 {
        std::fs::metadata(self.path()).unwrap().ino()
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
        let _ = std::fs::remove_file(self.path());
    }
}

fn ip(words: &[&str]) {
    let done = Command::new("ip").args(words).output().unwrap();
    assert!(done.status.success(), "ip {}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr));
}
