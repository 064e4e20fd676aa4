//! What the readers of both major versions have in common.

use super::log::Log;
use crate::flow::{Direction, End, Gap};
use crate::protocol::Progress;

/// A reader of one version; what it reads goes to `log`.
pub(super) trait Reader {
    /// The next bytes of `direction`; `acked` as in [`crate::flow::Delivery::data`].
    fn data(&mut self, log: &mut Log, direction: Direction, bytes: &[u8], acked: u64);
    /// `length` bytes of `direction` are missing for good.
    fn gap(&mut self, log: &mut Log, direction: Direction, length: u64, why: Gap);
    /// Nothing more comes in `direction`.
    fn end(&mut self, log: &mut Log, direction: Direction, end: End);
    /// Nothing more comes at all.
    fn conclude(&mut self, log: &mut Log);
    /// Whether the bytes are surely HTTP.
    fn is_recognised(&self) -> bool;
    /// How far it has come.
    fn progress(&self, log: &Log) -> Progress;
    /// Bytes of the stream to the server that were read, skipped by length or told as missing.
    fn position(&self) -> u64;
    /// Bytes of heap held, roughly; constant time.
    fn held(&self) -> usize;
}
