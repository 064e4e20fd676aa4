//! A socket whose holder is looked for, and who can find it.

use observer_core::Address;
use observer_core::engine::FaceKey;

/// A socket as the kernel programs name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// The face whose local end it is.
    pub key: FaceKey,
    /// Its cookie.
    pub cookie: u64,
    /// Cookie of its network namespace, where the kernel says.
    pub space: Option<u64>,
    /// Its own address.
    pub local: Address,
    /// Its peer's.
    pub remote: Address,
    /// Who probably holds it, and where its namespace is looked for first: a thread group; 0 if nobody is known.
    pub hint: u32,
    /// Cookie of the listener that it was accepted from: who holds one of its sockets probably holds others.
    pub listener: Option<u64>,
}

/// What became of looking for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It has a descriptor with this inode.
    At {
        /// Inode of its network namespace.
        netns: u32,
        /// Inode of the descriptor.
        inode: u64,
    },
    /// It is there without a descriptor: no program has accepted it yet, or its last holder let go of it.
    NotAccepted {
        /// Inode of its network namespace.
        netns: u32,
    },
    /// It is not there any more.
    Gone,
    /// Its network namespace cannot be reached.
    Unreached,
}

/// Finds sockets.
pub trait Sockets: Send + 'static {
    /// Where each of them is, in their order.
    fn find(&mut self, sought: &[Sought]) -> Vec<Found>;

    /// Inode of the network namespace with this cookie, if it can be found; it probably is that of the process `hint`.
    fn netns(&mut self, cookie: u64, hint: u32) -> Option<u32>;
}
