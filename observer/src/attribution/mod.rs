//! Who owns a socket: process, executable, control group, container, network namespace.
//!
//! Two questions with two answers: who *opened* a socket (the kernel programs note the caller, [`Owners::caller`]
//! checks it against `/proc`), and who *holds* it now. They differ with socket activation, prefork, passed descriptors and
//! servers that daemonise. The holder is who was seen with the socket among its open files ([`Owners::holding`]), who
//! accepted it, or who let go of it as the last one: the kernel programs note these two. A process is never named on a pid alone: it must have
//! started before the call. A pod is known by the UID in its processes' control groups, and named by the kubelet's log
//! folders, without the API. [`Desk`] does all of it on threads of its own.

pub mod apiservers;
mod arguments;
mod boot_time;
mod cgroups;
mod container;
mod desk;
#[cfg(test)]
pub(crate) mod fake;
mod folder;
mod holders;
mod mail;
mod membership;
pub mod mount;
mod owners;
mod pods;
mod printable;
pub mod program;
mod roots;
mod running;
mod search;
mod sought;
mod stat;

pub use arguments::Arguments;
pub use boot_time::BootTime;
pub use cgroups::Cgroups;
pub use desk::{Answer, Busy, Desk, Question};
pub use folder::{Folder, Unread};
pub use holders::{Holders, Pace};
pub use membership::Membership;
pub use owners::{Claim, Owners};
pub use pods::NodeName;
pub use roots::Roots;
pub use sought::{Found, Sockets, Sought};
pub use stat::Stat;

pub(crate) use roots::{namespace_inode, read_bounded};
pub(crate) use running::Running;
