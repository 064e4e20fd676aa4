//! Who hears what the kernel programs tell.

use observer_core::connection::Party;
use observer_core::engine::{FaceKey, Input};
use observer_core::time::Timestamp;

use super::Announced;

/// Who hears of faces.
pub trait Hear {
    /// A face becomes known; says who owns its local end, as far as that can be said at once. Said again of a face that was
    /// announced under a name of our own, when it has shown its socket.
    fn announced(&mut self, announced: &Announced) -> Option<Box<Party>> {
        announced.party()
    }

    /// A face's socket was accepted at `time` by the thread group `tgid`. Said once of a face, if its announcement did not
    /// say so; not of every one: who does not ask for the peer's address is not seen.
    fn accepted(&mut self, _face: FaceKey, _tgid: u32, _time: Timestamp) {}

    /// A face's socket was let go at `time` by its last holder, the thread group `tgid`; `sender` is the only one that was
    /// seen sending. Said once of a face, before its end; not of every one (a subflow of Multipath TCP has no holder, a
    /// record may be lost).
    fn released(&mut self, _face: FaceKey, _tgid: u32, _time: Timestamp, _sender: Option<u32>) {}

    /// Something for the engine.
    fn input(&mut self, input: Input<'_>);

    /// The kernel programs need to know nothing more about this connection; called with the kernel's key.
    fn forget(&mut self, _key: u64) {}

    /// Everything that the rings held has been told, up to about `now`: the time for what is due by time alone. Called
    /// at least four times a second.
    fn rest(&mut self, _now: Timestamp) {}

    /// The places in the streams of this face are not the sequence numbers of its packets (Multipath TCP).
    fn moves(&mut self, _face: FaceKey) {}

    /// A face that was announced under a name of our own has shown its socket.
    fn named(&mut self, _face: FaceKey, _key: u64) {}
}
