//! What this node supports, why not, what to do, and what can never be seen: `observer doctor`.
//!
//! Two steps: [`Node::read`] looks at the machine, [`Report::of`] judges what was read and does no I/O.

mod kernel;
mod limits;
mod node;
mod report;
mod rights;

pub use kernel::KernelVersion;
pub use limits::{KernelLimit, NEVER_SEEN};
pub use node::{Node, Probe, Trial};
pub use report::{Check, Report, State};
pub use rights::{Right, Rights};
