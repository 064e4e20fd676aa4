//! When something is done, and under which bounds.

use super::Limits;
use crate::time::Timestamp;

/// A moment in a flow: segments so far, and time.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) segments: u32,
    pub(super) time: Timestamp,
    pub(super) limits: &'a Limits,
}

impl Moment<'_> {
    pub(super) const fn mark(&self) -> (u32, Timestamp) {
        (self.segments, self.time)
    }

    pub(super) fn patience_over(&self, since: (u32, Timestamp)) -> bool {
        self.segments.wrapping_sub(since.0) >= self.limits.patience_segments
            && self.time.since(since.1) >= self.limits.patience()
    }
}

/// How hard to press for bytes that wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Press {
    /// Holes wait out the patience.
    Wait,
    /// Nothing more will come: holes that the receiver has filled are declared.
    Now,
}
