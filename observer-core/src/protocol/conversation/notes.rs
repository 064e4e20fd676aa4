//! What a conversation showed besides its verdict.

use crate::protocol::conversation::Encapsulation;
use crate::protocol::named::{Exposed, ssh};
use crate::protocol::prefix::Claim;

/// Collected on the way through prefixes and plaintext protocols.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) encapsulation: Vec<Encapsulation>,
    pub(crate) exposed: Vec<Exposed>,
    pub(crate) claims: Vec<Claim>,
    pub(crate) ssh: Option<Box<ssh::Summary>>,
    pub(crate) injected: u64,
}

impl Notes {
    /// Notes a kind of secret once.
    pub(crate) fn expose(&mut self, kind: Exposed) {
        if !self.exposed.contains(&kind) {
            self.exposed.push(kind);
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.encapsulation.capacity() * size_of::<Encapsulation>()
            + self.exposed.capacity() * size_of::<Exposed>()
            + self.claims.capacity() * size_of::<Claim>()
            + self.ssh.as_ref().map_or(0, |ssh| size_of::<ssh::Summary>() + ssh.memory())
    }
}
