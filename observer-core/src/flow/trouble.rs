//! What was not as it should be in one direction.

/// Counted from the first trouble on; most flows have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) repeated: u64,
    pub(super) unverified: u64,
    pub(super) missing: u64,
    pub(super) conflicts: u32,
    pub(super) gaps: u32,
    pub(super) strays: u32,
    /// Sequence number behind the last segment that was too far ahead to be believed.
    pub(super) beyond: Option<u32>,
    /// A doubt about bytes that could not be compared was told.
    pub(super) doubted: bool,
}
