//! What the Kubernetes API says: names of remote ends, of this node's pods, of the cluster, and where the API servers are.
//!
//! Nothing waits for it. Without it, or when it is away, everything else goes on and the names that it would give are
//! absent. It is asked as little as possible: this node's pods and the endpoints of `kubernetes` are watched, the id of the
//! cluster is read once, and names of remote addresses are looked up one by one at a bounded rate.

mod access;
mod allowance;
mod counts;
mod directory;
mod gate;
mod lacks;
pub(crate) mod names;
mod objects;
mod own_pods;
mod pause;
mod service;
#[cfg(test)]
mod tests;

pub use access::Access;
pub use counts::Counts;
pub use directory::Resident;
pub use own_pods::OwnPods;
pub use service::{Kubernetes, News, Question};
