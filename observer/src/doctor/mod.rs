//! What this node supports, why not, what to do, and what can never be seen: `observer doctor`.
//!
//! Two steps: [`Node::read`] looks at the machine, [`Report::of`] judges what was read and does no I/O.

mod kernel;
mod limits;
mod node;
mod report;

pub use kernel::KernelVersion;
pub use limits::{KernelLimit, NEVER_SEEN};
pub use node::{Capabilities, Node, Probe};
pub use report::{Check, Report, State};
