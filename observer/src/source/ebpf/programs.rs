//! The kernel programs: loaded, measured, attached.

use std::fs::File;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::{
    CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, CgroupSockAddr, Program, ProgramError,
};
use aya::util::KernelVersion;

use super::Error;
use crate::attribution::Roots;

/// Every program, in the order in which they are attached: those that keep what a call knows before those that tell of
/// packets.
const PROGRAMS: [&str; 9] = [
    "observer_bind4",
    "observer_bind6",
    "observer_dial4",
    "observer_dial6",
    "observer_meet4",
    "observer_meet6",
    "observer_gone",
    "observer_in",
    "observer_out",
];

/// What a loaded program cost the verifier, and what its runs cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramCost {
    /// Its name.
    pub name: &'static str,
    /// Instructions that the verifier went through; `None` before Linux 5.16.
    pub verified_instructions: Option<u32>,
    /// Bytes of machine code.
    pub machine_code: u32,
    /// Runs counted while `kernel.bpf_stats_enabled` was set.
    pub runs: u64,
    /// Nanoseconds in them.
    pub nanoseconds: u128,
}

/// The root of the cgroup v2 tree: on a hybrid host it is not `/sys/fs/cgroup`.
///
/// # Errors
/// [`Error::NoCgroup`] if none is mounted.
pub fn cgroup_root() -> Result<PathBuf, Error> {
    Roots::of_this_machine().ok().and_then(|roots| roots.cgroup).ok_or(Error::NoCgroup)
}

/// Loads every program.
pub(super) fn load(ebpf: &mut Ebpf) -> Result<(), Error> {
    for name in PROGRAMS {
        let loaded = match ebpf.program_mut(name) {
            Some(Program::CgroupSkb(program)) => program.load(),
            Some(Program::CgroupSock(program)) => program.load(),
            Some(Program::CgroupSockAddr(program)) => program.load(),
            _ => return Err(Error::Missing(name)),
        };
        loaded.map_err(failed(name, "load"))?;
    }
    Ok(())
}

/// Attaches every program to the root at `path`, beside whatever is attached there.
pub(super) fn attach(ebpf: &mut Ebpf, path: &Path) -> Result<(), Error> {
    let root = File::open(path).map_err(|error| Error::Cgroup { path: path.into(), error })?;
    // Links let programs be many by nature; any other mode is refused (EINVAL).
    let mode = CgroupAttachMode::Single;
    for name in PROGRAMS {
        let attached = match ebpf.program_mut(name) {
            Some(Program::CgroupSkb(program)) => attach_skb(program, name, &root, mode),
            Some(Program::CgroupSock(program)) => CgroupSock::attach(program, &root, mode).map(drop),
            Some(Program::CgroupSockAddr(program)) => CgroupSockAddr::attach(program, &root, mode).map(drop),
            _ => return Err(Error::Missing(name)),
        };
        attached.map_err(failed(name, "attach"))?;
    }
    Ok(())
}

fn attach_skb(
    program: &mut CgroupSkb,
    name: &str,
    root: &File,
    mode: CgroupAttachMode,
) -> Result<(), ProgramError> {
    let way = if name == "observer_in" { CgroupSkbAttachType::Ingress } else { CgroupSkbAttachType::Egress };
    program.attach(root, way, mode).map(drop)
}

/// What each program cost.
pub(super) fn costs(ebpf: &Ebpf) -> Vec<ProgramCost> {
    PROGRAMS
        .into_iter()
        .filter_map(|name| {
            let info = ebpf.program(name)?.info().ok()?;
            Some(ProgramCost {
                name,
                verified_instructions: info.verified_instruction_count(),
                machine_code: info.size_jitted(),
                runs: info.run_count(),
                nanoseconds: info.run_time().as_nanos(),
            })
        })
        .collect()
}

fn failed(name: &'static str, step: &'static str) -> impl FnOnce(ProgramError) -> Error {
    move |error| Error::Program { name, step, error: Box::new(error) }
}

/// Detaches every program.
pub(super) fn detach(ebpf: &mut Ebpf) {
    for name in PROGRAMS {
        // A program that cannot be unloaded goes with its last link when the process ends.
        let _ = match ebpf.program_mut(name) {
            Some(Program::CgroupSkb(program)) => program.unload(),
            Some(Program::CgroupSock(program)) => program.unload(),
            Some(Program::CgroupSockAddr(program)) => program.unload(),
            _ => Ok(()),
        };
    }
}

/// Whether a packet's program may ask for the current process (Linux 6.12).
pub(super) fn knows_senders() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 12, 0))
}

/// Whether packets can be asked for the cookie of their network namespace (Linux 6.18).
pub(super) fn has_netns_cookie() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 18, 0))
}
