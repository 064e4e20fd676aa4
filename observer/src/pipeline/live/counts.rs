//! What the analysis counts, for whoever tells it.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Counted on the reader's thread, read by others.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Events that found the sink's queue full.
    pub(super) events_lost: AtomicU64,
    /// The cluster's id, once the API has told it.
    pub(super) cluster: OnceLock<Arc<str>>,
    /// Connections that are known and not closed.
    pub(super) open: AtomicU64,
    /// Owners that were not looked up because too many were asked for.
    pub(super) owners_not_asked: AtomicU64,
    /// Sockets whose holder was not searched for, because too many were.
    pub(super) not_searched: AtomicU64,
    /// Connections of the observer's own.
    pub(super) own: AtomicU64,
    /// Connections for whose backend connection tracking was not asked.
    pub(super) backends_not_asked: AtomicU64,
    /// Connections that were told with another one.
    pub(super) relayed: AtomicU64,
    /// ClientHellos that were forgotten early.
    pub(super) hellos_forgotten: AtomicU64,
    /// Machines of API servers that the kernel's table has no room for.
    pub(super) servers_not_watched: AtomicU64,
    /// Connections whose command name was that of a watched program and whose executable was not.
    pub(super) not_proven: AtomicU64,
}

impl Counts {
    pub(super) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
