//! The scope rules as the maps hold them.

use aya_ebpf::btf_maps::lpm_trie::Key;
use observer_common::{Config, Rules, Verdict};

use crate::maps::{ADDRESSES, CGROUPS, COMMANDS, OWNERS, PORTS, PROCESSES};

/// The scope rules of the present configuration.
pub struct Maps<'a> {
    pub config: &'a Config,
}

impl Rules for Maps<'_> {
    #[inline(always)]
    fn everything(&self) -> bool {
        self.config.everything != 0
    }

    #[inline(always)]
    fn port(&self, port: u16) -> bool {
        PORTS.get(u32::from(port) >> 6).is_some_and(|word| *word >> (port & 63) & 1 != 0)
    }

    #[inline(always)]
    fn process(&self, tgid: u32) -> Verdict {
        if self.config.processes == 0 {
            return Verdict::Unknown;
        }
        // SAFETY: entries are plain integers that user space alone writes.
        match unsafe { PROCESSES.get(&tgid) } {
            Some(1) => Verdict::Watched,
            Some(_) => Verdict::NotWatched,
            None => Verdict::Unknown,
        }
    }

    #[inline(always)]
    fn command(&self, command: &[u64; 2]) -> bool {
        // SAFETY: as above.
        unsafe { COMMANDS.get(command) }.is_some()
    }

    #[inline(always)]
    fn cgroup(&self, id: u64) -> bool {
        // SAFETY: as above.
        self.config.cgroups != 0 && unsafe { CGROUPS.get(&id) }.is_some()
    }

    #[inline(always)]
    fn address(&self, ip: &[u32; 4]) -> bool {
        self.config.addresses != 0 && ADDRESSES.get(&Key::new(128, *ip)).is_some()
    }

    #[inline(always)]
    fn socket(&self, cookie: u64) -> bool {
        // SAFETY: as above.
        self.config.owners != 0 && unsafe { OWNERS.get(&cookie) }.is_some_and(|rule| rule.watched != 0)
    }
}
