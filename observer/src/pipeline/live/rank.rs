//! How the scheduler ranks the daemon beside the node's own work.

/// Lets the calling thread never push aside who runs at the moment it wakes up (`SCHED_BATCH`, sched(7)): it goes next, with
/// all its weight, but a client or server in the middle of a handshake is not stopped for it. For a thread whose work can
/// wait some milliseconds: neither the one that empties the rings nor the one that reads owners while they live. Threads
/// that it starts later inherit it. Nobody is refused it; where it were, the daemon costs the node a little more.
pub(super) fn let_others_finish() {
    #[cfg(target_os = "linux")]
    // SAFETY: reads the one field of `sched_param` and changes nothing but the calling thread's policy
    // (sched_setscheduler(2)).
    unsafe {
        let rank = libc::sched_param { sched_priority: 0 };
        libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const rank);
    }
}
