//! What the hooks saw and what became of it, one of each per CPU.

use crate::layout::record;

record! {
    /// One ring's account. Always `wanted = submitted + full + shed`.
    pub struct RingCounters: 32 {
        /// Records that a hook set out to write.
        pub wanted: u64,
        /// Records submitted.
        pub submitted: u64,
        /// Records dropped because the ring was full.
        pub full: u64,
        /// Records given up while the ring filled, to leave room for more important ones.
        pub shed: u64,
    }
}

record! {
    /// The account of every hook on one CPU.
    pub struct Counters: 112 {
        /// Lifecycle ring.
        pub lifecycle: RingCounters,
        /// Payload ring.
        pub payload: RingCounters,
        /// Payload bytes dropped with their records.
        pub payload_bytes_lost: u64,
        /// Payload bytes not copied because of the rate limit on requests.
        pub bytes_skipped: u64,
        /// Packets of TCP sockets whose headers could not be read.
        pub unreadable: u64,
        /// Pieces delivered without their bytes because the kernel could not read them.
        pub uncopied: u64,
        /// Sockets for which no storage could be made.
        pub no_storage: u64,
        /// Packets of TCP sockets that were encapsulated (IPsec) when they passed.
        pub encapsulated: u64,
    }
}

impl RingCounters {
    /// Adds the account of another CPU.
    pub fn add(&mut self, other: &Self) {
        self.wanted = self.wanted.wrapping_add(other.wanted);
        self.submitted = self.submitted.wrapping_add(other.submitted);
        self.full = self.full.wrapping_add(other.full);
        self.shed = self.shed.wrapping_add(other.shed);
    }

    /// Records dropped for any reason.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.full.wrapping_add(self.shed)
    }
}

impl Counters {
    /// Adds the account of another CPU.
    pub fn add(&mut self, other: &Self) {
        self.lifecycle.add(&other.lifecycle);
        self.payload.add(&other.payload);
        self.payload_bytes_lost = self.payload_bytes_lost.wrapping_add(other.payload_bytes_lost);
        self.bytes_skipped = self.bytes_skipped.wrapping_add(other.bytes_skipped);
        self.unreadable = self.unreadable.wrapping_add(other.unreadable);
        self.uncopied = self.uncopied.wrapping_add(other.uncopied);
        self.no_storage = self.no_storage.wrapping_add(other.no_storage);
        self.encapsulated = self.encapsulated.wrapping_add(other.encapsulated);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_every_field() {
        let ring = RingCounters { wanted: 10, submitted: 7, full: 2, shed: 1 };
        let one = Counters {
            lifecycle: ring,
            payload: ring,
            payload_bytes_lost: 3,
            bytes_skipped: 4,
            unreadable: 5,
            uncopied: 6,
            no_storage: 7,
            encapsulated: 8,
        };
        let mut sum = one;
        sum.add(&one);
        assert_eq!(sum.lifecycle, RingCounters { wanted: 20, submitted: 14, full: 4, shed: 2 });
        assert_eq!(sum.payload.dropped(), 6);
        assert_eq!(
            [
                sum.payload_bytes_lost,
                sum.bytes_skipped,
                sum.unreadable,
                sum.uncopied,
                sum.no_storage,
                sum.encapsulated
            ],
            [6, 8, 10, 12, 14, 16]
        );
    }
}
