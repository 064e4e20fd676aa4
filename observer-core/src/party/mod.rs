//! One end of a connection: which program, which part of Kubernetes, in which pod, on which node.

mod component;
mod parties;
mod pod;

pub use component::{Component, Distribution};
pub(crate) use parties::Parties;
pub use pod::{Named, Pod};

use std::sync::Arc;

/// Why the holder of an accepted socket is missing while nobody was seen with it yet.
pub const NOT_YET: &str = "holder_not_known_yet";

/// A process, named so that a re-used pid is told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Process {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22); `None` if the process was gone.
    pub start_ticks: Option<u64>,
    /// Command name as the kernel has it (at most 15 bytes; any program can set it, so it proves nothing).
    pub name: String,
    /// Path of the executable; `None` if it could not be read.
    pub executable: Option<String>,
}

/// The owner of one end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Party {
    /// Who holds the socket, or held it last; for a connection that was just dialled, who dialled.
    pub process: Option<Process>,
    /// Who called `socket`, `bind` or `listen`, where that is another process than `process` (socket activation,
    /// prefork, passed descriptors).
    pub opened_by: Option<Process>,
    /// cgroup v2 id.
    pub cgroup_id: Option<u64>,
    /// Path of the cgroup below the v2 root.
    pub cgroup: Option<String>,
    /// Inode of the network namespace.
    pub netns: Option<u32>,
    /// Container id, from the cgroup path.
    pub container_id: Option<String>,
    /// What part of Kubernetes the process is, by its executable and arguments; `None` for any other program.
    pub component: Option<Component>,
    /// The pod that the process belongs to, or that has the address.
    pub pod: Option<Arc<Pod>>,
    /// The node's name, where it is known.
    pub node: Option<Arc<str>>,
    /// Why the process is missing, in words of the event stream.
    pub missing: Option<&'static str>,
    /// Nobody saw who opened it: the socket, or its listener, is older than the observer.
    pub opener_unseen: bool,
}

impl Party {
    /// Whether nothing but an address says who it is.
    #[must_use]
    pub fn is_by_address(&self) -> bool {
        self.process.is_none() && self.pod.as_ref().is_some_and(|pod| pod.named == Named::Api)
    }

    /// Whether nothing but the name of its program says which component it is: it runs in a pod that anybody may have made.
    #[must_use]
    pub fn is_component_claimed(&self) -> bool {
        let namespace = self.pod.as_ref().and_then(|pod| pod.namespace.as_deref());
        self.component.is_some()
            && namespace.is_some_and(|it| it != "kube-system" && !it.starts_with("openshift-"))
    }

    /// Whether it is only what was noted at the call, and the process itself is still being read.
    #[must_use]
    pub fn is_being_read(&self) -> bool {
        let noted = self.process.as_ref().or(self.opened_by.as_ref());
        self.missing.is_none()
            && noted.is_some_and(|process| process.start_ticks.is_none() && process.executable.is_none())
    }

    /// Whether nobody was seen yet with a socket that was accepted, and somebody may be at any moment.
    #[must_use]
    pub fn is_being_sought(&self) -> bool {
        self.process.is_none() && self.missing == Some(NOT_YET)
    }

    /// Takes in who holds the socket now. Whoever opened it stays known, as `opened_by` where that is another process,
    /// and so does the network namespace, which is the socket's. A holder that could not be found leaves everything as it
    /// is, but for the reason.
    pub fn held_by(&mut self, holder: Self) {
        self.netns = holder.netns.or(self.netns);
        let Some(process) = &holder.process else {
            if self.process.is_none() {
                self.missing = holder.missing.or(self.missing);
            }
            return;
        };
        // It was seen to hold the socket before and is gone now, so its number is all that could be read again.
        let gone = process.start_ticks.is_none();
        if self.process.as_ref().is_some_and(|known| known.pid == process.pid && gone) {
            return;
        }
        let opener = match self.opened_by.take() {
            Some(opener) => Some(opener),
            None if self.opener_unseen => None,
            None => self.process.take(),
        };
        let unresolved = self.missing.is_none();
        let opened_by = opener.filter(|opener| !opener.is(process, unresolved));
        *self = Self { opened_by, netns: self.netns, opener_unseen: self.opener_unseen, ..holder };
    }
}

