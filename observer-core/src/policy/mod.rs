//! From facts to findings: which rules a connection breaks, and what to do about it.

mod finding;
mod rule;

pub(crate) use finding::finding_id;
pub use rule::{Rule, UNENCRYPTED_PROXY, broken, severity};
