//! The live source: kernel programs on the root of the cgroup tree, and what they tell.
//!
//! [`Live::start`] loads the programs, fills their maps, attaches them last, and reads their rings on a thread of its
//! own. [`Control`] changes what is watched while they run, and tells them what is wanted of a connection.

mod announced;
mod clock;
mod control;
#[cfg(feature = "kernel-log")]
mod diagnostics;
mod ends;
mod error;
mod face;
mod faces;
mod handshakes;
mod hear;
mod live;
mod multipath;
mod object;
mod openings;
mod programs;
mod reader;
mod record;
mod ring;
mod scope;
mod sweep;

pub use announced::{Announced, Caller};
pub use clock::Clock;
pub use control::Control;
pub use error::Error;
pub(crate) use error::with_causes;
pub use faces::Faces;
pub use hear::Hear;
pub use live::{Live, Settings, has_programs, trial};
pub use programs::{ProgramCost, cgroup_root};
pub use reader::Received;
pub use record::Record;
pub use scope::{Network, OlderSocket, ParseNetworkError, Scope};
