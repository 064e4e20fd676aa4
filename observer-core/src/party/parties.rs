//! Owners of ends, each kept once however many connections it has.

use std::collections::HashSet;
use std::sync::Arc;

use super::Party;
use foldhash::fast::RandomState;

/// Parties kept before any is looked at again.
const FEW: usize = 1024;

/// Every party that some connection names, once. What no connection names any more is let go when the table has
/// doubled: so it never holds more than twice what the connections need.
#[derive(Debug)]
pub(crate) struct Parties {
    known: HashSet<Arc<Party>, RandomState>,
    room: usize,
}

impl Default for Parties {
    fn default() -> Self {
        Self { known: HashSet::default(), room: FEW }
    }
}

impl Parties {
    /// The one copy of `party`.
    pub(crate) fn share(&mut self, party: Party) -> Arc<Party> {
        if let Some(known) = self.known.get(&party) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.room {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.room = FEW.max(2 * self.known.len());
            self.known.shrink_to(self.room);
        }
        let party = Arc::new(party);
        self.known.insert(Arc::clone(&party));
        party
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(pid: u32) -> Party {
        let process = crate::party::Process { pid, ..Default::default() };
        Party { process: Some(process), ..Party::default() }
    }

    #[test]
    fn equal_parties_are_one() {
        let mut parties = Parties::default();
        let (first, again, other) =
            (parties.share(party(1)), parties.share(party(1)), parties.share(party(2)));
        assert!(Arc::ptr_eq(&first, &again));
        assert_ne!(first, other);
    }

    #[test]
    fn what_no_connection_names_is_let_go() {
        let mut parties = Parties::default();
        let held: Vec<_> = (0..10).map(|pid| parties.share(party(pid))).collect();
        for pid in 0..100_000 {
            parties.share(party(pid));
            assert!(parties.known.len() <= FEW);
        }
        assert!(held.iter().all(|held| Arc::ptr_eq(held, &parties.share((**held).clone()))));
    }
}
