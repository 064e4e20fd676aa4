//! Two ends on one node: a table of handshakes that its own sockets began, so that an accepted socket finds out that the
//! socket which dialled it is here too, and tells the same bytes.

use crate::layout::record;

/// Slots of the table. A handshake takes the slot that its dialling end's initial sequence number points to, and is
/// over within a millisecond: that another one takes the same slot meanwhile is rare, and then both ends tell all.
pub const PAIRS: usize = SLOTS as usize;

const SLOTS: u32 = 8192;

/// How far a handshake has come.
pub mod step {
    /// The slot holds none.
    pub const NONE: u32 = 0;
    /// A socket of this node has dialled, and will tell its connection.
    pub const DIALLED: u32 = 1;
    /// A listener of this node has answered.
    pub const ANSWERED: u32 = 2;
    /// The dialling end has announced the connection, and this listener with it.
    pub const TOLD: u32 = 3;
}

record! {
    /// A handshake within the node. Two that race for a slot may leave a mixture, which fits neither: all of it has to
    /// match.
    pub struct Pair: 24 {
        /// Initial sequence number of the dialling end.
        pub client: u32,
        /// Initial sequence number of the listening end, once it has answered.
        pub server: u32,
        /// Cookie of the listener, once it has answered.
        pub listener: u64,
        /// [`step`].
        pub step: u32,
        /// Always 0.
        pub padding: u32,
    }
}

impl Pair {
    /// The slot for a handshake of the dialling end with this initial sequence number.
    #[must_use]
    #[inline(always)]
    pub const fn slot(client: u32) -> u32 {
        // The kernel takes these numbers from a keyed hash and a clock (`net/core/secure_seq.c`): any bits will do.
        (client ^ client >> 16) & (SLOTS - 1)
    }

    /// Whether the slot holds this handshake, and both its ends know of each other.
    #[must_use]
    #[inline(always)]
    pub const fn is_told(&self, client: u32, server: u32) -> bool {
        self.step == step::TOLD && self.client == client && self.server == server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_handshake_is_told() {
        let pair = Pair { client: 7, server: 9, listener: 3, step: step::TOLD, padding: 0 };
        assert!(pair.is_told(7, 9));
        assert!(!pair.is_told(7, 8));
        assert!(!pair.is_told(8, 9));
        assert!(!Pair { step: step::ANSWERED, ..pair }.is_told(7, 9));
    }

    #[test]
    fn every_number_has_a_slot() {
        for client in [0, 1, 65_535, 65_536, u32::MAX] {
            assert!((Pair::slot(client) as usize) < PAIRS);
        }
        assert_ne!(Pair::slot(1 << 16), Pair::slot(2 << 16));
    }
}
