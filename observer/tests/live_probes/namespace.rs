//! A network namespace of a test's own.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

/// A network namespace without a name, with loopback up; gone with the last thread and socket inside. Needs no more of
/// `ip` than busybox's knows, so that the tests run in a guest as they do here.
pub(crate) struct Namespace(File);

impl Namespace {
    pub(crate) fn new() -> Self {
        let own = std::thread::spawn(|| {
            // SAFETY: a plain system call, for this thread alone.
            let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "unshare: {}", std::io::Error::last_os_error());
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let namespace = Self(own.join().unwrap());
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// `ip` inside.
    pub(crate) fn ip(&self, arguments: &[&str]) {
        // A child is where the thread is that starts it.
        let status = self.run(|| Command::new("ip").args(arguments).status().expect("`ip` is needed"));
        assert!(status.success(), "ip {arguments:?}: {status}");
    }

    /// A cable to another namespace, with an address at each end.
    pub(crate) fn cable(&self, other: &Self, here: &str, there: &str) {
        let devices = || {
            let text = self.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
            text.lines()
                .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
                .collect::<Vec<_>>()
        };
        let before = devices();
        self.ip(&["link", "add", "near", "type", "veth", "peer", "name", "far"]);
        // The other end's name is not always the one that was asked for: busybox leaves it to the kernel.
        let far = devices().into_iter().find(|name| name != "near" && !before.contains(name)).unwrap();
        other.run(|| {
            // SAFETY: a plain system call.
            let inside = unsafe { libc::gettid() };
            self.ip(&["link", "set", &far, "netns", &inside.to_string()]);
        });
        self.ip(&["addr", "add", here, "dev", "near"]);
        self.ip(&["link", "set", "near", "up"]);
        other.ip(&["addr", "add", there, "dev", &far]);
        other.ip(&["link", "set", &far, "up"]);
    }

    /// Runs `work` inside, on a thread of its own.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter();
                    work()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves this thread inside.
    pub(crate) fn enter(&self) {
        // SAFETY: setns with a descriptor that is open.
        let result = unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(result, 0, "setns: {}", std::io::Error::last_os_error());
    }
}