impl Process {
    /// Whether both are one process: by pid and start. `alone`: a pid whose start was not asked for yet counts as well.
    fn is(&self, other: &Self, alone: bool) -> bool {
        self.pid == other.pid
            && (self.start_ticks == other.start_ticks
                || (alone && self.start_ticks.is_none() && other.start_ticks.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, start_ticks: u64) -> Option<Process> {
        Some(Process { pid, start_ticks: Some(start_ticks), name: format!("p{pid}"), executable: None })
    }

    fn holder(pid: u32, start: u64) -> Party {
        Party {
            process: process(pid, start),
            cgroup: Some(format!("/{pid}")),
            netns: None,
            ..Party::default()
        }
    }

    #[test]
    fn the_opener_of_a_listener_that_accepts_itself_is_the_holder_alone() {
        let mut end =
            Party { opened_by: process(5, 50), netns: Some(9), missing: Some("x"), ..Party::default() };
        end.held_by(holder(5, 50));
        assert_eq!(end, Party { netns: Some(9), ..holder(5, 50) });
    }

    #[test]
    fn a_socket_that_goes_from_hand_to_hand_keeps_its_opener() {
        let mut end = holder(5, 50);
        for pid in [6, 7] {
            end.held_by(holder(pid, 60));
            assert_eq!((&end.process, &end.opened_by), (&process(pid, 60), &process(5, 50)));
        }
        end.held_by(holder(5, 50));
        assert_eq!((&end.process, &end.opened_by), (&process(5, 50), &None));
    }

    #[test]
    fn another_process_of_the_same_pid_is_another_process() {
        let mut end = holder(5, 50);
        end.held_by(holder(5, 70));
        assert_eq!((&end.process, &end.opened_by), (&process(5, 70), &process(5, 50)));
        let gone = Process { pid: 5, name: "noted".into(), ..Process::default() };
        let mut end =
            Party { opened_by: Some(gone.clone()), missing: Some("pid_reused"), ..Party::default() };
        end.held_by(holder(5, 70));
        assert_eq!((&end.process, &end.opened_by), (&process(5, 70), &Some(gone)));
    }

    #[test]
    fn an_opener_whose_start_was_not_read_yet_is_known_by_its_pid() {
        let noted = Process { pid: 5, name: "noted".into(), ..Process::default() };
        let mut end = Party { process: Some(noted), ..Party::default() };
        end.held_by(holder(5, 50));
        assert_eq!((&end.process, &end.opened_by), (&process(5, 50), &None));
    }

    #[test]
    fn a_holder_that_is_gone_takes_nothing_from_what_is_known() {
        let gone = |pid| Party {
            process: Some(Process { pid, ..Process::default() }),
            missing: Some("process_exited"),
            ..Party::default()
        };
        let mut end = holder(5, 50);
        end.held_by(gone(5));
        assert_eq!(end, holder(5, 50));
        end.held_by(gone(6));
        assert_eq!(end.process.as_ref().map(|process| process.pid), Some(6));
        assert_eq!((&end.opened_by, end.missing), (&process(5, 50), Some("process_exited")));
    }

    #[test]
    fn a_holder_that_was_not_found_gives_the_reason_alone() {
        let none = Party { missing: Some("holder_not_found"), netns: Some(3), ..Party::default() };
        let mut end = holder(5, 50);
        end.held_by(none.clone());
        assert_eq!(end, Party { netns: Some(3), ..holder(5, 50) });
        let mut end = Party { opened_by: process(5, 50), missing: Some("later"), ..Party::default() };
        end.held_by(none);
        assert_eq!(
            (&end.process, &end.opened_by, end.missing),
            (&None, &process(5, 50), Some("holder_not_found"))
        );
    }

    #[test]
    fn who_opened_a_socket_that_is_older_than_the_observer_is_not_made_up() {
        let mut end = Party { opener_unseen: true, ..holder(5, 50) };
        end.held_by(holder(6, 60));
        assert_eq!((&end.process, &end.opened_by), (&process(6, 60), &None));
    }
}
