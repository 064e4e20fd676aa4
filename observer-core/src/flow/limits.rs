//! How much a flow may hold, and how long it waits for bytes that are late.

use core::time::Duration;

/// The bounds on one direction of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of out-of-order payload held, with [`Limits::RUN_OVERHEAD`] for each run of them.
    pub held: u32,
    /// Bytes already delivered but not yet acknowledged that are kept, so that a second copy can be compared.
    pub unacknowledged: u32,
    /// Bytes kept for the same purpose once they are acknowledged. A receiver ignores what it has acknowledged, so
    /// this only has to cover captures whose packets changed places.
    pub recalled: u32,
    /// A hole that the receiver has acknowledged is waited for until this many further segments of the flow came …
    pub patience_segments: u32,
    /// … and this much time passed since the hole was noticed, in milliseconds.
    pub patience_millis: u32,
}

impl Limits {
    /// What one held run counts beyond its bytes: its place in the tree and the allocator's share.
    pub const RUN_OVERHEAD: usize = 96;

    pub(super) const fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_millis as u64)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            held: 64 * 1024,
            unacknowledged: 32 * 1024,
            recalled: 1024,
            patience_segments: 64,
            patience_millis: 200,
        }
    }
}
