//! What is held for one direction: bytes ahead of their turn, and bytes to compare with second copies.

use super::held::Held;
use super::history::History;
use crate::time::Timestamp;

/// There only while there is something to hold.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) held: Held,
    pub(super) history: History,
    /// When the hole in front was noticed: flow segments so far, and time.
    pub(super) waiting: Option<(u32, Timestamp)>,
    /// Key of the first byte that is wanted; what does not come before it is not missed.
    pub(super) wanted: u64,
}

impl Backlog {
    pub(super) fn cost(&self) -> usize {
        size_of::<Self>() + self.held.cost() + self.history.cost()
    }
}
