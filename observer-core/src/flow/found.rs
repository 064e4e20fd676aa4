//! What a packet means for the faces of a table.

use super::Direction;
use crate::engine::FaceKey;

/// What a packet means for the faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It belongs to a face.
    Face {
        /// Which.
        key: FaceKey,
        /// Which way it travels.
        direction: Direction,
        /// The face is new with this packet.
        opened: bool,
        /// The direction given so far was provisional and wrong; from now on it is the other way round.
        reversed: bool,
        /// The SYN of the new face was seen earlier, while it could not be told from a forged one; this is its number.
        client_isn: Option<u32>,
        /// The same for the SYN of the end that listened.
        server_isn: Option<u32>,
        /// The face that had this tuple until now; it is over.
        replaced: Option<FaceKey>,
        /// The face that was given up to make room.
        evicted: Option<FaceKey>,
    },
    /// It trails a closed face.
    Trailing(FaceKey),
    /// A SYN, or an answer to one, that contradicts a live face; what the other end says to it will tell.
    Doubtful(FaceKey),
    /// A reset of which no face is known: it opens none.
    Unclaimed,
}
