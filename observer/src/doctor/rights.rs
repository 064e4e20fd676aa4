//! The rights of a process, and what the observer does with each.

use rustix::thread::{CapabilitySet, capabilities};

use super::State;

/// The effective capabilities of a process (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(CapabilitySet);

/// A capability that the observer uses.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// Its name, as an operator writes it.
    pub name: &'static str,
    /// Any of these gives it.
    any_of: CapabilitySet,
    /// How things stand without it.
    pub without: State,
    /// What it is for, or what is lost without it.
    pub purpose: &'static str,
}

impl Right {
    /// All of them, the required ones first. Found out by running without each, on Linux 6.18.
    pub const ALL: [Self; 6] = [
        Self {
            name: "CAP_BPF",
            any_of: CapabilitySet::BPF.union(CapabilitySet::SYS_ADMIN),
            without: State::Missing,
            purpose: "needed to load programs and to make their tables",
        },
        Self {
            name: "CAP_NET_ADMIN",
            any_of: CapabilitySet::NET_ADMIN,
            without: State::Missing,
            purpose: "needed to load and attach programs that see packets",
        },
        Self {
            name: "CAP_PERFMON",
            any_of: CapabilitySet::PERFMON.union(CapabilitySet::SYS_ADMIN),
            without: State::Missing,
            purpose: "needed by programs that ask who calls",
        },
        Self {
            name: "CAP_SYS_PTRACE",
            any_of: CapabilitySet::SYS_PTRACE,
            without: State::Limited,
            purpose: "executables and network namespaces of other users' processes stay unknown",
        },
        Self {
            name: "CAP_DAC_READ_SEARCH",
            any_of: CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::DAC_OVERRIDE),
            without: State::Limited,
            purpose: "who of the other users' processes holds a socket stays unknown",
        },
        Self {
            name: "CAP_SYS_ADMIN",
            any_of: CapabilitySet::SYS_ADMIN,
            without: State::Limited,
            purpose: "sockets older than the observer are listed, and connections tracked, in its own network namespace only",
        },
    ];
}

impl Rights {
    /// All there are.
    pub const ALL: Self = Self(CapabilitySet::all());

    /// Those of this process; none if they cannot be read.
    #[must_use]
    pub fn here() -> Self {
        Self(capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective))
    }

    /// Whether this right is among them.
    #[must_use]
    pub fn include(self, right: &Right) -> bool {
        self.0.intersects(right.any_of)
    }

    /// The rights that are missing.
    pub fn missing(self) -> impl Iterator<Item = &'static Right> {
        Right::ALL.iter().filter(move |right| !self.include(right))
    }

    /// Whether the kernel programs can be loaded at all.
    #[must_use]
    pub fn suffice(self) -> bool {
        self.missing().all(|right| right.without != State::Missing)
    }

    /// Whether the limit of locked memory can be raised.
    pub(super) fn raise_locked_memory(self) -> bool {
        self.0.contains(CapabilitySet::SYS_RESOURCE)
    }

    /// Whether `hidepid` hides nothing from it.
    pub(super) fn see_all_processes(self) -> bool {
        self.0.contains(CapabilitySet::SYS_PTRACE)
    }

    #[cfg(test)]
    pub(super) fn without(self, name: &str) -> Self {
        let right = match name {
            "CAP_SYS_RESOURCE" => CapabilitySet::SYS_RESOURCE,
            name => Right::ALL.iter().find(|right| right.name == name).map(|right| right.any_of).unwrap(),
        };
        Self(self.0.difference(right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sys_admin_stands_for_the_capabilities_that_were_split_from_it() {
        let old = Rights(CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN);
        assert!(old.suffice());
        let names: Vec<_> = old.missing().map(|right| right.name).collect();
        assert_eq!(names, ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
        assert!(!Rights(CapabilitySet::BPF | CapabilitySet::NET_ADMIN).suffice());
        assert_eq!(Rights::ALL.missing().count(), 0);
    }
}
